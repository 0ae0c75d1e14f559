"""An LRU cache that is bounded by weight. Kept libraries bound the count, or copy on access."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values with weights, whose sum never exceeds ``most``; the least recently used goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[K, tuple[V, int]] = {}  # the most recently used one is last
        self.weight = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def get(self, key: K) -> V | None:
        """The value of a key; counts as a use."""
        if (held := self._held.pop(key, None)) is None:
            return None
        self._held[key] = held
        return held[0]

    def peek(self, key: K) -> V | None:
        """The value of a key; does not count as a use, and is safe in another thread."""
        held = self._held.get(key)
        return None if held is None else held[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Cache a value, unless it alone is heavier than ``most``."""
        self.drop(key)
        if weight > self._most:
            return
        self._held[key] = value, weight
        self.weight += weight
        while self.weight > self._most:
            self.drop(next(iter(self._held)))

    def clear(self) -> None:
        """Remove all."""
        self._held.clear()
        self.weight = 0

    def drop(self, key: K) -> None:
        """Remove a key's value, if it is cached."""
        if (held := self._held.pop(key, None)) is not None:
            self.weight -= held[1]
