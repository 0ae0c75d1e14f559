"""The states and policies that the last writes left: the next one need not read them again.

A state is what its organization's log says: where the counter row, once it is locked, is not as
our last commit left it, somebody else wrote, and nothing of that organization is recalled. So this
holds beside other processes, too, after a commit whose outcome is unknown, and where the database
was put back to an older copy and went on: the log's frontier tells one history from another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.lru import LRUCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.changed import State
    from events.policy import Policy
    from projections.current import Key

Head = tuple[int, bytes]  # a log's last sequence, and the frontier of its tree
_MOST_BYTES = 32 * 1024 * 1024
_EXPANSION = 6  # a decoded text takes so many times the bytes that it had
_OVERHEAD = 1024


class StateCache:
    """The states of assistants as the last commit of this process left them."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._states: LRUCache[Key, State] = LRUCache(most_bytes)
        self._policies: dict[int, Policy] = {}
        self._heads: dict[int, Head] = {}  # of organizations, after our last commit

    @property
    def size(self) -> int:
        """What is held, in bytes, about."""
        return self._states.weight

    def state(self, key: Key, head: Head) -> State | None:
        """An assistant's state, where the organization's log ends as we left it."""
        if self._heads.get(key[0]) != head:
            return None
        return self._states.get(key)

    def policy(self, organization_id: int, head: Head) -> Policy | None:
        """An organization's policy, where its log ends as we left it."""
        if self._heads.get(organization_id) != head:
            return None
        return self._policies.get(organization_id)

    def forget(self) -> None:
        """Recall nothing that was committed so far."""
        self._heads.clear()

    def committed(
        self,
        organization_id: int,
        locked_at: Head,
        head: Head,
        states: Iterable[tuple[Key, State]],
        policy: Policy | None,
    ) -> None:
        """What a commit left of an organization that was at ``locked_at`` before."""
        if self._heads.get(organization_id) != locked_at:
            for key in list(self._states):
                if key[0] == organization_id:
                    self._states.drop(key)
        self._policies.pop(organization_id, None)
        if policy is not None:
            self._policies[organization_id] = policy
        self._heads[organization_id] = head
        for key, state in states:
            weight = len(msgspec.json.encode(state.settings)) * _EXPANSION + _OVERHEAD
            self._states.put(key, state, weight)
