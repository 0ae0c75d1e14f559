"""The work of one write transaction: what was read under the lock, what will be written.

Many commands share one unit. Each is decided against the state that the one before it left,
in memory; what they all recorded is written at the end, together. A command that is refused
has recorded nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.vault import Sealed
from events import store
from events.changed import NOTHING, Actor, Event, State, evolve
from events.decider import ChangeSettings, Command, CreateAssistant, Envelope, decide
from events.merging import seal
from events.pointers import Changes, Tree
from events.secrets import Path, Plain, references
from projections import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import sqlalchemy as sa

    from app.vault import Vault


class Caller(Struct, frozen=True, kw_only=True):
    """On whose behalf something happens."""

    organization_id: int
    actor: Actor
    request_id: str | None = None


class Unit:
    """Reads, decides and records inside one transaction."""

    def __init__(
        self, connection: sa.Connection, vault: Vault, clock: Callable[[], datetime]
    ) -> None:
        self.connection = connection
        self.vault = vault
        self.clock = clock
        self._counters: dict[int, store.Counter] = {}
        self._states: dict[current.Key, State] = {}
        self._touched: dict[current.Key, State] = {}
        self._events: list[Event] = []
        self._secrets: dict[int, list[tuple[int, str, Sealed]]] = {}

    def state(self, organization_id: int, assistant_id: int) -> State:
        """An assistant's state as the commands before this one left it."""
        self._counter(organization_id)
        key = (organization_id, assistant_id)
        if key not in self._states:
            stored = current.load(self.connection, organization_id, assistant_id)
            self._states[key] = NOTHING if stored is None else stored
        return self._states[key]

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
        counter = self._counter(caller.organization_id)
        target = counter.last_assistant_id + 1 if assistant_id is None else assistant_id
        state = self.state(caller.organization_id, target)
        sealed: dict[str, Sealed] = {}
        envelope = Envelope(
            organization_id=caller.organization_id,
            sequence=counter.sequence + 1,
            assistant_id=target,
            occurred_at=max(self.clock(), counter.last_occurred_at),
            actor=caller.actor,
            reason=reason,
            request_id=caller.request_id,
        )
        if isinstance(command, CreateAssistant | ChangeSettings):
            patch = self._seal(caller.organization_id, command.patch, sealed)
            command = msgspec.structs.replace(command, patch=patch)
        event = decide(command, state, envelope)
        if event is not None:
            state = self._record(event, state, sealed)
        return target, state

    def newest_first(self, organization_id: int, assistant_id: int) -> Iterator[Event]:
        """An assistant's events, those of this unit included."""
        key = (organization_id, assistant_id)
        yield from (e for e in reversed(self._events) if (e.organization_id, e.assistant_id) == key)
        yield from store.read_stream(self.connection, *key, newest_first=True)

    def flush(self) -> None:
        """Write everything that was recorded."""
        store.append(self.connection, self._events)
        for organization_id, secrets in self._secrets.items():
            self.vault.store(self.connection, organization_id, secrets)
        current.project(self.connection, self._touched)
        store.save_counters(
            self.connection,
            [self._counters[organization] for organization in {key[0] for key in self._touched}],
        )

    def _counter(self, organization_id: int) -> store.Counter:
        if organization_id not in self._counters:
            counter = store.lock(self.connection, organization_id)
            if counter is None:
                raise LookupError(f"no organization {organization_id}")
            self._counters[organization_id] = counter
        return self._counters[organization_id]

    def _seal(self, organization_id: int, patch: Tree, sealed: dict[str, Sealed]) -> Tree:
        def reference_to(plain: Plain, path: Path) -> Tree:
            keys = self.vault.keys(self.connection, organization_id)
            reference, secret_id = self.vault.reference(keys, plain, path)
            sealed[secret_id] = Sealed(plain, path)
            return reference

        tree: Tree = seal(patch, reference_to)
        return tree

    def _record(self, event: Event, state: State, sealed: dict[str, Sealed]) -> State:
        key = (event.organization_id, event.assistant_id)
        counter = self._counters[event.organization_id]
        counter.sequence = event.sequence
        counter.last_occurred_at = event.occurred_at
        counter.last_assistant_id = max(counter.last_assistant_id, event.assistant_id)
        self._events.append(event)
        self._states[key] = self._touched[key] = evolve(state, event)
        secrets = self._secrets.setdefault(event.organization_id, [])
        for secret_id in _new_secret_ids(event):
            if secret_id in sealed:  # an equal secret keeps the reference that it had
                secrets.append((event.assistant_id, secret_id, sealed[secret_id]))
        return self._states[key]


def _new_secret_ids(event: Event) -> Iterator[str]:
    changes: Changes = getattr(event, "changes", {})
    for change in changes.values():
        for reference in references(change.after):
            yield reference["id"]
