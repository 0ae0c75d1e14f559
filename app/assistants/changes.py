"""What callers do to assistants. The functions work in the transaction of a ``UnitOfWork``.

Every wish goes the same way: is it conditional, and does the condition hold; what would it do;
does the organization's policy allow that; then it is recorded, or, as a dry run, only told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.assistants import references, representation
from app.assistants.preconditions import NONE, Condition, version_in
from app.vault.store import existing
from events import codec, pointers, policy, store
from events.bodies.acceptance import NotAccepted
from events.bodies.patch import SettingsPatch
from events.bodies.validation import MOST_ERRORS
from events.changed import (
    AssistantDeleted,
    AssistantSettingsChanged,
    Cause,
    Event,
    State,
    VersionLabelled,
    changes_of,
    evolve,
    taken_back,
)
from events.commands import (
    ChangeSettings,
    Command,
    CreateAssistant,
    DeleteAssistant,
    OnConflict,
    RestoreAssistant,
    RestoreSettings,
    UndoChange,
)
from events.decider import raise_if_blocked
from events.derived import COMPUTED
from events.errors import (
    AssistantNotFound,
    DomainError,
    FieldError,
    InvalidSettings,
    Location,
    VersionNotFound,
)
from events.merging import Conflict, MergeConflict
from events.policy import PathProtected, ReasonRequired, Warned
from events.secrets.references import changed_secrets, mask, places
from events.secrets.restore import with_secrets_of
from projections import history, keyframes, labels
from projections.blame import newest_at
from projections.exports import event_type
from projections.history import ChangeSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.assistants.references import Reference
    from app.transactions.unit_of_work import Caller, Proposed, UnitOfWork
    from events.pointers import Tree

_COPY = " (Copy)"
_NAME_LENGTH = 100
_MOST_TOLD = 100  # changes that an answer lists

# A patch that was read, or how to read one against the settings that it is about.
Patch = SettingsPatch | Callable[[State], SettingsPatch]


class ChangeRequest(Struct, frozen=True, kw_only=True):
    """What somebody wants of one assistant, but for what it is."""

    caller: Caller
    assistant_id: int
    reason: str | None = None
    reason_at: Location = policy.REASON_AT  # where the request gives it, or would
    condition: Condition = NONE
    dry_run: bool = False


class Clash(Struct, frozen=True, kw_only=True):
    """A path that was changed by others, too: what it was, is, and was meant to be, masked."""

    path: str
    base: Any | UnsetType = UNSET
    theirs: Any | UnsetType = UNSET
    yours: Any | UnsetType = UNSET
    changed_by: ChangeSummary | None = None


class Assistant(Struct, frozen=True, kw_only=True):
    """One assistant as its events left it."""

    organization_id: int
    id: int
    state: State


class Outcome(Assistant, frozen=True, kw_only=True):
    """What came of a wish, or would: ``state`` is the one after it."""

    before: State
    event: Event | None
    warnings: tuple[Warned, ...] = ()
    base_version: int | None = None
    came_between: tuple[ChangeSummary, ...] = ()
    clashes: tuple[Clash, ...] = ()
    lost: tuple[ChangeSummary, ...] = ()
    not_accepted: tuple[NotAccepted, ...] = ()
    secrets_kept: tuple[str, ...] = ()
    refused: DomainError | None = None  # by the policy; a dry run tells it
    applicable: bool = True  # nothing stands against it
    ignored: tuple[str, ...] = ()


class PreconditionFailed(DomainError):
    """The assistant is not what the caller held it to be."""

    def __init__(
        self, version: int, tag: str, changes: tuple[ChangeSummary, ...], *, is_unknown: bool
    ) -> None:
        super().__init__(version)
        self.version = version
        self.tag = tag
        self.changes = changes
        self.is_unknown = is_unknown  # nothing changed since: the tag is of something else


class PreconditionRequired(DomainError):
    """The organization's policy wants every change to be conditional."""

    rule = "require_condition"


class ChangesConflict(DomainError):
    """Others changed the same paths since."""

    def __init__(self, version: int, tag: str, clashes: tuple[Clash, ...], count: int) -> None:
        super().__init__(version)
        self.version = version
        self.tag = tag
        self.clashes = clashes  # the first of all that there are
        self.count = count


