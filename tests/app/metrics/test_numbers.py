"""The numbers of several processes as one, and of what cannot be read."""

from __future__ import annotations

import time
from pathlib import Path

from app.metrics import snapshots
from app.metrics.numbers import Counter, Gauge, Histogram, Metric, Series
from app.metrics.snapshots import Snapshot

ALIVE = time.monotonic() + 3600
LONG_AGO = time.monotonic() - 60


def merged(metric: Metric, *parts: tuple[float, Series]) -> object:
    read = [Snapshot(at=at, series={metric.name: series}) for at, series in parts]
    return snapshots.merge(metric, read)


def one_series(value: float) -> Series:
    return [((), [value])]


def test_a_counter_is_the_sum_of_all_processes_that_ever_were() -> None:
    requests = Counter("requests_total", "", ("route",))
    one: Series = [(("/a",), [2]), (("/b",), [1])]
    other: Series = [(("/a",), [3])]
    assert merged(requests, (LONG_AGO, one), (ALIVE, other)) == {("/a",): [5], ("/b",): [1]}


def test_a_histogram_counts_a_value_at_a_bound_below_it() -> None:
    seconds = Histogram("seconds", "", (1, 2))
    for value in (0.5, 1, 1.5, 7):
        seconds.of().observe(value)
    assert seconds.series() == [((), [2, 1, 1, 10])]
    twice = merged(seconds, (LONG_AGO, seconds.series()), (ALIVE, seconds.series()))
    assert twice == {(): [4, 2, 2, 20]}


def test_a_gauge_is_of_the_processes_that_still_publish() -> None:
    dead = (LONG_AGO, one_series(9))
    one, other = (ALIVE, one_series(1)), (ALIVE, one_series(2))
    assert merged(Gauge("length", "", merge=sum), dead, one, other) == {(): [3]}
    assert merged(Gauge("bytes", "", merge=max), dead, one, other) == {(): [2]}
    assert merged(Gauge("bytes", "", merge=max), dead) == {}


def test_a_gauge_that_cannot_be_read_is_left_out_and_no_other() -> None:
    gauge = Gauge("bytes", "", ("disk",), merge=max)
    gauge.follow(lambda: Path("/nowhere").stat().st_size, "gone")
    gauge.follow(lambda: None, "unknown")
    gauge.set(7, "there")
    assert gauge.series() == [(("there",), [7])]
