"""Commands, and the decision: from a wish and the state to one event, or to none.

Pure: time, ids and the actor are arguments (the ``Envelope``); nothing is read or written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType

from events import pointers
from events.bodies.parsing import count
from events.bodies.settings_reader import COMPUTED, NotAccepted, derive, not_accepted
from events.changed import (
    NOTHING,
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    Cause,
    Event,
    SecretsErased,
    SecretsRevealed,
    State,
)
from events.errors import (
    AssistantNotFound,
    FieldError,
    InvalidSettings,
    NoSecret,
    NotDeleted,
    SecretsGone,
)
from events.merging import Conflict, MergeConflict, merge, three_way
from events.pointers import MARK, Change, Tree, is_reference
from events.secrets.destinations import moved_secrets
from events.secrets.merge import settle, with_secrets_of
from events.secrets.references import Standing, is_erased, places
from events.settings import LARGEST, MOST_VALUES
from events.shape import SETTINGS, with_defaults
from events.unknown import kept

# What becomes of paths that were changed again since: refuse all, leave them, or set them.
OnConflict = Literal["fail", "theirs", "skip", "yours", "force"]


class CreateAssistant(Struct, frozen=True, kw_only=True):
    """Bring an assistant into being; ``patch`` is merged into the defaults."""

    patch: Tree
    cause: Cause = Cause(type="create")


class ChangeSettings(Struct, frozen=True, kw_only=True):
    """Merge a patch into the settings.

    ``sent`` is what the patch was read of, and ``broken`` the rules that this breaks: none of
    them counts for what came back as it was shown.
    With ``base``, the settings that its author had read: what others changed since is kept.
    ``equal`` says which stored secrets have the values of new ones, to a caller who may know it.
    """

    patch: Tree
    cause: Cause
    base: Tree | None = None
    on_conflict: OnConflict = "fail"
    equal: dict[str, frozenset[str]] = {}
    sent: Tree = {}
    broken: tuple[FieldError, ...] = ()


class RestoreSettings(Struct, frozen=True, kw_only=True):
    """Make the settings what they were; the current secrets are kept.

    ``restorable`` are the ids of old secrets that come back instead. With ``paths``, what lies
    elsewhere stays as it is.
    """

    settings: Tree
    to_version: int
    paths: tuple[str, ...] | None = None
    restorable: frozenset[str] = frozenset()


class UndoChange(Struct, frozen=True, kw_only=True):
    """Take back what one change did, and keep what came later; the current secrets are kept.

    With ``restores_secrets`` those that the change set are taken back, too: ``restorable`` are
    the ids of old ones whose values are still there.
    """

    undoes: int  # the version that the change made
    before: Tree  # the settings before it, and after
    after: Tree
    cause: Cause
    on_conflict: OnConflict = "fail"
    paths: tuple[str, ...] | None = None  # at or below which alone
    restores_secrets: bool = False
    restorable: frozenset[str] = frozenset()


class RestoreAssistant(Struct, frozen=True, kw_only=True):
    """Open the stream of a deleted assistant again; ``undoes`` is the version of its deletion."""

    undoes: int


class DeleteAssistant(Struct, frozen=True, kw_only=True):
    """Close the stream."""


class EraseSecrets(Struct, frozen=True, kw_only=True):
    """Declare the sealed values of all secrets so far destroyed; deleted assistants too."""

    cause: Cause


Command = (
    CreateAssistant
    | ChangeSettings
    | RestoreSettings
    | UndoChange
    | DeleteAssistant
    | RestoreAssistant
    | EraseSecrets
)


class Proposal(Struct, frozen=True, kw_only=True):
    """What granting a wish would do: its event, if any, and what stands against it."""

    event: Event | None
    conflicts: tuple[Conflict, ...] = ()
    not_accepted: tuple[NotAccepted, ...] = ()


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
    clock_time: datetime | UnsetType = UNSET  # where it is not when the event occurred


class Revelation(Struct, frozen=True, kw_only=True):
    """What may be unsealed, by path, once its event is recorded."""

    places: dict[str, Standing]
    event: SecretsRevealed


def moment(clock_time: datetime, last: datetime) -> tuple[datetime, datetime | UnsetType]:
    """When an event occurs, which is never before the last one; and the clock's time if it is."""
    return (last, clock_time) if clock_time < last else (clock_time, UNSET)


