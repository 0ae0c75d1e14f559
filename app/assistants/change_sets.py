"""Change sets: one change of several assistants in one transaction, all or none.

Each assistant gets its own event. The events follow each other in the log, and share the sequence
of the first as their ``change_set_id``.
"""

from __future__ import annotations

from contextlib import closing
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from app.assistants import comparing, states
from app.assistants.comparing import DiffEntry
from app.assistants.preconditions import NONE, Condition, StaleTag, tag_of
from app.assistants.requests import ChangeRequest, Outcome
from app.assistants.reversals import PastChange, past_change, undo_command, with_secrets_kept
from app.assistants.review import check_condition_given, raise_if_blocked, review
from app.assistants.searching import Budget
from app.pages import Page, page_of
from events import codec, log_search, store
from events.assistant_key import AssistantKey
from events.changed import AssistantSettingsChanged, Cause
from events.commands import ChangeSettings, OnConflict, UndoChange
from events.errors import AssistantNotFound, DomainError
from events.log_search import EventFilter
from projections import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import sqlalchemy as sa

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import Proposed, UnitOfWork
    from events.bodies.patch import SettingsPatch
    from events.commands import Command
    from events.store import Decode

    # The command for one assistant of the set.
    CommandFor = Callable[[ChangeRequest, Cause], Command]

MOST = 500  # assistants in a set
MOST_BYTES = 32 * 1024 * 1024  # of their settings and the patches: others wait meanwhile
_READ_AT_ONCE = 32
_MARK = b'"change_set_id"'  # in the bytes of every event of a set


class ChangeSetNotFound(DomainError):
    """The organization has no change set with this id."""

    def __init__(self, change_set_id: int) -> None:
        super().__init__(change_set_id)
        self.change_set_id = change_set_id


class RefusedFor(DomainError):
    """The change of one assistant is refused, so none was changed."""

    def __init__(self, assistant_id: int, refusal: DomainError) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id
        self.refusal = refusal


class ChangeSetDiff(Struct, frozen=True, kw_only=True):
    """What a change set changed of one assistant."""

    assistant_id: int
    assistant_name: str
    version: int
    diff: list[DiffEntry]


class SetChangeRequest(Struct, frozen=True, kw_only=True):
    """A requested change of several assistants: who, why and under which condition."""

    caller: Caller
    reason: str | None = None
    condition: Condition = NONE
    dry_run: bool = False

    @property
    def organization_id(self) -> int:
        """The caller's organization."""
        return self.caller.organization_id


class SetOutcome(Struct, frozen=True, kw_only=True):
    """What a change set did, or in a dry run would do."""

    change_set_id: int | None  # None where nothing was recorded
    tag: str  # of the versions before it
    outcomes: tuple[Outcome, ...]
    skipped: tuple[int, ...] = ()  # the ids of assistants that were deleted since
    ignored: tuple[str, ...] = ()  # unknown members of the patch


def apply(
    unit: UnitOfWork, request: SetChangeRequest, assistant_ids: Iterable[int], patch: SettingsPatch
) -> SetOutcome:
    """Merge one patch into each of the assistants."""

    def command(one: ChangeRequest, cause: Cause) -> Command:
        states.existing(unit, one.key)
        return ChangeSettings(patch=patch.tree, sent=patch.sent, cause=cause)

    outcome = _carry_out(unit, request, assistant_ids, Cause(type="change_set"), command)
    outcomes = [msgspec.structs.replace(one, ignored=patch.ignored) for one in outcome.outcomes]
    return msgspec.structs.replace(outcome, outcomes=tuple(outcomes), ignored=patch.ignored)


