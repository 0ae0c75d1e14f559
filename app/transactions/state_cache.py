"""The states and policies after this process's last commits, so that the next need not read them.

An organization's states follow from its log. If its log, once locked, does not end where our last
commit left it, another process wrote, and nothing cached of that organization is used. This holds
beside other processes, after a commit with an unknown outcome, and for a database that was put
back to an older copy and went on: the log's frontier differs then.

Large states are kept as bytes: decoded, their settings take up to thirty times the memory, by how
they are nested. To decode small ones again for each change would take longer than it is worth.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from app.lru import LRUCache
from events.changed import NOTHING, with_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.assistant_key import AssistantKey
    from events.changed import State
    from events.policy import Policy

Head = tuple[int, bytes]  # the end of a log: its last sequence and the frontier of its tree
MOST_BYTES = 32 * 1024 * 1024
_OVERHEAD = 750  # bytes that an entry takes beside what it holds, measured
_LARGEST_DECODED = 16 * 1024  # bytes of JSON
_EACH = 72  # bytes that each member, element, object and list takes in memory, measured


class _Packed(Struct, frozen=True):
    """A state, with its settings as JSON."""

    rest: State  # without settings
    settings: bytes
    are_known: bool

    def unpacked(self) -> State:
        """The state, as a tree of its own."""
        return with_settings(self.rest, self.settings, are_known=self.are_known)


class _Organization(Struct, frozen=True):
    """What our last commit left of an organization."""

    head: Head
    policy: Policy | None


class StateCache:
    """The states of assistants after the last commits of this process."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        eighth = most_bytes // 8
        self._states: LRUCache[AssistantKey, State | _Packed] = LRUCache(most_bytes - eighth)
        # No state of an organization is used that is not in here.
        self._organizations: LRUCache[int, _Organization] = LRUCache(eighth)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._states.weight + self._organizations.weight

    def state(self, key: AssistantKey, head: Head) -> State | None:
        """An assistant's state; None unless cached for a log that ends at ``head``."""
        if self._at(key[0], head) is None:
            return None
        cached = self._states.get(key)
        return cached.unpacked() if isinstance(cached, _Packed) else cached

    def policy(self, organization_id: int, head: Head) -> Policy | None:
        """An organization's policy; None unless cached for a log that ends at ``head``."""
        cached = self._at(organization_id, head)
        return None if cached is None else cached.policy

    def _at(self, organization_id: int, head: Head) -> _Organization | None:
        cached = self._organizations.get(organization_id)
        return cached if cached is not None and cached.head == head else None

    def invalidate(self) -> None:
        """Use nothing that is cached."""
        self._organizations.clear()

    def committed(
        self,
        organization_id: int,
        locked_at: Head,
        head: Head,
        states: Iterable[tuple[AssistantKey, State]],
        policy: Policy | None,
    ) -> None:
        """Cache what a commit left of an organization whose log ended at ``locked_at`` before."""
        if self._at(organization_id, locked_at) is None:
            self._drop_states(organization_id)
        weight = len(head[1]) + _weight_of(policy) + _OVERHEAD
        self._organizations.put(organization_id, _Organization(head, policy), weight)
        for key, state in states:
            if state.deleted:  # hardly any is changed again
                self._states.drop(key)
            elif len(state.encoded) <= _LARGEST_DECODED:
                self._states.put(key, state, _weight_decoded(state.encoded))
            else:
                self._states.put(key, _packed(state), len(state.encoded) + _OVERHEAD)

    def _drop_states(self, organization_id: int) -> None:
        for key in list(self._states):
            if key[0] == organization_id:
                self._states.drop(key)


def _packed(state: State) -> _Packed:
    rest = structs.replace(state, settings=NOTHING.settings)
    return _Packed(rest, state.encoded, state.known is state.settings)


def _weight_decoded(encoded: bytes) -> int:
    """Bytes that decoded settings take, with their JSON. To walk them would take too long."""
    text = len(encoded)
    if not encoded.isascii():  # what was encoded keeps its UTF-8, too
        text += sys.getsizeof(encoded.decode())
    parts = encoded.count(b",") + encoded.count(b"{") + encoded.count(b"[")
    return len(encoded) + text + _EACH * parts + _OVERHEAD


def _weight_of(policy: Policy | None) -> int:
    if policy is None:
        return 0
    lists = (value for value in structs.astuple(policy) if isinstance(value, list))
    return sum(sys.getsizeof(paths) + sum(map(sys.getsizeof, paths)) for paths in lists)
