"""The states and policies after this process's last commits, so that the next need not read them.

An organization's states follow from its log. If its log, once locked, does not end where our last
commit left it, another process wrote, and nothing cached of that organization is used. This holds
beside other processes, after a commit with an unknown outcome, and for a database that was put
back to an older copy and went on: the log's frontier differs then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.lru import LRUCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.assistant_key import AssistantKey
    from events.changed import State
    from events.policy import Policy

Head = tuple[int, bytes]  # the end of a log: its last sequence and the frontier of its tree
_MOST_BYTES = 32 * 1024 * 1024
_EXPANSION = 7  # bytes in memory for each byte of JSON, with the encoded settings
_OVERHEAD = 1024


class StateCache:
    """The states of assistants after the last commits of this process."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._states: LRUCache[AssistantKey, State] = LRUCache(most_bytes)
        self._policies: dict[int, Policy] = {}
        self._heads: dict[int, Head] = {}  # of organizations, after our last commit

    @property
    def size(self) -> int:
        """Estimated bytes in memory."""
        return self._states.weight

    def state(self, key: AssistantKey, head: Head) -> State | None:
        """An assistant's state; None unless cached for a log that ends at ``head``."""
        if self._heads.get(key[0]) != head:
            return None
        return self._states.get(key)

    def policy(self, organization_id: int, head: Head) -> Policy | None:
        """An organization's policy; None unless cached for a log that ends at ``head``."""
        if self._heads.get(organization_id) != head:
            return None
        return self._policies.get(organization_id)

    def invalidate(self) -> None:
        """Use nothing that is cached."""
        self._heads.clear()

    def committed(
        self,
        organization_id: int,
        locked_at: Head,
        head: Head,
        states: Iterable[tuple[AssistantKey, State]],
        policy: Policy | None,
    ) -> None:
        """Cache what a commit left of an organization whose log ended at ``locked_at`` before."""
        if self._heads.get(organization_id) != locked_at:
            self._drop_states(organization_id)
        self._policies.pop(organization_id, None)
        if policy is not None:
            self._policies[organization_id] = policy
        self._heads[organization_id] = head
        for key, state in states:
            weight = len(state.encoded) * _EXPANSION + _OVERHEAD
            self._states.put(key, state, weight)

    def _drop_states(self, organization_id: int) -> None:
        for key in list(self._states):
            if key[0] == organization_id:
                self._states.drop(key)
