"""Whether a server stays as it is: what is measured of it each minute, and the verdicts on that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import linear_regression, quantiles

from msgspec import Struct

from tests.benchmarks import load

_HOUR = 3600.0
_SETTLING, _WINDOW = 600.0, 600.0  # seconds: until caches are full, and of a comparison's two ends
_MEMORY_SLOPE, _COUNT_SLOPE = 10.0, 10.0  # an hour: MB; threads or descriptors
_TAIL = 1.5  # the last p99 / the first


class Sample(Struct, frozen=True, kw_only=True):
    """A process at one moment, ``at`` seconds after the first request."""

    at: float
    memory: float  # MB
    anonymous: float  # MB of it that no file backs
    threads: int
    descriptors: int


class Answer(Struct, frozen=True):
    """One answer: when its request was due, what it was, its milliseconds, and its status."""

    at: float
    kind: str
    time: float
    status: str
    is_expected: bool


class Verdict(Struct, frozen=True, kw_only=True):
    """One promise, what was measured, and whether it was kept."""

    what: str
    measured: str
    goal: str
    is_kept: bool


def sample(pid: int, at: float) -> Sample:
    """What a process holds now."""
    process = Path(f"/proc/{pid}")
    return Sample(
        at=at,
        memory=load.memory(pid),
        anonymous=load.memory(pid, "RssAnon"),
        threads=len(list((process / "task").iterdir())),
        descriptors=len(list((process / "fd").iterdir())),
    )


def p99(times: Sequence[float]) -> float:
    """99 of 100 took no longer; 0 where too few are known."""
    return quantiles(times, n=100)[-1] if len(times) > 1 else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The growth in an hour, by least squares; each point has its seconds first."""
    return linear_regression(*zip(*points, strict=True)).slope * _HOUR


def verdicts(samples: Sequence[Sample], answers: Sequence[Answer]) -> Iterator[Verdict]:
    """Whether memory, threads and descriptors are flat, p99 stays, and answers are as expected."""
    yield from flatness(samples)
    for kind in ("GET", "PATCH"):
        yield _tail(kind, answers)
    yield _statuses(answers)


def flatness(samples: Sequence[Sample]) -> Iterator[Verdict]:
    """Whether what a process holds stays the same, once it has settled."""
    for what, of, bound, unit in _FLAT:
        points = [(one.at, of(one)) for one in samples if one.at >= _settled(samples)]
        growth = slope(points)
        yield Verdict(
            what=what,
            measured=f"{growth:+.1f}{unit} an hour, from {points[0][1]:.0f} to {points[-1][1]:.0f}",
            goal=f"<= {bound:g}{unit} an hour",
            is_kept=growth <= bound,
        )


_FLAT: tuple[tuple[str, Callable[[Sample], float], float, str], ...] = (
    ("memory", lambda one: one.memory, _MEMORY_SLOPE, " MB"),
    ("threads", lambda one: one.threads, _COUNT_SLOPE, ""),
    ("descriptors", lambda one: one.descriptors, _COUNT_SLOPE, ""),
)


def _settled(samples: Sequence[Sample]) -> float:
    """Ten minutes, or a third of a shorter run."""
    return min(_SETTLING, samples[-1].at / 3)


def ends(kind: str, answers: Sequence[Answer]) -> tuple[float, float]:
    """The p99 of the first and of the last ten minutes, or of the thirds of a shorter run."""
    of_kind = [one for one in answers if one.kind == kind]
    last = max(one.at for one in answers)
    window = min(_WINDOW, last / 3)
    first = [one.time for one in of_kind if one.at <= window]
    return p99(first), p99([one.time for one in of_kind if one.at >= last - window])


def _tail(kind: str, answers: Sequence[Answer]) -> Verdict:
    before, after = ends(kind, answers)
    return Verdict(
        what=f"{kind} p99, last / first",
        measured=f"{after / before if before else 0:.2f}: {after:.1f} ms / {before:.1f} ms",
        goal=f"<= {_TAIL}",
        is_kept=after <= before * _TAIL,
    )


def unexpected(answers: Sequence[Answer]) -> Mapping[str, int]:
    """How often a kind was answered with a status that it should not have, by both."""
    return Counter(f"{one.kind} {one.status}" for one in answers if not one.is_expected)


def _statuses(answers: Sequence[Answer]) -> Verdict:
    found = unexpected(answers)
    named = ", ".join(f"{number} x {what}" for what, number in found.items())
    return Verdict(
        what="unexpected answers",
        measured=f"{sum(found.values())} of {len(answers):,}" + (f": {named}" if named else ""),
        goal="0",
        is_kept=not found,
    )
