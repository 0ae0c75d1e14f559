"""Reads that are shared: nobody is answered with what was read before they asked."""

from __future__ import annotations

import asyncio

import pytest

from app.sharing import SharedReads


class Counter:
    """What is read: how often it was, and for whom. Each read waits until it may go."""

    def __init__(self) -> None:
        self.wanted: list[set[str]] = []
        self.may_go = asyncio.Event()

    async def read(self, key: str, wanted: set[str]) -> int:
        self.wanted.append(set(wanted))
        number = len(self.wanted)
        await self.may_go.wait()
        if key == "broken":
            raise LookupError(key)
        return number


async def turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_while_a_read_runs_shares_the_one_after_it() -> None:
    async def story() -> tuple[list[int], list[set[str]]]:
        counter = Counter()
        reads = SharedReads(counter.read)
        asked = [asyncio.create_task(reads.read("key", name)) for name in "ab"]
        await turns()
        asked += [asyncio.create_task(reads.read("key", name)) for name in "bcd"]
        await turns()
        counter.may_go.set()
        return list(await asyncio.gather(*asked)), counter.wanted

    assert asyncio.run(story()) == ([1, 1, 2, 2, 2], [{"a", "b"}, {"b", "c", "d"}])


def test_reads_of_other_keys_wait_for_nobody() -> None:
    async def story() -> list[int]:
        counter = Counter()
        reads = SharedReads(counter.read)
        asked = [asyncio.create_task(reads.read(key, "a")) for key in ("one", "two")]
        await turns()
        assert len(counter.wanted) == 2
        counter.may_go.set()
        return list(await asyncio.gather(*asked))

    assert asyncio.run(story()) == [1, 2]


def test_who_goes_away_leaves_the_read_to_the_others() -> None:
    async def story() -> list[int | BaseException]:
        counter = Counter()
        reads = SharedReads(counter.read)
        asked = [asyncio.create_task(reads.read("key", name)) for name in "abc"]
        await turns()
        asked[0].cancel()
        counter.may_go.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))

    gone, *others = asyncio.run(story())
    assert isinstance(gone, asyncio.CancelledError)
    assert others == [1, 1]


def test_a_read_that_fails_fails_for_all_of_its_readers_and_for_no_later_one() -> None:
    async def story() -> int:
        counter = Counter()
        counter.may_go.set()
        reads = SharedReads(counter.read)
        for _ in range(2):
            with pytest.raises(LookupError):
                await reads.read("broken", "a")
        return await reads.read("key", "a")

    assert asyncio.run(story()) == 3
