"""Change sets: one change of several assistants in one transaction, all of them or none.

Each assistant gets an event of its own; they follow each other in the log, and share the
sequence of the first as their ``change_set_id``.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from app.assistants import changes
from app.assistants.changes import ChangeRequest, Outcome
from app.assistants.preconditions import NONE, Condition, StaleTag, tag_of
from events import pointers, store
from events.changed import AssistantSettingsChanged, Cause
from events.commands import ChangeSettings, OnConflict, UndoChange
from events.errors import AssistantNotFound, DomainError
from events.secrets.references import mask
from events.shape import known
from projections import current
from projections.current import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import sqlalchemy as sa

    from app.transactions.unit_of_work import Caller, Proposed, UnitOfWork
    from events.bodies.patch import SettingsPatch
    from events.commands import Command

MOST = 500  # assistants of one set
MOST_LOOKED_AT = 2000  # assistants whose settings are compared with a filter
_READ_AT_ONCE = 32


class ChangeSetNotFound(DomainError):
    """The organization has no change set with this id."""

    def __init__(self, change_set_id: int) -> None:
        super().__init__(change_set_id)
        self.change_set_id = change_set_id


class RefusedFor(DomainError):
    """One assistant of several is in the way, so that none was changed."""

    def __init__(self, assistant_id: int, refusal: DomainError) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id
        self.refusal = refusal


class SetChangeRequest(Struct, frozen=True, kw_only=True):
    """What somebody wants of several assistants, but for what it is."""

    caller: Caller
    reason: str | None = None
    condition: Condition = NONE
    dry_run: bool = False


class SetOutcome(Struct, frozen=True, kw_only=True):
    """What came of it, or would: ``change_set_id`` is None where nothing was recorded."""

    change_set_id: int | None
    tag: str  # of the versions before it
    outcomes: tuple[Outcome, ...]
    skipped: tuple[int, ...] = ()  # deleted since, by id
    ignored: tuple[str, ...] = ()  # of the patch: members that nobody knows


def choose(
    unit: UnitOfWork,
    organization_id: int,
    selection: Selection,
    settings: dict[str, Any] | None = None,
) -> list[int]:
    """The chosen assistants, oldest first; ``settings`` are values that they show, by path."""
    unit.flush()
    found = current.select(unit.connection, organization_id, selection)
    return sorted(
        assistant_id
        for assistant_id, state in found
        if all(
            pointers.alike(
                mask(pointers.at(known(state.settings), path), state.erased_version), value
            )
            for path, value in (settings or {}).items()
        )
    )


def apply(
    unit: UnitOfWork, wish: SetChangeRequest, assistant_ids: Iterable[int], patch: SettingsPatch
) -> SetOutcome:
    """Merge one patch into each of the assistants."""

    def command(one: ChangeRequest, cause: Cause) -> Command:
        changes.living(unit, one.caller, one.assistant_id)
        return ChangeSettings(patch=patch.tree, sent=patch.sent, cause=cause)

    outcome = _carry_out(unit, wish, assistant_ids, Cause(type="change_set"), command)
    told = [msgspec.structs.replace(one, ignored=patch.ignored) for one in outcome.outcomes]
    return msgspec.structs.replace(outcome, outcomes=tuple(told), ignored=patch.ignored)


def revert(
    unit: UnitOfWork,
    wish: SetChangeRequest,
    change_set_id: int,
    on_conflict: OnConflict,
    *,
    restore_secrets: bool = False,
) -> SetOutcome:
    """Take back what a change set did, and keep what came later, as one more set.

    An assistant that was deleted since is in the way, or is skipped where conflicts are.
    """
    unit.flush()
    organization_id = wish.caller.organization_id
    events = read(unit.connection, organization_id, change_set_id)
    versions = {event.assistant_id: event.version for event in events}
    skipped: list[int] = []
    for assistant_id in versions:
        if unit.state(organization_id, assistant_id).deleted:
            if on_conflict == "fail":
                raise RefusedFor(assistant_id, AssistantNotFound(assistant_id))
            skipped.append(assistant_id)

    def command(one: ChangeRequest, cause: Cause) -> Command:
        version = versions[one.assistant_id]
        cause = msgspec.structs.replace(cause, undoes=version)
        return changes.undoing(
            unit, one, version, on_conflict, cause, restore_secrets=restore_secrets
        )

    living = [one for one in versions if one not in skipped]
    outcome = _carry_out(unit, wish, living, Cause(type="undo"), command, versions)
    return msgspec.structs.replace(outcome, skipped=tuple(skipped))


def read(
    connection: sa.Connection, organization_id: int, change_set_id: int
) -> list[AssistantSettingsChanged]:
    """The events of a change set; raises ``ChangeSetNotFound``."""
    log = store.read_log(
        connection, organization_id, after=change_set_id - 1, at_once=_READ_AT_ONCE
    )
    found = [
        event
        for event in takewhile(lambda event: _set_of(event) == change_set_id, log)
        if isinstance(event, AssistantSettingsChanged)
    ]
    if not found:
        raise ChangeSetNotFound(change_set_id)
    return found


def _set_of(event: Any) -> int | None:
    cause = getattr(event, "cause", None)
    return None if cause is None or cause.change_set_id is UNSET else cause.change_set_id


def _carry_out(
    unit: UnitOfWork,
    wish: SetChangeRequest,
    assistant_ids: Iterable[int],
    cause: Cause,
    command_for: Callable[[ChangeRequest, Cause], Command],
    bases: dict[int, int] | None = None,
) -> SetOutcome:
    ids = list(assistant_ids)
    change_set_id = unit.counter(wish.caller.organization_id).sequence + 1
    cause = msgspec.structs.replace(cause, change_set_id=change_set_id)
    tag = _tag(unit, wish.caller, ids)
    if not wish.condition.holds(tag):
        raise StaleTag(tag)
    _require_condition(unit, wish, is_revert=bases is not None)
    proposals: list[tuple[Proposed, Outcome]] = []
    for assistant_id in ids:
        one = ChangeRequest(
            caller=wish.caller,
            assistant_id=assistant_id,
            reason=wish.reason,
            dry_run=wish.dry_run,
        )
        base = (bases or {}).get(assistant_id)
        try:
            proposals.append(_propose(unit, one, command_for(one, cause), base))
        except DomainError as refusal:
            raise RefusedFor(assistant_id, refusal) from refusal
    outcomes = tuple(outcome for _, outcome in proposals)
    changed = any(outcome.event is not None for outcome in outcomes)
    if not wish.dry_run:
        for proposed, _ in proposals:
            unit.accept(proposed)
    return SetOutcome(
        change_set_id=change_set_id if changed and not wish.dry_run else None,
        tag=tag,
        outcomes=outcomes,
    )


def _propose(
    unit: UnitOfWork, wish: ChangeRequest, command: Command, base: int | None
) -> tuple[Proposed, Outcome]:
    proposed = unit.propose(wish.caller, wish.assistant_id, command, wish.reason)
    outcome = changes.judge(unit, wish, command, proposed, base, tells_between=wish.dry_run)
    if isinstance(command, UndoChange):
        outcome = changes.undone(command, outcome)
    if not wish.dry_run:
        changes.stop(command, proposed, outcome)
    return proposed, outcome


def _require_condition(unit: UnitOfWork, wish: SetChangeRequest, *, is_revert: bool) -> None:
    """A set is conditional by its tag; taking one back keeps what came later by itself."""
    free = is_revert or wish.dry_run or wish.condition.names_a_state
    if not free and unit.policy(wish.caller.organization_id).require_condition:
        raise changes.PreconditionRequired


def _tag(unit: UnitOfWork, caller: Caller, assistant_ids: list[int]) -> str:
    organization_id = caller.organization_id
    versions = [(one, unit.state(organization_id, one).version) for one in assistant_ids]
    return tag_of(organization_id, "change-sets", msgspec.json.encode(versions))
