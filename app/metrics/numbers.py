"""Counters, histograms and gauges as plain numbers.

A request passes several of them. Those of prometheus_client take a lock each time, and in several
processes write to a file: four microseconds a request, where these take half of one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

Labels = tuple[str, ...]
Series = list[tuple[Labels, list[float]]]


class Number:
    """One value. Only one thread may change it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Distribution:
    """How many values fell into each bucket, and their sum. Only one thread may change it."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one is of values above all bounds
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Metric:
    """A name, what it means, and the names of its labels."""

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name = name
        self.text = text
        self.labels = labels

    def series(self) -> Series:
        """The numbers for each combination of labels so far."""
        raise NotImplementedError


class Counter(Metric):
    """A number that only grows."""

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        super().__init__(name, text, labels)
        self._numbers: dict[Labels, Number] = {} if labels else {(): Number()}

    def of(self, *labels: str) -> Number:
        """The number for these values of the labels. A hot path keeps it."""
        if (number := self._numbers.get(labels)) is None:
            number = self._numbers[labels] = Number()
        return number

    def add(self, *labels: str, by: float = 1) -> None:
        """Add to the number for these values of the labels."""
        self.of(*labels).value += by

    def series(self) -> Series:
        """One number each."""
        return [(labels, [number.value]) for labels, number in list(self._numbers.items())]


class Histogram(Metric):
    """A distribution over buckets; ``bounds`` are their upper ends, ascending."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        super().__init__(name, text, labels)
        self.bounds = bounds
        self._distributions: dict[Labels, Distribution] = {}
        if not labels:
            self.of()

    def of(self, *labels: str) -> Distribution:
        """The distribution for these values of the labels. A hot path keeps it."""
        if (distribution := self._distributions.get(labels)) is None:
            distribution = self._distributions[labels] = Distribution(self.bounds)
        return distribution

    def series(self) -> Series:
        """The count of each bucket, and the sum of all values at the end."""
        return [
            (labels, [*one.counts, one.total]) for labels, one in list(self._distributions.items())
        ]


class Gauge(Metric):
    """A number that goes up and down.

    ``merge`` says what it is for several processes: the sum of theirs, or the largest.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Labels = (),
        *,
        merge: Callable[[Iterable[float]], float],
    ) -> None:
        super().__init__(name, text, labels)
        self.merge = merge
        self._reads: dict[Labels, Callable[[], float | None]] = {}

    def follow(self, read: Callable[[], float | None], *labels: str) -> None:
        """Ask ``read`` from now on, in whichever thread.

        It returns None, or raises ``OSError``, while the number is not known.
        """
        self._reads[labels] = read

    def set(self, value: float, *labels: str) -> None:
        """Keep this number from now on."""
        self.follow(lambda: value, *labels)

    def series(self) -> Series:
        """One number each, of those that are known."""
        found = ((labels, _known(read)) for labels, read in list(self._reads.items()))
        return [(labels, [number]) for labels, number in found if number is not None]


def _known(read: Callable[[], float | None]) -> float | None:
    try:
        return read()
    except OSError:  # such as of a file that is gone: the other metrics matter all the more
        return None