def decide(
    command: Command, state: State, envelope: Envelope, *, may_reveal: bool = False
) -> Event | None:
    """The event that grants the wish; None when nothing would change.

    Raises ``AssistantNotFound``, ``NotDeleted``, ``InvalidSettings`` and ``MergeConflict``.
    """
    proposal = propose(command, state, envelope, may_reveal=may_reveal)
    refuse(command, proposal)
    return proposal.event


def refuse(command: Command, proposal: Proposal) -> None:
    """Raise what stands against a proposal, if anything does."""
    if proposal.not_accepted:
        raise InvalidSettings(tuple(one.error for one in proposal.not_accepted))
    if proposal.conflicts and getattr(command, "on_conflict", "fail") == "fail":
        raise MergeConflict(proposal.conflicts)


def propose(
    command: Command, state: State, envelope: Envelope, *, may_reveal: bool = False
) -> Proposal:
    """What granting the wish would do, also where something stands against it.

    ``may_reveal`` says that the caller may read secrets, and so may send them anywhere.
    Raises ``AssistantNotFound``, ``NotDeleted`` and ``InvalidSettings``.
    """
    _check_life(command, state, envelope)
    proposal = _proposed(command, state, envelope)
    if may_reveal or not isinstance(proposal.event, AssistantSettingsChanged):
        return proposal
    return _with_moved_secrets(command, state, proposal, proposal.event)


def _with_moved_secrets(
    command: Command, state: State, proposal: Proposal, event: AssistantSettingsChanged
) -> Proposal:
    moved = moved_secrets(
        state.settings, event.changes, _past(command), erased_version=state.erased_version
    )
    found = tuple(NotAccepted(path=one.path, error=one.error) for one in moved)
    if not found:
        return proposal
    return msgspec.structs.replace(proposal, not_accepted=(*proposal.not_accepted, *found))


def _past(command: Command) -> tuple[Tree, ...]:
    """The older settings that a command may bring secrets back from."""
    match command:
        case RestoreSettings(settings=settings):
            return (settings,)
        case UndoChange(before=before, after=after):
            return before, after
        case ChangeSettings(base=dict() as base):
            return (base,)
        case _:
            return ()


def _proposed(command: Command, state: State, envelope: Envelope) -> Proposal:
    match command:
        case CreateAssistant():
            return Proposal(event=_create(command, envelope))
        case ChangeSettings(base=None):
            touched = _patched(state.settings, command)
            before = {name: state.settings[name] for name in touched}
            return Proposal(event=_changed(state, before, touched, command.cause, envelope))
        case ChangeSettings():
            return _merge(state, _wanted(command), command, envelope)
        case UndoChange():
            return _merge(state, (command.after, _undone(command)), command, envelope)
        case RestoreSettings():
            return _restore(state, command, envelope)
        case DeleteAssistant():
            cause = Cause(type="delete")
            return Proposal(event=AssistantDeleted(cause=cause, **_said(state, envelope)))
        case RestoreAssistant():
            cause = Cause(type="restore", undoes=command.undoes)
            return Proposal(event=AssistantRestored(cause=cause, **_said(state, envelope)))
        case EraseSecrets():
            return Proposal(event=SecretsErased(cause=command.cause, **_said(state, envelope)))
        case _:
            assert_never(command)


def _check_life(command: Command, state: State, envelope: Envelope) -> None:
    if isinstance(command, CreateAssistant):
        return
    if not state.version:
        raise AssistantNotFound(envelope.assistant_id)
    if isinstance(command, RestoreAssistant):
        if not state.deleted:
            raise NotDeleted(envelope.assistant_id)
    elif state.deleted and not isinstance(command, EraseSecrets):
        raise AssistantNotFound(envelope.assistant_id)


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
    _check_size(settings, {})
    changes = {path: Change(after=value) for path, value in pointers.flatten(settings).items()}
    return AssistantCreated(cause=command.cause, changes=changes, **_said(NOTHING, envelope))


def _patched(settings: Tree, command: ChangeSettings) -> Tree:
    """The members that a patch touches, as they would be; the others are left out of the work."""
    current = {name: settings[name] for name in command.patch}
    merged = kept(settle(merge(current, command.patch), current, equal=command.equal), current)
    return _completed(merged, current)


def _completed(settings: Tree, current: Tree) -> Tree:
    """The members that differ from the current ones, with what typed objects must have.

    What stays is not completed either: nobody touched it.
    """
    touched = {
        name: with_defaults(value, SETTINGS.members[name].shape)
        if name in SETTINGS.members
        else value
        for name, value in settings.items()
        if name not in current or not pointers.same(value, current[name])
    }
    return derive(touched) if "tools_settings" in touched else touched


