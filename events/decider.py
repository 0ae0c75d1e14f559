"""Commands, and the decision: from a wish and the state to one event, or to none.

Pure: time, ids and the actor are arguments (the ``Envelope``); nothing is read or written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_never

from msgspec import Struct

from events import pointers
from events.changed import (
    NOTHING,
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantSettingsChanged,
    Cause,
    Event,
    SecretsErased,
    SecretsRevealed,
    State,
)
from events.errors import AssistantNotFound, NoSecret, SecretsGone
from events.merging import merge
from events.patch import check_stored, derive
from events.pointers import Change, Tree
from events.secrets import Standing, is_erased, places, settle, with_secrets_of
from events.settings import SETTING_NAMES
from events.shape import SETTINGS, with_defaults


class CreateAssistant(Struct, frozen=True, kw_only=True):
    """Bring an assistant into being; ``patch`` is merged into the defaults."""

    patch: Tree
    cause: Cause = Cause(type="create")


class ChangeSettings(Struct, frozen=True, kw_only=True):
    """Merge a patch into the settings."""

    patch: Tree
    cause: Cause


class RestoreSettings(Struct, frozen=True, kw_only=True):
    """Make the settings what they were; the current secrets are kept.

    ``restorable`` are the ids of old secrets that come back instead.
    """

    settings: Tree
    to_version: int
    restorable: frozenset[str] = frozenset()


class DeleteAssistant(Struct, frozen=True, kw_only=True):
    """Close the stream."""


class EraseSecrets(Struct, frozen=True, kw_only=True):
    """Declare the sealed values of all secrets so far destroyed; deleted assistants too."""

    cause: Cause


Command = CreateAssistant | ChangeSettings | RestoreSettings | DeleteAssistant | EraseSecrets


class Envelope(Struct, frozen=True, kw_only=True):
    """What an event will say of itself: given by the server, never by the body."""

    organization_id: int
    sequence: int
    assistant_id: int
    occurred_at: datetime
    actor: Actor
    reason: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None


class Revelation(Struct, frozen=True, kw_only=True):
    """What may be unsealed, by path, once its event is recorded."""

    places: dict[str, Standing]
    event: SecretsRevealed


def decide(command: Command, state: State, envelope: Envelope) -> Event | None:
    """The event that grants the wish; None when nothing would change.

    Raises ``AssistantNotFound`` and ``InvalidSettings``.
    """
    if isinstance(command, CreateAssistant):
        return _create(command, envelope)
    if not state.version or (state.deleted and not isinstance(command, EraseSecrets)):
        raise AssistantNotFound(envelope.assistant_id)
    match command:
        case ChangeSettings():
            return _changed(state, _patched(state, command.patch), command.cause, envelope)
        case RestoreSettings():
            cause = Cause(type="rollback", to_version=command.to_version)
            return _changed(state, _restored(state, command), cause, envelope)
        case DeleteAssistant():
            return AssistantDeleted(cause=Cause(type="delete"), **_said(state, envelope))
        case EraseSecrets():
            return SecretsErased(cause=command.cause, **_said(state, envelope))
        case _:
            assert_never(command)


def reveal(paths: tuple[str, ...], state: State, envelope: Envelope) -> Revelation:
    """The secrets at or below the paths, and the event that says who read them.

    Raises ``AssistantNotFound``, ``NoSecret`` and ``SecretsGone``.
    """
    if not state.version or state.deleted:
        raise AssistantNotFound(envelope.assistant_id)
    stored = {pointers.join(place.at): place for place in places(state.settings)}
    found: dict[str, Standing] = {}
    for position, path in enumerate(paths):
        below = {at: one for at, one in stored.items() if pointers.covers(path, at)}
        if not below:
            raise NoSecret(position)
        found |= below
    gone = tuple(at for at, one in found.items() if is_erased(one.reference, state.erased_version))
    if gone:
        raise SecretsGone(gone)
    event = SecretsRevealed(paths=sorted(found), **_members(envelope))
    return Revelation(places=found, event=event)


def _create(command: CreateAssistant, envelope: Envelope) -> Event:
    merged = merge({}, command.patch)
    settings = derive(with_defaults(settle(merged, {})))
    changes = {path: Change(after=value) for path, value in pointers.flatten(settings).items()}
    return AssistantCreated(cause=command.cause, changes=changes, **_said(NOTHING, envelope))


def _patched(state: State, patch: Tree) -> Tree:
    """The members that a patch touches, as they would be; the others are left out of the work."""
    current = {name: state.settings[name] for name in patch}
    merged = settle(merge(current, patch), current, erased_version=state.erased_version)
    touched = {name: with_defaults(merged[name], SETTINGS.members[name].shape) for name in merged}
    return derive(touched) if "tools_settings" in touched else touched


def _restored(state: State, command: RestoreSettings) -> Tree:
    kept = with_secrets_of(command.settings, state.settings, restorable=command.restorable)
    restored: Tree = with_defaults(kept)
    check_stored(restored)
    return {name: restored[name] for name in SETTING_NAMES}


def _changed(state: State, touched: Tree, cause: Cause, envelope: Envelope) -> Event | None:
    before = {name: state.settings[name] for name in touched}
    changes = pointers.diff(before, touched)
    if not changes:
        return None
    return AssistantSettingsChanged(cause=cause, changes=changes, **_said(state, envelope))


def _said(state: State, envelope: Envelope) -> dict[str, Any]:
    """What every event of a stream says of itself."""
    return _members(envelope) | {"version": state.version + 1}


def _members(envelope: Envelope) -> dict[str, Any]:
    return {name: getattr(envelope, name) for name in envelope.__struct_fields__}
