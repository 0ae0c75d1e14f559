"""The events, and the state of an assistant that they fold to.

Event names are storage contracts: an explicit tag, never a class path. A tag's shape never
changes; a new shape is a new tag, and the old one is upcast on read (``events.codec``). Events that
name settings get a new tag when the settings of stored events change (``events.upcasters``).
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from events import pointers
from events.pointers import Changes, Draft, Tree
from events.shape import SETTINGS, are_known, known, with_defaults
from events.upcasters import tag

if TYPE_CHECKING:
    from collections.abc import Iterable

ActorType = Literal["user", "api_key", "system"]


class Actor(Struct, frozen=True, kw_only=True):
    """Who caused an event, as the API key or session says. No event holds an e-mail address."""

    type: ActorType
    id: int
    name: str
    user_id: int


CauseType = Literal[
    "create", "duplicate", "patch", "put", "status", "change_set", "rollback", "undo", "delete",
    "restore", "erase", "purge",
]  # fmt: skip


class Cause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The kind of request that caused a change, and what it referred to."""

    type: CauseType
    to_version: int | UnsetType = UNSET  # rollback: restores the state after this version
    paths: list[str] | UnsetType = UNSET  # rollback: only what lies at or below these
    undoes: int | UnsetType = UNSET  # undo, restore: takes back the change of this version
    base_version: int | UnsetType = UNSET  # a three-way merge: the version that its author had read
    change_set_id: int | UnsetType = UNSET  # one of several changes in one transaction
    assistant_id: int | UnsetType = UNSET  # duplicate: the assistant that was copied