def revert(
    unit: UnitOfWork,
    request: SetChangeRequest,
    changes: Mapping[int, PastChange],
    on_conflict: OnConflict,
    *,
    restore_secrets: bool = False,
) -> SetOutcome:
    """Take back a change set, as ``past_changes`` gives it, as another one. Later changes are kept.

    A deleted assistant is ``RefusedFor`` where conflicts fail, and is skipped otherwise.
    """
    deleted = tuple(
        one for one in changes if unit.state(AssistantKey(request.organization_id, one)).deleted
    )
    if deleted and on_conflict == "fail":
        raise RefusedFor(deleted[0], AssistantNotFound(deleted[0]))

    def command(one: ChangeRequest, cause: Cause) -> Command:
        change = changes[one.assistant_id]
        cause = msgspec.structs.replace(cause, undoes=change.version)
        return undo_command(unit, one, change, on_conflict, cause, restore_secrets=restore_secrets)

    ids = [one for one in changes if one not in deleted]
    versions = {one: change.version for one, change in changes.items()}
    outcome = _carry_out(unit, request, ids, Cause(type="undo"), command, versions)
    return msgspec.structs.replace(outcome, skipped=deleted)


def read(
    connection: sa.Connection, organization_id: int, change_set_id: int
) -> list[AssistantSettingsChanged]:
    """Outlines of the events of a change set; raises ``ChangeSetNotFound``."""
    events = list(_events(connection, organization_id, change_set_id, decode=codec.outline))
    if not events:
        raise ChangeSetNotFound(change_set_id)
    return events


class Recent:
    """The change sets before one, newest first; the search stops in time, and knows where."""

    def __init__(self, before: int | None) -> None:
        self._before = before
        self._budget = Budget(steps=_READ_AT_ONCE)
        self.stopped_at: int | None = None

    def read(
        self, connection: sa.Connection, organization_id: int
    ) -> Iterator[list[AssistantSettingsChanged]]:
        """Outlines of the events of each set, in order."""
        some: list[AssistantSettingsChanged] = []
        for sequence, event in self._outlines(connection, organization_id):
            if some and (event is None or _set_of(event) != _set_of(some[0])):
                yield some[::-1]
                some = []
            if event is not None:
                some.append(event)
            elif self._budget.is_spent:
                self.stopped_at = sequence
                return
        if some:
            yield some[::-1]

    def _outlines(
        self, connection: sa.Connection, organization_id: int
    ) -> Iterator[tuple[int, AssistantSettingsChanged | None]]:
        """Each change with its sequence, newest first; None for those of no set."""
        matching = EventFilter(
            until=None if self._before is None else self._before - 1,
            tags=codec.tags_of(AssistantSettingsChanged),
        )
        batches = log_search.read_stored(connection, organization_id, matching, newest_first=True)
        with closing(batches):
            for sequence, body, _ in chain.from_iterable(batches):
                event = codec.outline(body, codec.tag_in(body)) if _MARK in body else None
                is_of_set = isinstance(event, AssistantSettingsChanged) and _set_of(event)
                yield sequence, event if is_of_set else None  # type: ignore[misc]  # by its tags


def past_changes(
    connection: sa.Connection, events: Iterable[AssistantSettingsChanged]
) -> dict[int, PastChange]:
    """What the events of a change set changed, by assistant.

    It takes long for large assistants, so read it on a snapshot, before others wait for a lock.
    """
    return {
        event.assistant_id: past_change(
            connection, AssistantKey(event.organization_id, event.assistant_id), event.version
        )
        for event in events
    }


def diff(
    connection: sa.Connection, organization_id: int, change_set_id: int, after: int | None
) -> Page:
    """What a change set changed of each assistant, masked; raises ``ChangeSetNotFound``.

    The page follows the event with the sequence ``after``.
    """
    first = _events(connection, organization_id, change_set_id, decode=codec.outline)
    if next(first, None) is None:
        raise ChangeSetNotFound(change_set_id)
    events = _events(connection, organization_id, change_set_id, after)
    rows = ((event.sequence, _diff_of(connection, event)) for event in events)
    return page_of(rows, MOST)


