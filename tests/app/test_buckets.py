"""Token buckets: exact, whichever of them are in memory, and bounded."""

from __future__ import annotations

import random

import pytest

from app.buckets import Buckets
from app.limits import Rate

_TWO_A_SECOND = Rate(count=2, seconds=1)  # four at once


class Simple:
    """One bucket for each key, counted as one would by hand, and never dropped."""

    def __init__(self, rate: Rate) -> None:
        self._gain = rate.count / rate.seconds
        self._most = 2.0 * rate.count
        self._held: dict[int, tuple[float, float]] = {}

    def take(self, key: int, now: float) -> bool:
        tokens, since = self._held.get(key, (self._most, now))
        tokens = min(self._most, tokens + (now - since) * self._gain)
        taken = tokens > 1 - 1e-4
        self._held[key] = (tokens - taken, now)
        return taken


def accepted(buckets: Buckets[int], key: int, now: float, times: int) -> int:
    """How many of some takes at one moment are accepted."""
    return sum(buckets.take(key, now) <= 0 for _ in range(times))


@pytest.mark.parametrize("count", [1, 3, 10, 1000, 7777])
@pytest.mark.parametrize("seconds", [1, 60])
def test_a_bucket_may_hold_as_much_as_is_said(count: int, seconds: int) -> None:
    buckets = Buckets[int](Rate(count=count, seconds=seconds), at_once=5)
    start = 1e6
    assert accepted(buckets, 1, start, 9) == 5
    assert accepted(buckets, 1, start + seconds / count, 9) == 1


@pytest.mark.parametrize("count", [1, 3, 10, 1000, 7777])
@pytest.mark.parametrize("seconds", [1, 60])
def test_a_bucket_holds_two_windows_and_fills_at_its_rate(count: int, seconds: int) -> None:
    buckets = Buckets[int](Rate(count=count, seconds=seconds))
    start = 1e6
    assert accepted(buckets, 1, start, 3 * count) == 2 * count
    assert accepted(buckets, 1, start + seconds, 3 * count) == count
    assert accepted(buckets, 1, start + 100 * seconds, 3 * count) == 2 * count


def test_a_refused_take_says_when_the_next_is_accepted() -> None:
    buckets = Buckets[int](_TWO_A_SECOND)
    assert accepted(buckets, 1, 0.0, 9) == 4
    wait = buckets.take(1, 0.1)
    assert wait == pytest.approx(0.4, abs=0.001)
    assert buckets.wait(1, 0.1) == wait  # asking takes nothing
    assert accepted(buckets, 1, 0.1 + wait - 0.01, 2) == 0
    assert accepted(buckets, 1, 0.1 + wait + 1e-9, 2) == 1


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets[int](_TWO_A_SECOND)
    assert accepted(buckets, 1, 0.0, 9) == accepted(buckets, 2, 0.0, 9) == 4


def test_what_is_drained_is_never_refused_and_leaves_no_debt() -> None:
    buckets = Buckets[int](_TWO_A_SECOND)
    for _ in range(50):
        buckets.drain(1, 0.0)
    assert accepted(buckets, 1, 0.0, 9) == 0
    assert accepted(buckets, 1, 0.5, 9) == 1


def stories(seed: int) -> list[tuple[int, float]]:
    """Takes of a few busy and many rare keys, with pauses of all lengths."""
    chance = random.Random(seed)
    now, story = 5.0, []
    for _ in range(4000):
        now += chance.choice((0.0, 0.001, 0.05, 0.1, chance.choice((0.1, 0.1, 0.1, 1.9, 2.0, 4.1))))
        story.append((chance.choice((1, 2, 3, chance.randrange(500))), now))
    return story


@pytest.mark.parametrize("seed", range(5))
def test_no_key_gets_a_token_more_because_its_bucket_was_dropped(seed: int) -> None:
    buckets, simple = Buckets[int](_TWO_A_SECOND), Simple(_TWO_A_SECOND)
    story = stories(seed)
    expected = [simple.take(key, now) for key, now in story]
    assert [buckets.take(key, now) <= 0 for key, now in story] == expected
    assert buckets.stored < 500  # it did drop some
    # The control: those of the period before are dropped at once.
    early, found = Buckets[int](_TWO_A_SECOND), []
    for key, now in story:
        found.append(early.take(key, now) <= 0)
        early._older.clear()  # noqa: SLF001  # the guard, off
    assert sum(found) > sum(expected)


def test_a_million_keys_take_no_more_memory_than_the_most_that_is_allowed() -> None:
    buckets = Buckets[int](_TWO_A_SECOND, most=1000)
    largest = 0
    for number in range(1_000_000):
        buckets.take(number, number / 10_000)
        if number % 100 == 0:
            largest = max(largest, buckets.stored)
    assert 1000 < largest <= 2 * 1001
    buckets.take(0, 1e6)
    buckets.take(0, 2e6)
    assert buckets.stored <= 2


def test_a_flood_of_new_keys_gets_the_tokens_of_one() -> None:
    buckets = Buckets[int](_TWO_A_SECOND, most=10)
    for number in range(10):
        assert accepted(buckets, number, 0.0, 1) == 1
    assert sum(accepted(buckets, number, 0.0, 9) for number in range(10, 5000)) == 4
    assert accepted(buckets, 3, 0.0, 9) == 3  # those that came before go on