class Recorded(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The members of every event: its place in the log, when, who, why and in which request."""

    organization_id: int
    sequence: int  # the organization's count, without gaps
    assistant_id: int | None
    occurred_at: datetime  # UTC, set by the server; never runs backwards in an organization
    actor: Actor
    reason: str | None
    request_id: str | None
    idempotency_key: str | None = None
    # The server's clock, if it was behind the event before: then ``occurred_at`` is that event's.
    clock_time: datetime | UnsetType = UNSET


class Versioned(Recorded, frozen=True, kw_only=True):
    """An event of an assistant's stream: it has a version, and changes the folded state."""

    assistant_id: int
    version: int  # the assistant's count, without gaps
    cause: Cause


class AssistantCreated(Versioned, frozen=True, kw_only=True, tag=tag("assistant_created")):
    """The first event of a stream: every setting is a change without ``before``."""

    changes: Changes


class AssistantSettingsChanged(
    Versioned, frozen=True, kw_only=True, tag=tag("assistant_settings_changed")
):
    """One accepted change of settings: by JSON Pointer, the values before and after."""

    changes: Changes


class AssistantDeleted(Versioned, frozen=True, kw_only=True, tag="assistant_deleted.v1"):
    """Closes a stream. Its history keeps the settings readable."""


class AssistantRestored(Versioned, frozen=True, kw_only=True, tag="assistant_restored.v1"):
    """Reopens a closed stream, with the settings that it was closed with."""


class SecretsErased(Versioned, frozen=True, kw_only=True, tag="secrets_erased.v1"):
    """The sealed values of all secrets up to this version were destroyed; references stay."""


class SecretsRevealed(Recorded, frozen=True, kw_only=True, tag=tag("secrets_revealed")):
    """Secrets were read back: their paths, never their values. It changes no state."""

    assistant_id: int
    paths: list[str]


class VersionLabelled(Recorded, frozen=True, kw_only=True, tag="version_labelled.v1"):
    """A version was named, or its name (None) was removed. It changes no state."""

    assistant_id: int
    labelled_version: int
    label: str | None


class PolicyChanged(Recorded, frozen=True, kw_only=True, tag=tag("policy_changed")):
    """The organization's policy for changes was changed."""

    changes: Changes


class ApiKeyCreated(Recorded, frozen=True, kw_only=True, tag="api_key_created.v1"):
    """An API key was made. The key itself is stored nowhere; lists show its prefix."""

    key_id: int
    changes: Changes  # every member is a change without ``before``


class ApiKeyChanged(Recorded, frozen=True, kw_only=True, tag="api_key_changed.v1"):
    """An API key was renamed, got fewer rights, or was switched on again."""

    key_id: int
    changes: Changes


class ApiKeyRevoked(Recorded, frozen=True, kw_only=True, tag="api_key_revoked.v1"):
    """An API key was switched off."""

    key_id: int
    changes: Changes


class PhoneNumberAdded(Recorded, frozen=True, kw_only=True, tag="phone_number_added.v1"):
    """The organization got a phone number. Its paths are below ``/phone_numbers/NUMBER``."""

    phone_number_id: int
    phone_number: str  # E.164
    changes: Changes


class PhoneNumberRenamed(Recorded, frozen=True, kw_only=True, tag="phone_number_renamed.v1"):
    """The friendly name of a phone number was changed."""

    phone_number_id: int
    phone_number: str
    changes: Changes


class PhoneNumberAssigned(Recorded, frozen=True, kw_only=True, tag="phone_number_assigned.v1"):
    """From now on this assistant answers the phone number."""

    assistant_id: int
    phone_number_id: int
    phone_number: str
    changes: Changes


class PhoneNumberUnassigned(Recorded, frozen=True, kw_only=True, tag="phone_number_unassigned.v1"):
    """From now on this assistant does not answer the phone number, and no other does."""

    assistant_id: int
    phone_number_id: int
    phone_number: str
    changes: Changes


class WebhookCreated(Recorded, frozen=True, kw_only=True, tag="webhook_created.v1"):
    """An endpoint of webhooks was made. Its secret is in no event, and its URL only as shown."""

    webhook_id: int
    changes: Changes  # every member is a change without ``before``


class WebhookChanged(Recorded, frozen=True, kw_only=True, tag="webhook_changed.v1"):
    """An endpoint was changed. Two URLs may be shown alike: then only ``url_changed`` says it."""

    webhook_id: int
    changes: Changes
    url_changed: bool = False
    secret_rotated: bool = False


class WebhookDisabled(Recorded, frozen=True, kw_only=True, tag="webhook_disabled.v1"):
    """An endpoint was switched off, by an admin, or by the service with a reason."""

    webhook_id: int
    changes: Changes


class WebhookAsked(Recorded, frozen=True, kw_only=True, tag="webhook_asked.v1"):
    """A test, one more delivery of an event, or a replay of the log was asked for."""

    webhook_id: int
    delivery: Literal["test", "redeliver", "replay"]
    from_sequence: int | None  # the event to send again, or the one after which to go on


class WebhookDeleted(Recorded, frozen=True, kw_only=True, tag="webhook_deleted.v1"):
    """An endpoint was deleted, and its secret with it."""

    webhook_id: int


class LoginRefused(Recorded, frozen=True, kw_only=True, tag="login_refused.v1"):
    """A request came with a key of this organization that is unknown or revoked.

    Of a flood, only some are recorded: ``unrecorded`` counts the others since the last event.
    """

    key_id: int | None  # of a revoked key; None for a key that never existed
    key_prefix: str
    ip_address: str | None
    unrecorded: int


class SecretKeysRotated(Recorded, frozen=True, kw_only=True, tag="secret_keys_rotated.v1"):
    """The keys that seal the organization's secrets were wrapped again."""

    data_keys: bool  # whether the secrets were sealed again, too


class AuditExported(Recorded, frozen=True, kw_only=True, tag="audit_exported.v1"):
    """The log was exported: which part of it, in which format."""

    format: str
    after: int
    until_sequence: int
    filter: dict[str, str | int]


class CheckpointRecorded(Recorded, frozen=True, kw_only=True, tag="checkpoint_recorded.v1"):
    """The signed root of the tree over all events before this one (C2SP tlog-checkpoint)."""

    checkpoint: str


Event = (  # of an assistant's stream
    AssistantCreated
    | AssistantSettingsChanged
    | AssistantDeleted
    | AssistantRestored
    | SecretsErased
)
KeyEvent = ApiKeyCreated | ApiKeyChanged | ApiKeyRevoked
PhoneNumberEvent = (
    PhoneNumberAdded | PhoneNumberRenamed | PhoneNumberAssigned | PhoneNumberUnassigned
)
WebhookEvent = WebhookCreated | WebhookChanged | WebhookDisabled | WebhookAsked | WebhookDeleted
LogEvent = (  # what an organization's log holds
    Event
    | SecretsRevealed
    | VersionLabelled
    | PolicyChanged
    | KeyEvent
    | PhoneNumberEvent
    | WebhookEvent
    | LoginRefused
    | SecretKeysRotated
    | AuditExported
    | CheckpointRecorded
)


def changes_of(event: Event | None) -> Changes:
    """The changes of an event; none for no event, and for one that changes no settings."""
    return event.changes if isinstance(event, _CHANGING) else {}


_CHANGING = AssistantCreated, AssistantSettingsChanged


class State(Struct, frozen=True, kw_only=True, dict=True):
    """The state of an assistant after some of its events; ``version`` 0 is before the first."""

    version: int = 0
    settings: Tree = field(default_factory=dict)
    deleted: bool = False
    erased_version: int = 0  # the secrets up to this version were destroyed
    user_id: int = 0  # the creator
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The settings as JSON, as the view stores them."""
        # The encoder's own bytes have spare room, up to a half of them, as long as they are kept.
        return memoryview(msgspec.json.encode(self.settings)).tobytes()

    @cached_property
    def known(self) -> Tree:
        """The settings without the members that only another release knows."""
        return self.settings if are_known(self.encoded) else known(self.settings)

    @cached_property
    def holds_secrets(self) -> bool:
        """Whether the settings hold a reference; True as well for a name that ends like one's."""
        return REFERENCE in self.encoded  # in a text, its quotes would be escaped


REFERENCE = b'"%s":' % pointers.MARK.encode()  # how the encoding of a reference begins
NOTHING = State()


def with_settings(state: State, encoded: bytes, *, are_known: bool) -> State:
    """The state with the settings that ``encoded`` holds, as ``State.encoded`` gave them.

    ``are_known`` if they are as ``State.known`` gave them, too.
    """
    decoded = msgspec.structs.replace(state, settings=msgspec.json.decode(encoded))
    decoded.__dict__["encoded"] = encoded  # the cached properties need not be computed again
    if are_known:
        decoded.__dict__["known"] = decoded.settings
    return decoded


def evolve(state: State, event: Event) -> State:
    """The state after one more event."""
    return fold((event,), state)


def fold(events: Iterable[Event], state: State = NOTHING) -> State:
    """The state after all of the events. The trees in them and in ``state`` are not changed."""
    draft = Draft(state.settings)  # one for all: copying takes longer than changing
    for event in events:
        state = _evolve(state, event, draft)
    return state


def _evolve(state: State, event: Event, draft: Draft) -> State:
    match event:
        case AssistantSettingsChanged():
            _put(draft, ((path, change.after) for path, change in event.changes.items()))
            return msgspec.structs.replace(
                state,
                version=event.version,
                settings=draft.tree,
                updated_at=event.occurred_at,
            )
        case AssistantCreated():
            # Settings that are newer than the event get their defaults.
            draft.tree = with_defaults(pointers.apply(event.changes, {}))
            return State(
                version=event.version,
                settings=draft.tree,
                user_id=event.actor.user_id,
                created_at=event.occurred_at,
                updated_at=event.occurred_at,
            )
        case AssistantDeleted():
            return msgspec.structs.replace(
                state, version=event.version, deleted=True, updated_at=event.occurred_at
            )
        case AssistantRestored():
            return msgspec.structs.replace(
                state, version=event.version, deleted=False, updated_at=event.occurred_at
            )
        case SecretsErased():
            return msgspec.structs.replace(
                state,
                version=event.version,
                erased_version=event.version,
                updated_at=event.occurred_at,
            )
        case _:
            assert_never(event)


def taken_back(changes: Changes, settings: Tree) -> Tree:
    """The settings before the ``changes`` that led to them."""
    draft = Draft(settings)
    _put(draft, ((path, change.before) for path, change in changes.items()))
    return draft.tree


_HOLDERS = dict, list


def _put(draft: Draft, values: Iterable[tuple[str, Any]]) -> None:
    """Set the paths to values; members that are newer than these get their defaults."""
    touched = set()
    for path, value in values:
        # Most changes set one value in a complete object: they need no second look.
        if not draft.put(path, value) or value is UNSET or isinstance(value, _HOLDERS):
            touched.add(path.split("/", 2)[1])  # no name of a setting is escaped
    if not touched:
        return
    if not touched <= draft.tree.keys():
        draft.tree = with_defaults(draft.tree)  # in the order of the settings
        return
    for name in touched & SETTINGS.members.keys():
        draft.tree[name] = with_defaults(draft.tree[name], SETTINGS.members[name].shape)
