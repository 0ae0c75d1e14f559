"""What a database of many events costs: requests, the start, memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median

import httpx

from tests.benchmarks import asking, load, loading, places
from tests.benchmarks.asking import ASSISTANTS
from tests.benchmarks.load import Ask, Row, at_most, ratio
from tests.benchmarks.places import Place
from tests.end_to_end.processes import NOT_FORKED
from tests.no_tls import NO_TLS

_SMALLEST = 10_000
_VERSIONS = 100  # of each assistant
_STARTS = 5
_HOT = 100  # assistants
_COLD_SECONDS = 1.5
_COLD_MEMORY = 120  # MB


def growth(seconds: float, rounds: int, events: int) -> Iterator[Row]:
    """The same requests on databases of more and more events, each beside the smallest."""
    sizes = [size for size in (_SMALLEST, 100_000, 1_000_000) if size <= events]
    with ExitStack() as stack:
        made = {size: stack.enter_context(places.fresh()) for size in sizes}
        for size, place in made.items():
            loading.load(place, [_VERSIONS] * (size // _VERSIONS))
        yield from _cold(made[sizes[-1]], sizes[-1])
        served = {
            size: stack.enter_context(load.serving(place.folder, place.url))
            for size, place in made.items()
        }
        asks = {size: _asks(place, size // _VERSIONS) for size, place in made.items()}
        for name in asks[_SMALLEST]:
            contenders = {str(size): (served[size][0], asks[size][name]) for size in sizes}
            taken = asking.alternate(contenders, 32, seconds, rounds)
            rates = {size: [one.rate for one in taken[str(size)]] for size in sizes}
            yield from _compared(name, rates)
        for size, (_, pid) in served.items():
            what = f"memory after that load, {size:,} events"
            yield Row(what=what, measured=f"{load.memory(pid):.0f} MB")


def _compared(name: str, rates: Mapping[int, list[float]]) -> Iterator[Row]:
    smallest = rates[_SMALLEST]
    for size, ours in rates.items():
        if size != _SMALLEST:
            beside = f"{median(ours):,.0f}/s against {median(smallest):,.0f}/s"
            what = f"{name}, time at {size:,} events / at {_SMALLEST:,}"
            yield at_most(what, ratio(smallest, ours), 1.2, beside)


def _asks(place: Place, assistants: int) -> dict[str, Ask]:
    """Of a hundred assistants, which stay in memory, and of all, which at first are not there."""
    paths = tuple(f"{ASSISTANTS}/{number}" for number in range(1, assistants + 1))
    pages = tuple(f"{path}/settings-history?limit=50" for path in paths)
    return {
        "GET": Ask(paths=paths[:_HOT], headers=place.headers()),
        "GET of all in turn": Ask(paths=paths, headers=place.headers()),
        "PATCH": asking.patch(paths[:_HOT], place),
        "PATCH of all in turn": asking.patch(paths, place),
        "history page": Ask(paths=pages, headers=place.headers()),
    }


def _cold(place: Place, events: int) -> Iterator[Row]:
    """From the start of the process to its first answer, and what it holds in memory then."""
    seconds, megabytes = [], []
    caller = httpx.Client(verify=NO_TLS)  # made before: it takes long to read certificates
    for _ in range(_STARTS):
        began = time.perf_counter()
        with load.serving(place.folder, place.url, **NOT_FORKED) as (url, pid):
            answer = caller.get(f"{url}{ASSISTANTS}/1", headers=place.headers())
            seconds.append(time.perf_counter() - began)
            answer.raise_for_status()
            megabytes.append(load.memory(pid))
    yield Row(
        what=f"cold start to first answer, {events:,} events",
        measured=f"{median(seconds):.2f} s",
        goal=f"< {_COLD_SECONDS} s",
    )
    yield Row(
        what=f"memory then, {events:,} events",
        measured=f"{median(megabytes):.0f} MB",
        goal=f"< {_COLD_MEMORY} MB",
    )
