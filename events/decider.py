"""The decision: a command and the state give one event, or none.

Pure: time, ids and the actor are arguments (the ``Envelope``); nothing is read or written.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from msgspec import UNSET, Struct

from events import pointers
from events.bodies.acceptance import NotAccepted, not_accepted
from events.bodies.parsing import count
from events.changed import (
    NOTHING,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    Cause,
    Event,
    SecretsErased,
    State,
    changes_of,
    evolve,
)
from events.commands import (
    ChangeSettings,
    Command,
    CreateAssistant,
    DeleteAssistant,
    Envelope,
    EraseSecrets,
    RestoreAssistant,
    RestoreSettings,
    UndoChange,
    members_of,
)
from events.derived import COMPUTED, derive
from events.errors import AssistantNotFound, FieldError, InvalidSettings, NotDeleted
from events.limits import LARGEST, MOST_VALUES
from events.merging import Conflict, MergeConflict, three_way
from events.patching import patched
from events.pointers import MARK, Change, Tree, is_reference
from events.secrets.moved import moved_secrets
from events.secrets.references import places
from events.secrets.restore import with_secrets_of
from events.shape import SETTINGS, inside, with_defaults


class Proposal(Struct, frozen=True, kw_only=True):
    """What a command would do: its event, and what blocks it. No event: nothing would change."""

    event: Event | None
    after: State  # the state that the event leads to
    conflicts: tuple[Conflict, ...] = ()
    not_accepted: tuple[NotAccepted, ...] = ()


def decide(
    command: Command, state: State, envelope: Envelope, *, may_reveal: bool = False
) -> Event | None:
    """The event that a command leads to; None when nothing would change.

    ``may_reveal``: the caller may read secrets, and so may send kept ones to new addresses.
    Raises ``AssistantNotFound``, ``NotDeleted``, ``InvalidSettings`` and ``MergeConflict``.
    """
    proposal = propose(command, state, envelope, may_reveal=may_reveal)
    raise_conflicts(command, proposal)
    return proposal.event


def raise_conflicts(command: Command, proposal: Proposal) -> None:
    """Raise the conflicts of a proposal, or the values that it may not hold, if there are any."""
    if proposal.not_accepted:
        raise InvalidSettings(tuple(value.error for value in proposal.not_accepted))
    if proposal.conflicts and getattr(command, "on_conflict", "fail") == "fail":
        raise MergeConflict(proposal.conflicts)


def propose(
    command: Command, state: State, envelope: Envelope, *, may_reveal: bool = False
) -> Proposal:
    """What a command would do, even if it is blocked: what blocks it is in the proposal.

    ``may_reveal``: the caller may read secrets, and so may send kept ones to new addresses.
    Raises ``AssistantNotFound``, ``NotDeleted`` and ``InvalidSettings``.
    """
    _check_life(command, state, envelope)
    proposal = _proposed(command, state, envelope)
    changes, past = changes_of(proposal.event), _past(command)
    if may_reveal or not (past or state.holds_secrets):
        return proposal
    moved = moved_secrets(state.settings, changes, past, erased_version=state.erased_version)
    blocking = tuple(NotAccepted(path=secret.path, error=secret.error) for secret in moved)
    if not blocking:
        return proposal
    return msgspec.structs.replace(proposal, not_accepted=(*proposal.not_accepted, *blocking))


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
            return _proposal(NOTHING, _create(command, envelope))
        case ChangeSettings(base=None):
            after = _patched(state.settings, command)
            before = {name: state.settings[name] for name in after}
            return _proposal(state, _changed(state, before, after, command.cause, envelope))
        case ChangeSettings():
            return _merge(state, _edit(command), command, envelope)
        case UndoChange():
            return _merge(state, (command.after, _undone(command)), command, envelope)
        case RestoreSettings():
            return _restore(state, command, envelope)
        case DeleteAssistant():
            cause = Cause(type="delete")
            return _proposal(state, AssistantDeleted(cause=cause, **_recorded(state, envelope)))
        case RestoreAssistant():
            cause = Cause(type="restore", undoes=command.undoes)
            return _proposal(state, AssistantRestored(cause=cause, **_recorded(state, envelope)))
        case EraseSecrets():
            erased = SecretsErased(cause=command.cause, **_recorded(state, envelope))
            return _proposal(state, erased)
        case _:
            assert_never(command)


def _proposal(state: State, event: Event | None) -> Proposal:
    if event is None:
        return Proposal(event=None, after=state)
    after = evolve(state, event)
    if changes_of(event):
        _check_size(after, state)
    return Proposal(event=event, after=after)


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


def _create(command: CreateAssistant, envelope: Envelope) -> Event:
    settings = derive(patched(command.patch, {}, SETTINGS))
    changes = {path: Change(after=value) for path, value in pointers.flatten(settings).items()}
    return AssistantCreated(cause=command.cause, changes=changes, **_recorded(NOTHING, envelope))


def _patched(settings: Tree, command: ChangeSettings) -> Tree:
    """The members that a patch names, as they would be. The others need no work."""
    after = {}
    for name, patch in command.patch.items():
        shape = SETTINGS.members[name].shape
        value = patched(patch, settings[name], shape, (name,), equal=command.equal)
        if value is not UNSET:
            after[name] = value
    return _computed(after, settings)


def _whole(settings: Tree, current: Tree) -> Tree:
    """Settings that take the place of the current ones; missing ones get their defaults.

    A member that stays as it is stays incomplete, too: nobody touched it.
    """
    missing = {n: member.default for n, member in SETTINGS.members.items() if n not in settings}
    changed = {
        name: with_defaults(value, inside(SETTINGS, name))
        for name, value in settings.items()
        if name not in current or not pointers.same(value, current[name])
    }
    return settings | missing | _computed(changed, current)


def _computed(after: Tree, current: Tree) -> Tree:
    """Some members with those that are computed from them; none is where nothing changes."""
    name = "tools_settings"
    is_changed = name in after and not pointers.same(after[name], current.get(name))
    return derive(after) if is_changed else after


def _edit(command: ChangeSettings) -> tuple[Tree, Tree]:
    """The settings that a patch's author had read, and the same with the patch."""
    base = command.base or {}
    return base, base | _patched(base, command)