class NotUndoable(DomainError):
    """The version was not made by a change of settings."""

    def __init__(self, version: int, kind: str) -> None:
        super().__init__(version)
        self.version = version
        self.kind = kind


class LabelTaken(DomainError):
    """Another version of the assistant has this label."""

    def __init__(self, label: str, version: int) -> None:
        super().__init__(label)
        self.label = label
        self.version = version


# -- wishes


def create(
    unit: UnitOfWork, caller: Caller, patch: SettingsPatch, *, dry_run: bool = False
) -> Outcome:
    """Create an assistant from the defaults and a patch."""
    command = CreateAssistant(patch=patch.tree)
    outcome = _created(unit, caller, command, patch.reason, dry_run=dry_run)
    return msgspec.structs.replace(outcome, ignored=patch.ignored)


def duplicate(
    unit: UnitOfWork,
    caller: Caller,
    assistant_id: int,
    *,
    strict: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Create an assistant with another's settings.

    Secrets are not copied: they are what was ignored, or, if ``strict``, ``InvalidSettings``.
    """
    source = living(unit, caller, assistant_id)
    left = [place.at for place in places(source.settings)]
    if left and strict:
        message = "A secret is not copied, nor the credentials of a URL"
        errors = [
            FieldError(loc=("body", *at), msg=message, type="secret_not_copied") for at in left
        ]
        raise InvalidSettings(tuple(errors[:MOST_ERRORS]))
    command = CreateAssistant(
        patch=_copied(source.settings), cause=Cause(type="duplicate", assistant_id=assistant_id)
    )
    outcome = _created(unit, caller, command, None, dry_run=dry_run)
    return msgspec.structs.replace(outcome, ignored=tuple(map(pointers.join, left)))


def change(
    unit: UnitOfWork,
    wish: ChangeRequest,
    patch: Patch,
    cause: Cause,
    *,
    base: Reference | None = None,
    on_conflict: OnConflict = "fail",
) -> Outcome:
    """Merge a patch; with ``base``, the version that its author had read, a three-way merge."""
    # What is relative to the latest version holds nothing to be known of it.
    state = _checked(unit, wish, is_conditional=base is not None and not base.is_relative)
    read = state
    if base is not None:
        version = _resolve(unit, wish, state, base)
        cause = msgspec.structs.replace(cause, base_version=version)
        read = state_at(unit, wish, version, state)
    patch = patch(read) if callable(patch) else patch
    command = ChangeSettings(
        patch=patch.tree,
        sent=patch.sent,
        broken=patch.broken,
        cause=cause,
        base=None if base is None else read.settings,
        on_conflict=on_conflict,
    )
    wish = msgspec.structs.replace(wish, reason=patch.reason or wish.reason)
    outcome = _carry_out(unit, wish, command, None if base is None else read.version)
    return msgspec.structs.replace(outcome, ignored=patch.ignored)


def roll_back(
    unit: UnitOfWork,
    wish: ChangeRequest,
    target: Reference | datetime,
    *,
    paths: tuple[str, ...] | None = None,
    restore_secrets: bool = False,
    before: bool = False,
) -> Outcome:
    """Restore the settings of a version or a moment, whole or at and below some paths.

    The current secrets are kept, or those of then, where their values still are. ``before``
    restores the version before the named one.
    """
    state = _checked(unit, wish)
    version = _target(unit, wish, state, target)
    if before:
        version -= 1
    if not version:
        raise _no_version(wish, target)
    then = state_at(unit, wish, version, state)
    _check_paths(paths, then.settings, state.settings)
    command = RestoreSettings(
        settings=then.settings,
        to_version=version,
        paths=paths,
        restorable=_restorable(unit, wish, wanted=restore_secrets),
    )
    outcome = _carry_out(unit, wish, command)
    wanted = [""] if paths is None else paths
    kept = [
        path
        for path in changed_secrets(then.settings, outcome.state.settings)
        if any(pointers.overlaps(path, one) for one in wanted)
    ]
    lost = _lost(unit, wish, version, outcome) if wish.dry_run else ()
    return msgspec.structs.replace(outcome, secrets_kept=tuple(kept), lost=lost)


def undo(
    unit: UnitOfWork,
    wish: ChangeRequest,
    wanted: Reference,
    *,
    on_conflict: OnConflict = "fail",
    paths: tuple[str, ...] | None = None,
    restore_secrets: bool = False,
) -> Outcome:
    """Take back what one change did, whole or at and below some paths, and keep what came later."""
    state = _checked(unit, wish)
    version = _resolve(unit, wish, state, wanted)
    cause = Cause(type="undo", undoes=version, paths=UNSET if paths is None else list(paths))
    command = undoing(unit, wish, version, on_conflict, cause, restore_secrets=restore_secrets)
    _check_paths(paths, command.before, command.after)
    command = msgspec.structs.replace(command, paths=paths)
    return undone(command, _carry_out(unit, wish, command, version))


def undone(command: UndoChange, outcome: Outcome) -> Outcome:
    """What came of an undo, with the secrets of the change that are not as they were before it."""
    still = changed_secrets(command.before, outcome.state.settings)
    wanted = pointers.Paths([""] if command.paths is None else command.paths)
    kept = [
        path
        for path in changed_secrets(command.before, command.after)
        if path in still and wanted.overlap(path)
    ]
    return msgspec.structs.replace(outcome, secrets_kept=tuple(kept))


def delete(unit: UnitOfWork, wish: ChangeRequest) -> Outcome:
    """Delete an assistant; its history stays."""
    _checked(unit, wish)
    return _carry_out(unit, wish, DeleteAssistant())


def restore(unit: UnitOfWork, wish: ChangeRequest) -> Outcome:
    """Bring a deleted assistant back, with its id and its whole history."""
    state = living_or_deleted(unit, wish.caller, wish.assistant_id)
    check_condition(unit, wish, state)
    deletion = next(
        (e.version for e in _newest_first(unit, wish) if isinstance(e, AssistantDeleted)), 0
    )
    return _carry_out(unit, wish, RestoreAssistant(undoes=deletion))


def set_label(unit: UnitOfWork, wish: ChangeRequest, wanted: Reference, label: str | None) -> int:
    """Name a version, or take its name away; the version. It changes no state."""
    state = living(unit, wish.caller, wish.assistant_id)
    check_condition(unit, wish, state)
    version = _resolve(unit, wish, state, wanted)
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    if label is not None:
        taken = labels.version_of(unit.connection, *key, label)
        if taken not in (None, version):
            raise LabelTaken(label, taken or 0)
    if labels.of(unit.connection, *key, [version]).get(version) != label:
        unit.record(
            wish.caller,
            VersionLabelled,
            wish.reason,
            assistant_id=wish.assistant_id,
            labelled_version=version,
            label=label,
        )
    return version


# -- what wishes share


def living(unit: UnitOfWork, caller: Caller, assistant_id: int) -> State:
    """The state of an assistant that there is; raises ``AssistantNotFound``."""
    state = unit.state(caller.organization_id, assistant_id)
    if not state.version or state.deleted:
        raise AssistantNotFound(assistant_id)
    return state


def living_or_deleted(unit: UnitOfWork, caller: Caller, assistant_id: int) -> State:
    """The state of an assistant that there is or was; raises ``AssistantNotFound``."""
    state = unit.state(caller.organization_id, assistant_id)
    if not state.version:
        raise AssistantNotFound(assistant_id)
    return state


def state_at(unit: UnitOfWork, wish: ChangeRequest, version: int, current: State) -> State:
    """The state after a version, as today sees it: what was erased since is erased in it."""
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    then = keyframes.state_at(unit.connection, *key, version)
    return msgspec.structs.replace(then, erased_version=current.erased_version)


def undoing(
    unit: UnitOfWork,
    wish: ChangeRequest,
    version: int,
    on_conflict: OnConflict,
    cause: Cause,
    *,
    restore_secrets: bool = False,
) -> UndoChange:
    """The command that takes back the change of a version; raises ``NotUndoable``."""
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    (event,) = store.read_stream(unit.connection, *key, after=version - 1, until=version)
    if not isinstance(event, AssistantSettingsChanged):
        raise NotUndoable(version, event_type(codec.tag_of(event)))
    after = keyframes.state_at(unit.connection, *key, version).settings
    return UndoChange(
        undoes=version,
        before=taken_back(event.changes, after),
        after=after,
        cause=cause,
        on_conflict=on_conflict,
        restores_secrets=restore_secrets,
        restorable=_restorable(unit, wish, wanted=restore_secrets),
    )


def judge(
    unit: UnitOfWork,
    wish: ChangeRequest,
    command: Command,
    proposed: Proposed,
    base: int | None = None,
    *,
    tells_between: bool = True,
) -> Outcome:
    """What a proposal would come to: its warnings, clashes, and what the policy says to it.

    With ``base``, over which version it was made; what came in between is told on demand.
    """
    caller, proposal, state = wish.caller, proposed.proposal, proposed.state
    event = proposal.event
    after = state if event is None else evolve(state, event)
    changes = changes_of(event)
    warnings: tuple[Warned, ...] = ()
    if policy.is_watched(changes):
        warnings = tuple(policy.warnings(state.settings, after.settings))
    outcome = Outcome(
        organization_id=caller.organization_id,
        id=proposed.assistant_id,
        before=state,
        state=after,
        event=event,
        warnings=warnings,
        base_version=base,
        came_between=_came_between(unit, wish, base, state) if tells_between else (),
        clashes=tuple(_clashes(unit, wish, proposal.conflicts, base or 0, state)),
        not_accepted=proposal.not_accepted,
        refused=None if event is None else _refused(unit, wish, event),
    )
    try:
        stop(command, proposed, outcome)
    except DomainError:
        return msgspec.structs.replace(outcome, applicable=False)
    return outcome


def _created(
    unit: UnitOfWork, caller: Caller, command: CreateAssistant, reason: str | None, *, dry_run: bool
) -> Outcome:
    assistant_id = unit.next_id(caller.organization_id)
    proposed = unit.propose(caller, assistant_id, command, reason)
    event = proposed.proposal.event
    state = proposed.state if event is None else evolve(proposed.state, event)
    if not dry_run:
        state = unit.accept(proposed)
    return Outcome(
        organization_id=caller.organization_id,
        id=assistant_id,
        before=proposed.state,
        state=state,
        event=event,
    )


def _carry_out(
    unit: UnitOfWork, wish: ChangeRequest, command: Command, base: int | None = None
) -> Outcome:
    proposed = unit.propose(wish.caller, wish.assistant_id, command, wish.reason)
    outcome = judge(unit, wish, command, proposed, base)
    if not wish.dry_run:
        stop(command, proposed, outcome)
        unit.accept(proposed)
    return outcome


def stop(command: Command, proposed: Proposed, outcome: Outcome) -> None:
    """Raise whatever stands against what was proposed."""
    try:
        raise_if_blocked(command, proposed.proposal)
    except MergeConflict as conflict:
        count = len(conflict.conflicts)
        before = outcome.before
        tag = representation.of(outcome.organization_id, outcome.id, before).tag
        raise ChangesConflict(before.version, tag, outcome.clashes, count) from None
    if outcome.refused is not None:
        raise outcome.refused


def _checked(unit: UnitOfWork, wish: ChangeRequest, *, is_conditional: bool = False) -> State:
    """The state to decide over; raises where the caller's condition does not hold for it."""
    state = living(unit, wish.caller, wish.assistant_id)
    check_condition(unit, wish, state)
    is_conditional = is_conditional or wish.dry_run or wish.condition.names_a_state
    if not is_conditional and unit.policy(wish.caller.organization_id).require_condition:
        raise PreconditionRequired
    return state


def check_condition(unit: UnitOfWork, wish: ChangeRequest, state: State) -> None:
    """Raise ``PreconditionFailed`` where the state is not the one that the caller read."""
    if wish.condition == NONE:
        return
    tag = representation.of(wish.caller.organization_id, wish.assistant_id, state).tag
    if not wish.condition.holds(tag, state.version):
        since = _since(unit, wish, wish.condition, state)
        is_unknown = not since and not wish.condition.matches(tag, state.version)
        raise PreconditionFailed(state.version, tag, since, is_unknown=is_unknown)


def _since(
    unit: UnitOfWork, wish: ChangeRequest, condition: Condition, state: State
) -> tuple[ChangeSummary, ...]:
    """What happened since the newest version that the caller knew."""
    tags = condition.if_match.strong if condition.if_match else ()
    known = [version for tag in tags if (version := version_in(tag)) is not None]
    older = [version for version in known if version < state.version]
    return _came_between(unit, wish, max(older), state) if older else ()


def _came_between(
    unit: UnitOfWork, wish: ChangeRequest, base: int | None, state: State
) -> tuple[ChangeSummary, ...]:
    if base is None or base == state.version:
        return ()
    newest = islice(_newest_first(unit, wish, after=base), _MOST_TOLD)
    return tuple(history.summary(event) for event in newest)


def _newest_first(unit: UnitOfWork, wish: ChangeRequest, after: int = 0) -> Iterator[Event]:
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    return store.read_stream(
        unit.connection, *key, newest_first=True, after=after, at_once=_MOST_TOLD
    )


def _clashes(
    unit: UnitOfWork, wish: ChangeRequest, conflicts: tuple[Conflict, ...], base: int, state: State
) -> Iterator[Clash]:
    if not conflicts:
        return
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    blamed = keyframes.blame_at(unit.connection, *key, state.version)
    some = conflicts[:_MOST_TOLD]
    newest = newest_at(blamed, [conflict.path for conflict in some])
    versions = {max(version, base + 1) for version in newest.values()}
    events = store.read_versions(unit.connection, *key, versions)
    told = {event.version: history.summary(event) for event in events}
    for conflict in some:
        by = told.get(max(newest[conflict.path], base + 1))
        yield Clash(
            path=conflict.path,
            base=mask(conflict.base, state.erased_version),
            theirs=mask(conflict.theirs, state.erased_version),
            yours=mask(conflict.yours, state.erased_version),
            changed_by=by and msgspec.structs.replace(by, paths=[conflict.path], more_paths=0),
        )


def _refused(unit: UnitOfWork, wish: ChangeRequest, event: Event) -> DomainError | None:
    changed = changes_of(event)
    rules = unit.policy(wish.caller.organization_id)
    try:
        policy.check(
            rules,
            changed,
            wish.reason,
            is_admin=wish.caller.is_admin,
            reason_at=wish.reason_at,
        )
    except (PathProtected, ReasonRequired) as refusal:
        return refusal
    return None


def _resolve(unit: UnitOfWork, wish: ChangeRequest, state: State, wanted: Reference) -> int:
    if wanted.label is not None:
        unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    return references.resolve(unit.connection, *key, state.version, wanted)


def _target(
    unit: UnitOfWork, wish: ChangeRequest, state: State, target: Reference | datetime
) -> int:
    if not isinstance(target, datetime):
        return _resolve(unit, wish, state, target)
    unit.flush()
    key = (wish.caller.organization_id, wish.assistant_id)
    return keyframes.state_at_time(unit.connection, *key, target).version


def _no_version(wish: ChangeRequest, target: Reference | datetime) -> DomainError:
    text = target.isoformat() if isinstance(target, datetime) else target.text
    return VersionNotFound(wish.assistant_id, text)


def _check_paths(paths: tuple[str, ...] | None, then: Tree, now: Tree) -> None:
    errors = [
        FieldError(
            loc=("body", "paths", position),
            msg="There is nothing at this path, then or now; a list is one value",
            type="no_such_path",
        )
        for position, path in enumerate(paths or ())
        if pointers.at(then, path) is UNSET and pointers.at(now, path) is UNSET
    ]
    if (
        not errors
        and paths
        and all(any(pointers.covers(one, path) for one in COMPUTED) for path in paths)
    ):
        message = "The server computes this from other settings; choose those"
        loc = ("body", "paths", 0)
        errors.append(FieldError(loc=loc, msg=message, type="computed_path"))
    if errors:
        raise InvalidSettings(tuple(errors))


def _restorable(unit: UnitOfWork, wish: ChangeRequest, *, wanted: bool) -> frozenset[str]:
    if not wanted:
        return frozenset()
    unit.flush()
    return existing(unit.connection, wish.caller.organization_id, wish.assistant_id)


def _lost(
    unit: UnitOfWork, wish: ChangeRequest, version: int, outcome: Outcome
) -> tuple[ChangeSummary, ...]:
    """The later changes of what a rollback changes."""
    event = outcome.event
    changed = pointers.Paths(changes_of(event))
    later = _newest_first(unit, wish, after=version)
    touching = (
        one
        for one in later
        if isinstance(one, AssistantSettingsChanged) and any(map(changed.overlap, one.changes))
    )
    return tuple(history.summary(one) for one in islice(touching, _MOST_TOLD))


def _copied(settings: Tree) -> Tree:
    copied: Tree = with_secrets_of(settings, {})
    name = copied["name"][: _NAME_LENGTH - len(_COPY)] + _COPY
    return copied | {"name": name}
