"""The work of one write transaction: what was read under the lock, what will be written.

Many commands share one unit. Each is decided against the state that the one before it left,
in memory; what they all recorded is written at the end, together. A command that is refused
has recorded nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.transactions.clock import Witness, believed
from app.vault import store as vault
from app.vault.store import Keys, Sealed, make_reference
from events import log_head, store
from events.changed import NOTHING, Actor, Event, LogEvent, PolicyChanged, State, changes_of, evolve
from events.commands import ChangeSettings, Command, CreateAssistant, Envelope, moment
from events.decider import Proposal, propose, raise_if_blocked
from events.meaning import as_meant
from events.merging import seal
from events.pointers import MARK, Path, Tree, same
from events.policy import Policy
from events.revelation import reveal
from events.secrets.references import places, revealed
from events.secrets.values import Plain, url_members
from projections import current, keyframes, policies, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime, timedelta

    import sqlalchemy as sa

    from app.transactions.state_cache import Head, StateCache
    from app.vault.store import Vault


class Caller(Struct, frozen=True, kw_only=True):
    """On whose behalf something happens."""

    organization_id: int
    actor: Actor
    is_admin: bool = False
    may_reveal: bool = False  # secrets: to such a caller alone is it told that two are equal
    request_id: str | None = None
    idempotency_key: str | None = None


class Proposed(Struct, frozen=True, kw_only=True):
    """A command that was decided and is not recorded yet, with the secrets that it brings."""

    assistant_id: int
    state: State  # before it
    proposal: Proposal
    sealed: dict[str, Sealed]


def system(organization_id: int, name: str) -> Caller:
    """The server or its operator, as events name them."""
    actor = Actor(type="system", id=0, name=name, user_id=0)
    return Caller(organization_id=organization_id, actor=actor, is_admin=True)


class UnitOfWork:
    """Reads, decides and records inside one transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        safe: Vault,
        clock: Callable[[], datetime],
        recalled: StateCache | None = None,
        witness: Witness | None = None,
        *,
        is_preview: bool = False,
    ) -> None:
        self.connection = connection
        self._is_preview = is_preview  # it locks nothing, and may record nothing
        self.vault = safe
        self.clock = clock
        self._recalled = recalled
        self._witness = witness or Witness(lambda: 0.0)  # a command has seen no time pass
        self._counters: dict[int, log_head.LogHead] = {}
        self._locked_at: dict[int, Head] = {}  # how an organization's log ended before
        self._states: dict[current.Key, State] = {}
        self._touched: dict[current.Key, State] = {}
        self._frames: list[tuple[current.Key, State]] = []
        self._events: dict[int, list[LogEvent]] = {}
        self._secrets: dict[int, list[tuple[int, str, Sealed]]] = {}
        self._keys: dict[int, Keys] = {}
        self._policies: dict[int, Policy] = {}
        self._unsaved_times: set[int] = set()
        self.count = 0  # of events that were recorded
        self.changed: set[current.Key] = set()  # the assistants whose view is another one now

    def lock(self, organization_ids: Iterable[int], *, waits: bool = True) -> set[int]:
        """Lock organizations, in the order in which everybody does: none waits in a ring.

        Without ``waits``, those that others hold are left out, and returned. One that is not
        there is not locked: its work will say so.
        """
        held = set()
        for organization_id in sorted(organization_ids):
            counter = log_head.lock(self.connection, organization_id, waits=waits)
            if counter is not None:
                self._keep(counter)
            elif not waits and log_head.read_head(self.connection, organization_id) is not None:
                held.add(organization_id)
        return held

    def counter(self, organization_id: int) -> log_head.LogHead:
        """The organization's counters, its row locked, as the work before this left them."""
        if organization_id not in self._counters:
            take = log_head.read_head if self._is_preview else log_head.lock
            counter = take(self.connection, organization_id)
            if counter is None:
                raise LookupError(f"no organization {organization_id}")
            self._keep(counter)
        return self._counters[organization_id]

    def _keep(self, counter: log_head.LogHead) -> None:
        self._counters[counter.organization_id] = counter
        self._locked_at[counter.organization_id] = _head(counter)

    def state(self, organization_id: int, assistant_id: int) -> State:
        """An assistant's state as the commands before this one left it."""
        self.counter(organization_id)
        key = (organization_id, assistant_id)
        if key not in self._states:
            self._states[key] = self._recall(key) or self._load(key)
        return self._states[key]

    def _recall(self, key: current.Key) -> State | None:
        if self._recalled is None:
            return None
        return self._recalled.state(key, self._locked_at[key[0]])

    def _load(self, key: current.Key) -> State:
        return current.load(self.connection, *key) or NOTHING

    def policy(self, organization_id: int) -> Policy:
        """What the organization demands of changes, as the work before this left it."""
        if organization_id not in self._policies:
            known = self._recall_policy(organization_id)
            self._policies[organization_id] = known or self._load_policy(organization_id)
        return self._policies[organization_id]

    def _recall_policy(self, organization_id: int) -> Policy | None:
        if self._recalled is None:
            return None
        counter = self.counter(organization_id)
        locked_at = self._locked_at[organization_id]
        if counter.sequence != locked_at[0]:
            return None  # what was recorded since may be another policy
        return self._recalled.policy(organization_id, locked_at)

    def _load_policy(self, organization_id: int) -> Policy:
        self.flush()
        return policies.load(self.connection, organization_id)[1]

    def handle(
        self,
        caller: Caller,
        assistant_id: int | None,
        command: Command,
        reason: str | None = None,
    ) -> tuple[int, State]:
        """Decide a command and record its event, if any: the assistant and its state now.

        ``assistant_id`` None takes the next free one.
        """
        target = assistant_id
        if target is None:
            target = self.next_id(caller.organization_id)
        proposed = self.propose(caller, target, command, reason)
        raise_if_blocked(command, proposed.proposal)
        return target, self.accept(proposed)

    def propose(
        self, caller: Caller, assistant_id: int, command: Command, reason: str | None
    ) -> Proposed:
        """Decide a command, and record nothing."""
        state = self.state(caller.organization_id, assistant_id)
        sealed: dict[str, Sealed] = {}
        if isinstance(command, CreateAssistant | ChangeSettings):
            command = as_meant(command, state, self.policy(caller.organization_id))
            patch = self._seal(command.patch, state.version + 1, sealed)
            command = msgspec.structs.replace(command, patch=patch)
            if caller.may_reveal and sealed and isinstance(command, ChangeSettings):
                key = (caller.organization_id, assistant_id)
                read = (state.settings, command.base or state.settings)
                equal = self._equal_secrets(key, read, sealed)
                command = msgspec.structs.replace(command, equal=equal)
        envelope = self._envelope(caller, assistant_id, reason)
        proposal = propose(command, state, envelope, may_reveal=caller.may_reveal)
        return Proposed(assistant_id=assistant_id, state=state, proposal=proposal, sealed=sealed)

    def accept(self, proposed: Proposed) -> State:
        """Record what was proposed, if it is anything: the state now."""
        event = proposed.proposal.event
        if event is None:
            return proposed.state
        counter = self.counter(event.organization_id)
        if event.sequence != counter.sequence + 1:  # others were accepted since it was proposed
            said = event.clock_time or event.occurred_at
            occurred_at, clock_time = moment(said, counter.last_occurred_at)
            event = msgspec.structs.replace(
                event,
                sequence=counter.sequence + 1,
                occurred_at=occurred_at,
                clock_time=clock_time,
            )
        return self._record(event, proposed.state, proposed.sealed)

    def longer_ago(self, organization_id: int, age: timedelta) -> datetime:
        """What was before this moment is older than ``age``, as far as time is believed.

        What is done for its age and cannot be taken back asks this, never the clock.
        """
        now = self.clock()
        counter = self.counter(organization_id)
        observed = self._witness.observe(organization_id, counter.observed_at, now)
        if observed != counter.observed_at:
            counter.observed_at = observed
            self._unsaved_times.add(organization_id)
        return now if not age else believed(observed, now) - age

    def save_time(self, organization_id: int) -> None:
        """Keep the time that was observed, also where nothing is recorded."""
        if organization_id in self._unsaved_times:
            log_head.save_head(self.connection, self.counter(organization_id))

    def confirm_time(self, organization_id: int) -> None:
        """Believe the clock, because the operator does."""
        self.counter(organization_id).observed_at = self.clock()
        log_head.save_head(self.connection, self.counter(organization_id))

    def next_id(self, organization_id: int) -> int:
        """The id that the next assistant of an organization gets."""
        return self.counter(organization_id).last_assistant_id + 1

    def reveal(
        self, caller: Caller, assistant_id: int, paths: tuple[str, ...], reason: str | None
    ) -> dict[str, str | int | float]:
        """The secrets at or below the paths, recorded as read."""
        state = self.state(caller.organization_id, assistant_id)
        revelation = reveal(paths, state, self._envelope(caller, assistant_id, reason))
        self.flush()  # a secret that was set in this batch is not sealed before
        data = self.keys(caller.organization_id).data
        revealed = vault.unseal(
            self.connection, caller.organization_id, assistant_id, data, revelation.places
        )
        self._append(revelation.event)
        return revealed

    def record(
        self,
        caller: Caller,
        kind: Callable[..., LogEvent],
        reason: str | None = None,
        **members: Any,
    ) -> None:
        """Record an event of the organization's log that is in no assistant's stream."""
        said = msgspec.structs.asdict(self._envelope(caller, 0, reason)) | {"assistant_id": None}
        self._append(kind(**said | members))

    def flush(self) -> None:
        """Write everything that was recorded since the last time."""
        for organization_id, recorded in self._events.items():
            store.append(self.connection, self.counter(organization_id), recorded)
            log_head.save_head(self.connection, self.counter(organization_id))
        sealed = {one: secrets for one, secrets in self._secrets.items() if secrets}
        for organization_id, secrets in sealed.items():
            data = self.keys(organization_id).data
            vault.store(self.connection, organization_id, data, secrets)
        recorded = [event for one in self._events.values() for event in one]
        views.project(self.connection, recorded, self._touched, self._frames)
        self._events.clear()
        self._frames.clear()
        self._secrets.clear()
        self._touched.clear()

    def committed(self) -> None:
        """What was written is: the next unit may recall it."""
        if self._recalled is None:
            return
        for organization_id, counter in self._counters.items():
            states = ((k, s) for k, s in self._states.items() if k[0] == organization_id)
            locked_at = self._locked_at[organization_id]
            policy = self._policies.get(organization_id)
            self._recalled.committed(organization_id, locked_at, _head(counter), states, policy)

    def keys(self, organization_id: int) -> Keys:
        """An organization's keys, as this transaction has them."""
        if organization_id not in self._keys:
            self._keys[organization_id] = self.vault.keys(self.connection, organization_id)
        return self._keys[organization_id]

    def renew_keys(self, organization_id: int, renew: Callable[[], None]) -> None:
        """Change an organization's keys, and what they seal, between two flushes."""
        self.counter(organization_id)
        self.flush()
        renew()
        self._keys.pop(organization_id, None)

    def _envelope(self, caller: Caller, assistant_id: int, reason: str | None) -> Envelope:
        counter = self.counter(caller.organization_id)
        occurred_at, clock_time = moment(self.clock(), counter.last_occurred_at)
        return Envelope(
            organization_id=caller.organization_id,
            sequence=counter.sequence + 1,
            assistant_id=assistant_id,
            occurred_at=occurred_at,
            actor=caller.actor,
            reason=reason,
            request_id=caller.request_id,
            idempotency_key=caller.idempotency_key,
            clock_time=clock_time,
        )

    def _seal(self, patch: Tree, version: int, sealed: dict[str, Sealed]) -> Tree:
        def reference_to(plain: Plain, path: Path) -> Tree:
            reference = make_reference(plain, version)
            sealed[reference[MARK]["id"]] = Sealed(plain, path)
            return reference

        tree: Tree = seal(patch, reference_to)
        return tree

    def _equal_secrets(
        self, key: current.Key, read: Iterable[Tree], sealed: dict[str, Sealed]
    ) -> dict[str, frozenset[str]]:
        """For each new secret, the ids of those in settings that have its place and its value.

        Only for a caller who may read them: to any other one, this confirms a guess.
        """
        self.flush()  # a secret that was set in this batch is not sealed before
        places_of_new = {one.path for one in sealed.values()}
        there = vault.existing(self.connection, *key)
        standing = {
            place.reference[MARK]["id"]: place
            for settings in read
            for place in places(settings)
            if place.bound in places_of_new and place.reference[MARK]["id"] in there
        }
        data = self.keys(key[0]).data
        values = vault.unseal(self.connection, *key, data, standing)
        return {
            secret_id: frozenset(
                old
                for old, place in standing.items()
                if place.bound == new.path
                and same(values[old], revealed(url_members(new.plain), new.plain.value))
            )
            for secret_id, new in sealed.items()
        }

    def _record(self, event: Event, state: State, sealed: dict[str, Sealed]) -> State:
        key = (event.organization_id, event.assistant_id)
        counter = self._counters[event.organization_id]
        counter.last_assistant_id = max(counter.last_assistant_id, event.assistant_id)
        self._append(event)
        self._states[key] = self._touched[key] = evolved = evolve(state, event)
        self.changed.add(key)
        if keyframes.is_due(evolved):
            self._frames.append((key, evolved))
        secrets = self._secrets.setdefault(event.organization_id, [])
        for secret_id in _new_secret_ids(event):
            if secret_id in sealed:  # an equal secret keeps the reference that it had
                secrets.append((event.assistant_id, secret_id, sealed[secret_id]))
        return self._states[key]

    def _append(self, event: LogEvent) -> None:
        counter = self._counters[event.organization_id]
        counter.sequence = event.sequence
        counter.last_occurred_at = event.occurred_at
        self._events.setdefault(event.organization_id, []).append(event)
        if isinstance(event, PolicyChanged):
            self._policies.pop(event.organization_id, None)
        self.count += 1


def _head(counter: log_head.LogHead) -> Head:
    return counter.sequence, counter.frontier


def _new_secret_ids(event: Event) -> Iterator[str]:
    for change in changes_of(event).values():
        for place in places(change.after):
            yield place.reference[MARK]["id"]