def _undone(command: UndoChange) -> Tree:
    """The settings after a change as they would be without it, or without some paths of it."""
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
    """Merge an edit of an older state into the current one; ``edit`` is its base and its result."""
    base, yours = edit
    new_secrets = _secret_ids(yours) - _secret_ids(base)
    keeps_secrets = isinstance(command, UndoChange) and not command.restores_secrets

    def insist(conflict: Conflict) -> Any:
        """Your value, with the current secrets in place of those that it only kept."""
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
    proposal = _accepted(state, whole, command.cause, envelope)
    return msgspec.structs.replace(proposal, conflicts=merged.conflicts)


def _secret_ids(settings: Tree) -> frozenset[str]:
    return frozenset(place.reference[MARK]["id"] for place in places(settings))


def _restore(state: State, command: RestoreSettings, envelope: Envelope) -> Proposal:
    cause = Cause(type="rollback", to_version=command.to_version)
    restored = with_secrets_of(command.settings, state.settings, restorable=command.restorable)
    if command.paths is not None:
        cause = msgspec.structs.replace(cause, paths=list(command.paths))
        restored = _with_paths(state.settings, restored, command.paths)
    return _accepted(state, _whole(restored, state.settings), cause, envelope)


def _with_paths(settings: Tree, restored: Tree, paths: tuple[str, ...]) -> Tree:
    mixed = settings
    for path in paths:
        if not path:
            return restored
        mixed = pointers.put(mixed, path, pointers.at(restored, path))
    return _whole(mixed, settings)


def _accepted(state: State, settings: Tree, cause: Cause, envelope: Envelope) -> Proposal:
    """A change to whole settings that come from the past, held against today's rules."""
    event = _changed(state, state.settings, settings, cause, envelope)
    broken = not_accepted(settings, event.changes) if event else ()
    return msgspec.structs.replace(_proposal(state, event), not_accepted=broken)


def _changed(
    state: State, before: Tree, after: Tree, cause: Cause, envelope: Envelope
) -> AssistantSettingsChanged | None:
    changes = pointers.diff(before, after)
    if not changes:
        return None
    return AssistantSettingsChanged(cause=cause, changes=changes, **_recorded(state, envelope))


def _check_size(after: State, before: State) -> None:
    """Refuse a change that makes the settings too large, because every change writes them whole.

    Each value takes a byte at least: small settings need no count of their values.
    """
    size = len(after.encoded)
    if size > LARGEST and size > len(before.encoded):
        message = f"The settings would be larger than {LARGEST} bytes"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_large"),))
    if size > MOST_VALUES and MOST_VALUES < count(after.settings) > count(before.settings):
        message = f"The settings would hold more than {MOST_VALUES} values"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_many"),))


def _recorded(state: State, envelope: Envelope) -> dict[str, Any]:
    """The members that every event of a stream has."""
    return members_of(envelope) | {"version": state.version + 1}
