"""Reads that are shared by all who ask for the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Item = TypeVar("Item", bound=Hashable)
R = TypeVar("R")


class SharedReads(Generic[K, Item, R]):
    """Of each key, one read runs at a time, and who asks meanwhile shares the next one.

    So each read begins after all who get its result have asked, as if each had read alone.
    """

    def __init__(self, read: Callable[[K, set[Item]], Awaitable[R]]) -> None:
        self._read = read
        self._next: dict[K, tuple[set[Item], asyncio.Task[R]]] = {}
        self._running: dict[K, asyncio.Task[R]] = {}

    async def read(self, key: K, item: Item) -> R:
        """The result of the next read of a key. That read gets this item, and those of others."""
        if key not in self._next:
            task = asyncio.create_task(self._run(key))
            task.add_done_callback(_retrieve_exception)
            self._next[key] = set(), task
        wanted, task = self._next[key]
        wanted.add(item)
        return await asyncio.shield(task)  # others may wait for it, too

    async def _run(self, key: K) -> R:
        if key in self._running:
            await asyncio.wait((self._running[key],))
        wanted, self._running[key] = self._next.pop(key)
        try:
            return await self._read(key, wanted)
        finally:
            del self._running[key]


def _retrieve_exception(task: asyncio.Task[R]) -> None:
    """The readers may be gone, and the loop logs an exception that nothing retrieved."""
    if not task.cancelled():
        task.exception()
