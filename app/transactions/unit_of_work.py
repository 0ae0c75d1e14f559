"""The work of one write transaction: what was read under the lock, and what will be written.

Many commands share one unit of work. Each is decided against the state that the one before it
left, in memory. ``flush`` writes all their events together. A refused command records nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from app.transactions.clock import Witness, believed
from app.transactions.new_secrets import equal_secrets, seal_patch, secret_ids
from app.vault.store import add_secrets, unseal
from events import log_head, store
from events.assistant_key import AssistantKey
from events.changed import NOTHING, Event, LogEvent, PolicyChanged, State, evolve
from events.commands import ChangeSettings, Command, CreateAssistant, Envelope, moment
from events.decider import Proposal, propose, raise_conflicts
from events.log_head import LogHead
from events.meaning import as_meant
from events.prepared import Prepared
from events.revelation import reveal
from projections import current, keyframes, policies, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from app.transactions.caller import Caller
    from app.transactions.state_cache import Head, StateCache
    from app.vault.keys import Keys, Vault
    from app.vault.sealing import Sealed
    from events.policy import Policy

P = ParamSpec("P")
T = TypeVar("T")


class Proposed(Struct, frozen=True, kw_only=True):
    """A decided command that is not recorded yet, with its new secrets."""

    assistant_id: int
    state: State  # before it
    proposal: Proposal
    sealed: dict[str, Sealed]  # by secret id


class UnitOfWork:
    """Reads, decides and records inside one transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        vault: Vault,
        clock: Callable[[], datetime],
        cache: StateCache | None = None,
        witness: Witness | None = None,
        *,
        is_preview: bool = False,
    ) -> None:
        self._connection = connection
        self._is_preview = is_preview  # takes no locks, and must record nothing
        self.vault = vault
        self.clock = clock
        self._cache = cache
        self._witness = witness or Witness(lambda: 0.0)  # a command sees no time pass
        self._heads: dict[int, LogHead] = {}
        self._locked_at: dict[int, Head] = {}  # the end of each log when it was locked
        self._states: dict[AssistantKey, State] = {}
        self._policies: dict[int, Policy] = {}
        self._keys: dict[int, Keys] = {}
        self._unsaved_times: set[int] = set()
        # What the next flush writes:
        self._events: dict[int, list[LogEvent]] = {}
        self._secrets: dict[int, list[tuple[int, str, Sealed]]] = {}
        self._touched: dict[AssistantKey, State] = {}
        self._frames: list[tuple[AssistantKey, State]] = []
        self.recorded: list[LogEvent] = []
        self.changed: dict[AssistantKey, State] = {}  # the states after recorded events

    # -- reading and writing rows

    def read(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function of the connection that reads. It sees all events recorded so far."""
        self.flush()
        return function(self._connection, *args, **kwargs)

    def write(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function of the connection that writes other rows than events and views.

        The events recorded so far are written before it.
        """
        self.flush()
        return function(self._connection, *args, **kwargs)

    def execute(
        self, statement: sa.Executable | Prepared, *rows: dict[str, Any]
    ) -> sa.CursorResult[Any]:
        """Run a statement on rows that no flush writes, such as stored answers.

        Does not flush, so that the events of a batch are still written together.
        """
        if isinstance(statement, Prepared):
            return statement.run(self._connection, *rows)
        return self._connection.execute(statement, rows or None)

    def flush(self) -> None:
        """Write everything that was recorded since the last flush."""
        if not self._events:
            return
        for organization_id, recorded in self._events.items():
            store.append(self._connection, self.log_head(organization_id), recorded)
            log_head.save_head(self._connection, self.log_head(organization_id))
        for organization_id, secrets in self._secrets.items():
            if secrets:
                data = self.keys(organization_id).data
                add_secrets(self._connection, organization_id, data, secrets)
        recorded = [event for events in self._events.values() for event in events]
        views.project(self._connection, recorded, self._touched, self._frames)
        self._events.clear()
        self._frames.clear()
        self._secrets.clear()
        self._touched.clear()

    # -- locks and state

    def lock(self, organization_ids: Iterable[int], *, waits: bool = True) -> set[int]:
        """Lock organizations by ascending id, so that no two transactions deadlock.

        Without ``waits``, returns those that others hold, unlocked. Skips an organization that
        does not exist: its work fails later.
        """
        held = set()
        for organization_id in sorted(organization_ids):
            head = log_head.lock(self._connection, organization_id, waits=waits)
            if head is not None:
                self._keep(head)
            elif not waits and log_head.read_head(self._connection, organization_id) is not None:
                held.add(organization_id)
        return held

    def log_head(self, organization_id: int) -> LogHead:
        """The head of the organization's log, its row locked, after the work so far."""
        if organization_id not in self._heads:
            take = log_head.read_head if self._is_preview else log_head.lock
            head = take(self._connection, organization_id)
            if head is None:
                raise LookupError(f"no organization {organization_id}")
            self._keep(head)
        return self._heads[organization_id]

    def _keep(self, head: LogHead) -> None:
        self._heads[head.organization_id] = head
        self._locked_at[head.organization_id] = _end(head)

    def next_id(self, organization_id: int) -> int:
        """The id of the organization's next new assistant."""
        return self.log_head(organization_id).last_assistant_id + 1

    def state(self, key: AssistantKey) -> State:
        """An assistant's state after the commands so far."""
        self.log_head(key.organization_id)
        if key not in self._states:
            self._states[key] = self._cached_state(key) or self._load_state(key)
        return self._states[key]

    def _cached_state(self, key: AssistantKey) -> State | None:
        if self._cache is None:
            return None
        return self._cache.state(key, self._locked_at[key.organization_id])

    def _load_state(self, key: AssistantKey) -> State:
        return current.load(self._connection, *key) or NOTHING

    def policy(self, organization_id: int) -> Policy:
        """The organization's policy for changes, after the work so far."""
        if organization_id not in self._policies:
            cached = self._cached_policy(organization_id)
            self._policies[organization_id] = cached or self._load_policy(organization_id)
        return self._policies[organization_id]

    def _cached_policy(self, organization_id: int) -> Policy | None:
        if self._cache is None:
            return None
        head = self.log_head(organization_id)
        locked_at = self._locked_at[organization_id]
        if head.sequence != locked_at[0]:
            return None  # an event recorded since may have changed the policy
        return self._cache.policy(organization_id, locked_at)

    def _load_policy(self, organization_id: int) -> Policy:
        return self.read(policies.load, organization_id)[1]

    # -- deciding and recording

    def handle(
        self,
        caller: Caller,
        assistant_id: int | None,
        command: Command,
        reason: str | None = None,
    ) -> tuple[int, State]:
        """Decide a command and record its event, if any: the assistant's id and its new state.

        ``assistant_id`` None takes the next free id.
        """
        if assistant_id is None:
            assistant_id = self.next_id(caller.organization_id)
        proposed = self.propose(caller, assistant_id, command, reason)
        raise_conflicts(command, proposed.proposal)
        return assistant_id, self.accept(proposed)

    def propose(
        self, caller: Caller, assistant_id: int, command: Command, reason: str | None
    ) -> Proposed:
        """Decide a command without recording its event."""
        state = self.state(caller.assistant_key(assistant_id))
        sealed: dict[str, Sealed] = {}
        if isinstance(command, CreateAssistant | ChangeSettings):
            command = as_meant(command, state, self.policy(caller.organization_id))
            patch, sealed = seal_patch(command.patch, state.version + 1)
            command = msgspec.structs.replace(command, patch=patch)
            if caller.may_reveal and sealed and isinstance(command, ChangeSettings):
                settings = (state.settings, command.base or state.settings)
                key = caller.assistant_key(assistant_id)
                data = self.keys(caller.organization_id).data
                equal = self.read(equal_secrets, key, data, sealed, settings)
                command = msgspec.structs.replace(command, equal=equal)
        envelope = self._envelope(caller, assistant_id, reason)
        proposal = propose(command, state, envelope, may_reveal=caller.may_reveal)
        return Proposed(assistant_id=assistant_id, state=state, proposal=proposal, sealed=sealed)

    def accept(self, proposed: Proposed) -> State:
        """Record the event of a proposal, if it has one: the new state."""
        event, after = proposed.proposal.event, proposed.proposal.after
        if event is None:
            return after
        head = self.log_head(event.organization_id)
        if event.sequence != head.sequence + 1:  # others were accepted since it was proposed
            proposed_at = event.occurred_at
            occurred_at, clock_time = moment(event.clock_time or proposed_at, head.last_occurred_at)
            event = msgspec.structs.replace(
                event,
                sequence=head.sequence + 1,
                occurred_at=occurred_at,
                clock_time=clock_time,
            )
            if occurred_at != proposed_at:
                after = evolve(proposed.state, event)
        return self._record(event, after, proposed.sealed)

    def reveal(
        self,
        caller: Caller,
        assistant_id: int,
        paths: tuple[str, ...],
        reason: str | None,
        state: State | None = None,
    ) -> dict[str, str | int | float]:
        """The secrets at or below the paths; records that they were read.

        ``state`` is a past one; None for the current one.
        """
        key = caller.assistant_key(assistant_id)
        envelope = self._envelope(caller, assistant_id, reason)
        revelation = reveal(paths, self.state(key) if state is None else state, envelope)
        data = self.keys(caller.organization_id).data
        values = self.read(unseal, *key, data, revelation.places)
        self._append(revelation.event)
        return values

    def record(
        self,
        caller: Caller,
        kind: Callable[..., LogEvent],
        reason: str | None = None,
        **members: Any,
    ) -> None:
        """Record an event of the organization, which belongs to no assistant."""
        envelope = msgspec.structs.asdict(self._envelope(caller, 0, reason))
        self._append(kind(**envelope | {"assistant_id": None} | members))

    def _envelope(self, caller: Caller, assistant_id: int, reason: str | None) -> Envelope:
        head = self.log_head(caller.organization_id)
        occurred_at, clock_time = moment(self.clock(), head.last_occurred_at)
        return Envelope(
            organization_id=caller.organization_id,
            sequence=head.sequence + 1,
            assistant_id=assistant_id,
            occurred_at=occurred_at,
            actor=caller.actor,
            reason=reason,
            request_id=caller.request_id,
            idempotency_key=caller.idempotency_key,
            clock_time=clock_time,
        )

    def _record(self, event: Event, after: State, sealed: dict[str, Sealed]) -> State:
        key = AssistantKey(event.organization_id, event.assistant_id)
        head = self._heads[event.organization_id]
        head.last_assistant_id = max(head.last_assistant_id, event.assistant_id)
        self._append(event)
        self._states[key] = self._touched[key] = self.changed[key] = after
        if keyframes.is_due(after):
            self._frames.append((key, after))
        secrets = self._secrets.setdefault(event.organization_id, [])
        for secret_id in secret_ids(event):
            if secret_id in sealed:  # an equal secret keeps its old reference
                secrets.append((event.assistant_id, secret_id, sealed[secret_id]))
        return after

    def _append(self, event: LogEvent) -> None:
        head = self._heads[event.organization_id]
        head.sequence = event.sequence
        head.last_occurred_at = event.occurred_at
        self._events.setdefault(event.organization_id, []).append(event)
        if isinstance(event, PolicyChanged):
            self._policies.pop(event.organization_id, None)
        self.recorded.append(event)

    # -- keys, time, the commit

    def keys(self, organization_id: int) -> Keys:
        """An organization's keys, as this transaction has them."""
        if organization_id not in self._keys:
            self._keys[organization_id] = self.vault.keys(self._connection, organization_id)
        return self._keys[organization_id]

    def renew_keys(self, organization_id: int, renew: Callable[[sa.Connection], None]) -> None:
        """Change an organization's keys, and the rows sealed under them."""
        self.log_head(organization_id)
        self.write(renew)
        self._keys.pop(organization_id, None)

    def longer_ago(self, organization_id: int, age: timedelta) -> datetime:
        """The moment before which everything is older than ``age``, by plausible time.

        Irreversible work that depends on age must use this, not the clock.
        """
        now = self.clock()
        head = self.log_head(organization_id)
        observed = self._witness.observe(organization_id, head.observed_at, now)
        if observed != head.observed_at:
            head.observed_at = observed
            self._unsaved_times.add(organization_id)
        return now if not age else believed(observed, now) - age

    def save_time(self, organization_id: int) -> None:
        """Store the observed time, even if no event is recorded."""
        if organization_id in self._unsaved_times:
            log_head.save_head(self._connection, self.log_head(organization_id))

    def confirm_time(self, organization_id: int) -> None:
        """Set the observed time to the clock's, on the operator's order."""
        self.log_head(organization_id).observed_at = self.clock()
        log_head.save_head(self._connection, self.log_head(organization_id))

    @property
    def grown(self) -> dict[int, int]:
        """The last sequences of the logs that this work has added to, by organization."""
        return {
            organization_id: head.sequence
            for organization_id, head in self._heads.items()
            if head.sequence != self._locked_at[organization_id][0]
        }

    def committed(self) -> None:
        """Cache the states that were committed, for the next unit of work."""
        if self._cache is None:
            return
        for organization_id, head in self._heads.items():
            states = (pair for pair in self._states.items() if pair[0][0] == organization_id)
            locked_at = self._locked_at[organization_id]
            policy = self._policies.get(organization_id)
            self._cache.committed(organization_id, locked_at, _end(head), states, policy)


def _end(head: LogHead) -> Head:
    return head.sequence, head.frontier
