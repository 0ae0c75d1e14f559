"""Turns: organizations take the places of a pool one after another, so that none keeps them all."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TooManyReads(Exception):
    """As many reads of the organization wait as may wait: ``most``."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class Turns(Generic[Item]):
    """Gives places to items, round robin by organization, for whichever thread.

    An organization holds at most ``share`` of the ``places``, also where others are free: who comes
    next does not wait for it. At most ``most_waiting`` of its items wait, beside those that go on.
    """

    def __init__(self, places: int, *, share: int, most_waiting: int) -> None:
        self._places = self._free = places
        self._share = share
        self._most_waiting = most_waiting
        self._held: Counter[int] = Counter()
        # The items of each organization; the one whose turn is next comes first.
        self._waiting: dict[int, deque[Item]] = {}
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many items have a place."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """How many items wait for one."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def enter(self, organization_id: int, item: Item, *, goes_on: bool = False) -> bool:
        """Take a place for an item; False if the item waits for one.

        ``goes_on`` is for the next part of what has begun: it waits, however many others do.
        Raises ``TooManyReads``.
        """
        with self._lock:
            if self._free and self._held[organization_id] < self._share:
                self._hold(organization_id)
                return True
            waiting = self._waiting.setdefault(organization_id, deque())
            if len(waiting) >= self._most_waiting and not goes_on:
                raise TooManyReads(self._most_waiting)
            waiting.append(item)
            return False

    def leave(self, organization_id: int) -> Item | None:
        """Give a place back; the item that has it now, if one waited."""
        with self._lock:
            self._free += 1
            self._held -= Counter((organization_id,))  # keeps none that holds nothing
            below = (one for one in self._waiting if self._held[one] < self._share)
            following = next(below, None)
            if following is None:
                return None
            self._hold(following)
            waiting = self._waiting.pop(following)
            item = waiting.popleft()
            if waiting:
                self._waiting[following] = waiting  # behind all others
            return item

    def withdraw(self, organization_id: int, item: Item) -> bool:
        """Let an item wait no more; False if it has had its turn."""
        with self._lock:
            waiting = self._waiting.get(organization_id, deque())
            if item not in waiting:
                return False
            waiting.remove(item)
            if not waiting:
                del self._waiting[organization_id]
            return True

    def _hold(self, organization_id: int) -> None:
        self._free -= 1
        self._held[organization_id] += 1
