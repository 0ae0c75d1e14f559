"""Go back: roll back to a version or a moment, undo one change, restore a deleted assistant."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Struct

from app.assistants import states
from app.assistants.changes import carry_out
from app.assistants.requests import ChangeRequest, NotUndoable, Outcome
from app.assistants.review import MOST_SUMMARIES, check_condition, checked_state
from app.vault.store import existing_secrets
from events import codec, pointers, store
from events.changed import (
    AssistantDeleted,
    AssistantSettingsChanged,
    Cause,
    changes_of,
    taken_back,
)
from events.commands import OnConflict, RestoreAssistant, RestoreSettings, UndoChange
from events.derived import COMPUTED
from events.errors import FieldError, InvalidSettings, VersionNotFound
from events.pointers import Tree
from events.secrets.references import changed_secrets
from projections import history, keyframes
from projections.event_types import event_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from app.assistants.references import Reference
    from app.transactions.unit_of_work import UnitOfWork
    from events.assistant_key import AssistantKey
    from events.changed import State
    from projections.history import ChangeSummary


class PastChange(Struct, frozen=True, kw_only=True):
    """A change of settings: its version, and the settings before and after it."""

    version: int
    before: Tree
    after: Tree


def roll_back(
    unit: UnitOfWork,
    request: ChangeRequest,
    target: Reference | datetime,
    *,
    paths: tuple[str, ...] | None = None,
    restore_secrets: bool = False,
    before: bool = False,
) -> Outcome:
    """Restore the settings of a version or a moment: all, or those at and below some paths.

    With ``before``, those of the version before the target. The current secrets are kept, unless
    ``restore_secrets`` brings back old ones whose sealed values still exist.
    """
    state = checked_state(unit, request)
    version = _version_of(unit, request, state, target)
    if before:
        version -= 1
    if not version:
        text = target.isoformat() if isinstance(target, datetime) else target.text
        raise VersionNotFound(request.assistant_id, text)
    then = states.at_version(unit, request.key, version, state)
    _check_paths(paths, then.settings, state.settings)
    command = RestoreSettings(
        settings=then.settings,
        to_version=version,
        paths=paths,
        restorable=_restorable(unit, request) if restore_secrets else frozenset(),
    )
    outcome = carry_out(unit, request, command)
    kept = _within(paths, changed_secrets(then.settings, outcome.state.settings))
    changed = changes_of(outcome.event)
    lost = _lost(unit, request, version, changed) if request.dry_run else ()
    return msgspec.structs.replace(outcome, secrets_kept=kept, lost=lost)


def undo(
    unit: UnitOfWork,
    request: ChangeRequest,
    reference: Reference,
    *,
    on_conflict: OnConflict = "fail",
    paths: tuple[str, ...] | None = None,
    restore_secrets: bool = False,
) -> Outcome:
    """Take back one change, whole or at and below some paths. Later changes are kept."""
    state = checked_state(unit, request)
    version = states.resolve(unit, request.key, state, reference)
    cause = Cause(type="undo", undoes=version, paths=UNSET if paths is None else list(paths))
    change = unit.read(past_change, request.key, version)
    command = undo_command(
        unit, request, change, on_conflict, cause, restore_secrets=restore_secrets
    )
    _check_paths(paths, command.before, command.after)
    command = msgspec.structs.replace(command, paths=paths)
    outcome = with_secrets_kept(command, carry_out(unit, request, command, version))
    if not request.dry_run or on_conflict != "force":
        return outcome
    overwritten = [conflict.path for conflict in outcome.conflicts]
    lost = _lost(unit, request, version, overwritten)
    return msgspec.structs.replace(outcome, lost=lost)


def past_change(connection: sa.Connection, key: AssistantKey, version: int) -> PastChange:
    """The change that a version made; raises ``NotUndoable``. It stays the same for good."""
    (event,) = store.read_stream(connection, *key, after=version - 1, until=version)
    if not isinstance(event, AssistantSettingsChanged):
        raise NotUndoable(version, event_type(codec.tag_of(event)))
    after = keyframes.state_at(connection, *key, version).settings
    return PastChange(version=version, before=taken_back(event.changes, after), after=after)


def undo_command(
    unit: UnitOfWork,
    request: ChangeRequest,
    change: PastChange,
    on_conflict: OnConflict,
    cause: Cause,
    *,
    restore_secrets: bool = False,
) -> UndoChange:
    """The command that takes back a change."""
    return UndoChange(
        undoes=change.version,
        before=change.before,
        after=change.after,
        cause=cause,
        on_conflict=on_conflict,
        restores_secrets=restore_secrets,
        restorable=_restorable(unit, request) if restore_secrets else frozenset(),
    )


def with_secrets_kept(command: UndoChange, outcome: Outcome) -> Outcome:
    """The outcome of an undo, with the secrets of the change that did not become the old ones."""
    still = changed_secrets(command.before, outcome.state.settings)
    changed = _within(command.paths, changed_secrets(command.before, command.after))
    kept = tuple(path for path in changed if path in still)
    return msgspec.structs.replace(outcome, secrets_kept=kept)


def restore(unit: UnitOfWork, request: ChangeRequest) -> Outcome:
    """Restore a deleted assistant with its id and its whole history."""
    state = states.existing_or_deleted(unit, request.key)
    check_condition(unit, request, state)
    newest_first = states.newest_first(unit, request.key)
    deletions = (event.version for event in newest_first if isinstance(event, AssistantDeleted))
    return carry_out(unit, request, RestoreAssistant(undoes=next(deletions, 0)))


def _version_of(
    unit: UnitOfWork, request: ChangeRequest, state: State, target: Reference | datetime
) -> int:
    if isinstance(target, datetime):
        return unit.read(keyframes.state_at_time, *request.key, target).version
    return states.resolve(unit, request.key, state, target)


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
    if not errors and paths and all(map(_is_computed, paths)):
        message = "The server computes this from other settings; choose those"
        loc = ("body", "paths", 0)
        errors.append(FieldError(loc=loc, msg=message, type="computed_path"))
    if errors:
        raise InvalidSettings(tuple(errors))


def _is_computed(path: str) -> bool:
    return any(pointers.covers(computed, path) for computed in COMPUTED)


def _within(paths: tuple[str, ...] | None, secrets: list[str]) -> tuple[str, ...]:
    """The secrets at, above or below the paths; all of them where there are no paths."""
    chosen = pointers.Paths([""] if paths is None else paths)
    return tuple(filter(chosen.overlap, secrets))


def _restorable(unit: UnitOfWork, request: ChangeRequest) -> frozenset[str]:
    """The ids of the assistant's secrets whose sealed values still exist."""
    return unit.read(existing_secrets, *request.key)


def _lost(
    unit: UnitOfWork, request: ChangeRequest, version: int, paths: Iterable[str]
) -> tuple[ChangeSummary, ...]:
    """The changes of some paths after a version, which are overwritten."""
    changed = pointers.Paths(paths)
    later = states.newest_first(unit, request.key, after=version)
    overwritten = (
        history.summary(event)
        for event in later
        if isinstance(event, AssistantSettingsChanged) and any(map(changed.overlap, event.changes))
    )
    return tuple(islice(overwritten, MOST_SUMMARIES))
