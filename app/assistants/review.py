"""What blocks a change: a condition that does not hold, conflicts, the organization's policy.

Each change is reviewed once. A dry run reports the review; any other change raises what blocks it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from app.assistants import representation, states
from app.assistants.preconditions import NONE, version_in
from app.assistants.requests import (
    ChangeRequest,
    ChangesConflict,
    Clash,
    Outcome,
    PreconditionFailed,
    PreconditionRequired,
)
from app.assistants.searching import Search
from events import policy, store
from events.changed import changes_of
from events.decider import raise_conflicts
from events.errors import DomainError
from events.merging import MergeConflict
from events.policy import PathProtected, ReasonRequired, Warned
from events.secrets.references import mask
from projections import history, keyframes
from projections.blame import newest_at
from projections.history import ChangeSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.transactions.unit_of_work import Proposed, UnitOfWork
    from events.changed import Event, State
    from events.commands import Command
    from events.merging import Conflict

MOST_SUMMARIES = 100  # changes or conflicts that an answer lists
SUMMARY_SECONDS = 0.1  # of changes: large ones take long to read, and others wait meanwhile


def checked_state(
    unit: UnitOfWork, request: ChangeRequest, *, is_conditional: bool = False
) -> State:
    """The state that a change is decided on.

    ``is_conditional`` says that the request names a state by other means than a header. Raises
    ``AssistantNotFound``, ``PreconditionFailed`` and ``PreconditionRequired``.
    """
    state = states.existing(unit, request.key)
    check_condition(unit, request, state)
    is_conditional = is_conditional or request.dry_run or request.condition.names_a_state
    if not is_conditional:
        check_condition_given(unit, request.organization_id)
    return state


def check_condition_given(unit: UnitOfWork, organization_id: int) -> None:
    """Raise ``PreconditionRequired`` where the policy asks for a condition; none was given."""
    if unit.policy(organization_id).require_condition:
        raise PreconditionRequired


def check_condition(unit: UnitOfWork, request: ChangeRequest, state: State) -> None:
    """Raise ``PreconditionFailed`` where the state is not the one that the request names."""
    condition = request.condition
    if condition == NONE:
        return
    tag = representation.of(*request.key, state).tag
    if not condition.holds(tag, state.version):
        since = _since_known_version(unit, request, state)
        is_unknown = not since and not condition.matches(tag, state.version)
        raise PreconditionFailed(state.version, tag, since, is_unknown=is_unknown)


def review(
    unit: UnitOfWork,
    request: ChangeRequest,
    command: Command,
    proposed: Proposed,
    base: int | None = None,
    *,
    with_came_between: bool = True,
) -> Outcome:
    """What a proposal would do, with its warnings, and what blocks it.

    ``base`` is the version that the proposal was made on. The changes since are listed unless
    ``with_came_between`` is False.
    """
    proposal, before, after = proposed.proposal, proposed.state, proposed.proposal.after
    changes = changes_of(proposal.event)
    conflicts = tuple(_conflicts(unit, request, proposal.conflicts, base or 0, before))
    violation = _violation(unit, request, proposal.event)
    warnings: tuple[Warned, ...] = ()
    if policy.is_watched(changes):
        warnings = tuple(policy.warnings(before.settings, after.settings))
    return Outcome(
        organization_id=request.organization_id,
        id=proposed.assistant_id,
        before=before,
        state=after,
        event=proposal.event,
        warnings=warnings,
        base_version=base,
        came_between=_came_between(unit, request, base, before) if with_came_between else (),
        conflicts=conflicts,
        not_accepted=proposal.not_accepted,
        violation=violation,
        blocked_by=_blocked_by(request, command, proposed, conflicts) or violation,
    )


def raise_if_blocked(outcome: Outcome) -> None:
    """Raise what blocks a reviewed change, if anything does."""
    if outcome.blocked_by is not None:
        raise outcome.blocked_by


def _blocked_by(
    request: ChangeRequest, command: Command, proposed: Proposed, conflicts: tuple[Clash, ...]
) -> DomainError | None:
    """Why the proposal itself cannot be recorded, whatever the policy says."""
    try:
        raise_conflicts(command, proposed.proposal)
    except MergeConflict as conflict:
        version = proposed.state.version
        tag = representation.of(*request.key, proposed.state).tag
        return ChangesConflict(version, tag, conflicts, len(conflict.conflicts))
    except DomainError as refusal:
        return refusal
    return None


def _since_known_version(
    unit: UnitOfWork, request: ChangeRequest, state: State
) -> tuple[ChangeSummary, ...]:
    """The changes since the newest version that the condition names."""
    if_match = request.condition.if_match
    named = [version_in(tag) for tag in (if_match.strong if if_match else ())]
    older = [version for version in named if version is not None and version < state.version]
    return _came_between(unit, request, max(older), state) if older else ()


def _came_between(
    unit: UnitOfWork, request: ChangeRequest, base: int | None, state: State
) -> tuple[ChangeSummary, ...]:
    if base is None or base == state.version:
        return ()
    since = Search(SUMMARY_SECONDS).through(states.newest_first(unit, request.key, after=base))
    return tuple(history.summary(event) for event in islice(since, MOST_SUMMARIES))


def _conflicts(
    unit: UnitOfWork,
    request: ChangeRequest,
    conflicts: tuple[Conflict, ...],
    base: int,
    state: State,
) -> Iterator[Clash]:
    """The first conflicts, each with the newest change of its path after the base version."""
    if not conflicts:
        return
    first = conflicts[:MOST_SUMMARIES]
    blame = unit.read(keyframes.blame_at, *request.key, state.version)
    newest = newest_at(blame, [conflict.path for conflict in first])
    changed_at = {path: max(version, base + 1) for path, version in newest.items()}
    events = unit.read(store.read_versions, *request.key, set(changed_at.values()))
    summaries = {event.version: history.summary(event) for event in events}
    for conflict in first:
        by = summaries.get(changed_at[conflict.path])
        yield Clash(
            path=conflict.path,
            base=mask(conflict.base, state.erased_version),
            theirs=mask(conflict.theirs, state.erased_version),
            yours=mask(conflict.yours, state.erased_version),
            changed_by=by and msgspec.structs.replace(by, paths=[conflict.path], more_paths=0),
        )


def _violation(unit: UnitOfWork, request: ChangeRequest, event: Event | None) -> DomainError | None:
    """The rule of the organization's policy that the change breaks."""
    if event is None:
        return None
    try:
        policy.check(
            unit.policy(request.organization_id),
            changes_of(event),
            request.reason,
            is_admin=request.caller.is_admin,
            reason_at=request.reason_at,
        )
    except (PathProtected, ReasonRequired) as violation:
        return violation
    return None
