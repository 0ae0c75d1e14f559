"""A memory that does not grow: what was used first goes when there is no room."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values with their weights, which together are never more than ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[K, tuple[V, int]] = {}  # what was used last stands last
        self.weight = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def get(self, key: K) -> V | None:
        """The value of a key, which is used by that."""
        if (held := self._held.pop(key, None)) is None:
            return None
        self._held[key] = held
        return held[0]

    def peek(self, key: K) -> V | None:
        """The value of a key, which is not used by that; also from another thread."""
        held = self._held.get(key)
        return None if held is None else held[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Hold a value, unless it is heavier than all that may be held."""
        self.drop(key)
        if weight > self._most:
            return
        self._held[key] = value, weight
        self.weight += weight
        while self.weight > self._most:
            self.drop(next(iter(self._held)))

    def drop(self, key: K) -> None:
        """Hold a key's value no longer, if it was held."""
        if (held := self._held.pop(key, None)) is not None:
            self.weight -= held[1]