def _events(
    connection: sa.Connection,
    organization_id: int,
    change_set_id: int,
    after: int | None = None,
    decode: Decode | None = None,
) -> Iterator[AssistantSettingsChanged]:
    """The events of a change set, those after a sequence."""
    log = store.read_log(
        connection,
        organization_id,
        after=max(after or 0, change_set_id - 1),
        at_once=_READ_AT_ONCE,
        decode=decode,
    )
    of_set = takewhile(lambda event: _set_of(event) == change_set_id, log)
    return (event for event in of_set if isinstance(event, AssistantSettingsChanged))


def _diff_of(connection: sa.Connection, event: AssistantSettingsChanged) -> ChangeSetDiff:
    one = event.assistant_id
    names, erased = current.names_and_erasures(connection, event.organization_id, [one])
    diff = comparing.entries_of(event, erased.get(one, 0))
    return ChangeSetDiff(
        assistant_id=one, assistant_name=names[one], version=event.version, diff=diff
    )


def _set_of(event: Any) -> int | None:
    cause = getattr(event, "cause", None)
    return None if cause is None or cause.change_set_id is UNSET else cause.change_set_id


def _carry_out(
    unit: UnitOfWork,
    request: SetChangeRequest,
    assistant_ids: Iterable[int],
    cause: Cause,
    command_for: CommandFor,
    bases: dict[int, int] | None = None,
) -> SetOutcome:
    """Propose and review a command for each assistant, then record them all.

    ``bases`` are the versions that a revert takes back, by assistant.
    """
    ids = list(assistant_ids)
    change_set_id = unit.log_head(request.organization_id).sequence + 1
    cause = msgspec.structs.replace(cause, change_set_id=change_set_id)
    tag = _check_condition(unit, request, ids, is_revert=bases is not None)
    reviewed: list[tuple[Proposed, Outcome]] = []
    for assistant_id in ids:
        one = _request_for(request, assistant_id)
        base = (bases or {}).get(assistant_id)
        try:
            reviewed.append(_review(unit, one, command_for(one, cause), base))
        except DomainError as refusal:
            raise RefusedFor(assistant_id, refusal) from refusal
    if not request.dry_run:
        for proposed, _ in reviewed:
            unit.accept(proposed)
    outcomes = tuple(outcome for _, outcome in reviewed)
    is_recorded = not request.dry_run and any(one.event is not None for one in outcomes)
    return SetOutcome(
        change_set_id=change_set_id if is_recorded else None, tag=tag, outcomes=outcomes
    )


def _request_for(request: SetChangeRequest, assistant_id: int) -> ChangeRequest:
    return ChangeRequest(
        caller=request.caller,
        assistant_id=assistant_id,
        reason=request.reason,
        dry_run=request.dry_run,
    )


def _review(
    unit: UnitOfWork, request: ChangeRequest, command: Command, base: int | None
) -> tuple[Proposed, Outcome]:
    proposed = unit.propose(request.caller, request.assistant_id, command, request.reason)
    outcome = review(unit, request, command, proposed, base, with_came_between=request.dry_run)
    if isinstance(command, UndoChange):
        outcome = with_secrets_kept(command, outcome)
    if not request.dry_run:
        raise_if_blocked(outcome)
    return proposed, outcome


def _check_condition(
    unit: UnitOfWork, request: SetChangeRequest, ids: list[int], *, is_revert: bool
) -> str:
    """The tag of the assistants' versions, where the request's condition holds for it.

    A revert needs no condition: it keeps later changes anyway.
    """
    tag = _tag(unit, request.organization_id, ids)
    if not request.condition.holds(tag):
        raise StaleTag(tag)
    if not (is_revert or request.dry_run or request.condition.names_a_state):
        check_condition_given(unit, request.organization_id)
    return tag


def _tag(unit: UnitOfWork, organization_id: int, ids: list[int]) -> str:
    versions = [(one, unit.state(AssistantKey(organization_id, one)).version) for one in ids]
    return tag_of(organization_id, "change-sets", msgspec.json.encode(versions))