def _whole(settings: Tree, current: Tree) -> Tree:
    """Settings that take the place of the current ones; what they lack has its default."""
    missing = {n: one.default for n, one in SETTINGS.members.items() if n not in settings}
    return settings | missing | _completed(settings, current)


def _wanted(command: ChangeSettings) -> tuple[Tree, Tree]:
    """What a patch's author had read, and wants it to be."""
    base = command.base or {}
    return base, base | _patched(base, command)


def _undone(command: UndoChange) -> Tree:
    """What the settings after a change would be without it, or without some paths of it."""
    before = _whole(
        with_secrets_of(
            command.before,
            command.after,
            restorable=command.restorable,
            adding=not command.restores_secrets,
        ),
        command.after,
    )
    return before if command.paths is None else _with_paths(command.after, before, command.paths)


def _merge(
    state: State,
    edit: tuple[Tree, Tree],
    command: ChangeSettings | UndoChange,
    envelope: Envelope,
) -> Proposal:
    """Bring an edit of an older state, from and to, into the current one."""
    base, yours = edit
    new_secrets = _secret_ids(yours) - _secret_ids(base)
    keeps_secrets = isinstance(command, UndoChange) and not command.restores_secrets

    def insist(conflict: Conflict) -> Any:
        """Yours, but for secrets that it only kept: those are the current ones."""
        if conflict.yours is UNSET:
            return conflict.theirs if keeps_secrets and is_reference(conflict.theirs) else UNSET
        at = pointers.split(conflict.path)
        return with_secrets_of(
            conflict.yours, conflict.theirs, at, restorable=new_secrets, adding=keeps_secrets
        )

    insists = command.on_conflict in ("yours", "force")
    merged = three_way(
        base, yours, state.settings, insist=insist if insists else None, computed=COMPUTED
    )
    whole = _whole(merged.tree, state.settings)
    proposal = _proposal(state, whole, command.cause, envelope)
    return msgspec.structs.replace(proposal, conflicts=merged.conflicts)


def _secret_ids(settings: Tree) -> frozenset[str]:
    return frozenset(place.reference[MARK]["id"] for place in places(settings))


def _restore(state: State, command: RestoreSettings, envelope: Envelope) -> Proposal:
    cause = Cause(type="rollback", to_version=command.to_version)
    restored = with_secrets_of(command.settings, state.settings, restorable=command.restorable)
    if command.paths is not None:
        cause = msgspec.structs.replace(cause, paths=list(command.paths))
        restored = _with_paths(state.settings, restored, command.paths)
    return _proposal(state, _whole(restored, state.settings), cause, envelope)


def _with_paths(settings: Tree, restored: Tree, paths: tuple[str, ...]) -> Tree:
    mixed = settings
    for path in paths:
        if not path:
            return restored
        mixed = pointers.put(mixed, path, pointers.at(restored, path))
    return _whole(mixed, settings)


def _proposal(state: State, settings: Tree, cause: Cause, envelope: Envelope) -> Proposal:
    """A change to settings that come from the past, whole, held against today's rules."""
    event = _changed(state, state.settings, settings, cause, envelope)
    broken = not_accepted(settings, event.changes) if event else ()
    return Proposal(event=event, not_accepted=broken)


def _changed(
    state: State, before: Tree, after: Tree, cause: Cause, envelope: Envelope
) -> AssistantSettingsChanged | None:
    changes = pointers.diff(before, after)
    if not changes:
        return None
    _check_size(state.settings | after, state.settings)
    return AssistantSettingsChanged(cause=cause, changes=changes, **_said(state, envelope))


def _check_size(settings: Tree, before: Tree) -> None:
    """Every change writes the settings whole: they may not grow without end.

    Values are counted only where there could be so many: each takes a byte at least.
    """
    size = len(msgspec.json.encode(settings))
    if size > LARGEST and size > len(msgspec.json.encode(before)):
        message = f"The settings would be larger than {LARGEST} bytes"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_large"),))
    if size > MOST_VALUES and MOST_VALUES < count(settings) > count(before):
        message = f"The settings would hold more than {MOST_VALUES} values"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_many"),))


def _said(state: State, envelope: Envelope) -> dict[str, Any]:
    """What every event of a stream says of itself."""
    return _members(envelope) | {"version": state.version + 1}


def _members(envelope: Envelope) -> dict[str, Any]:
    return {name: getattr(envelope, name) for name in envelope.__struct_fields__}
