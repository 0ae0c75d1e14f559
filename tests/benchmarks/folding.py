"""Folding the log again, beside only decoding it; and after a change of the settings.

``python -m tests.benchmarks.folding WHAT DATABASE_URL`` does one of them, in a process whose memory
is its own, and prints seconds and megabytes.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.storage.engines import engines
from app.storage.schema import migrate
from events.changed import LogEvent
from projections import rebuild
from projections.current import assistants
from projections.foldings import foldings
from projections.keyframes import keyframes
from tests.benchmarks import loading, places
from tests.benchmarks.load import Row, at_least, ratio
from tests.benchmarks.places import Place

_VERSIONS = 100
_MEMORY = 300  # MB


class Taken(Struct, frozen=True):
    seconds: float
    megabytes: float


def folding(rounds: int, events: int) -> Iterator[Row]:
    """``backstory check`` and ``rebuild`` against a bare decode of the same rows."""
    with places.fresh() as place:
        loading.load(place, [_VERSIONS] * (events // _VERSIONS))
        taken: dict[str, list[Taken]] = {name: [] for name in _WORK}
        for _ in range(rounds):
            for name, runs in taken.items():
                runs.append(_run(name, place.url))
    bare = [run.seconds for run in taken["decode"]]
    for name, runs in taken.items():
        if name == "decode":
            continue
        ours = [run.seconds for run in runs]
        rates = f"{events / median(ours):,.0f}/s against {events / median(bare):,.0f}/s"
        yield at_least(f"{name} / bare decode, {events:,} events", ratio(bare, ours), 0.2, rates)
        yield Row(
            what=f"{name}, most memory",
            measured=f"{max(run.megabytes for run in runs):.0f} MB",
            goal=f"< {_MEMORY} MB",
        )


def fold_again(rounds: int, events: int) -> Iterator[Row]:
    """``backstory migrate`` where a release with other settings wrote every row of the views."""
    with places.fresh() as place:
        loading.load(place, [_VERSIONS] * (events // _VERSIONS))
        runs = []
        for _ in range(rounds):
            _make_stale(place)
            runs.append(_run("migrate", place.url))
    seconds = median(run.seconds for run in runs)
    yield Row(
        what=f"migrate after a change of the settings, {events:,} events",
        measured=f"{seconds:.1f} s",
        beside=f"{events / seconds:,.0f}/s",
    )
    yield Row(
        what="migrate, most memory",
        measured=f"{max(run.megabytes for run in runs):.0f} MB",
        goal=f"< {_MEMORY} MB",
    )


def _make_stale(place: Place) -> None:
    engine = place.engine()
    with engine.begin() as connection:
        for table in (assistants, keyframes):
            connection.execute(sa.update(table).values(settings_digest="of another release"))
        connection.execute(sa.delete(foldings))
    engine.dispose()


def _run(name: str, url: str) -> Taken:
    command = [sys.executable, "-m", "tests.benchmarks.folding", name, url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Taken(*map(float, text.split()))


def _decode(connection: sa.Connection, _: str) -> None:
    decoder = msgspec.json.Decoder(LogEvent)
    query = sa.text("SELECT body FROM events WHERE organization_id = 1 ORDER BY sequence")
    rows = connection.execution_options(yield_per=1000).execute(query)
    # The driver's own, many at once: SQLAlchemy's cost more, and a server is asked for each.
    for some in iter(lambda: rows.cursor.fetchmany(1000), []):
        for (body,) in some:
            decoder.decode(body)


def _rebuild(connection: sa.Connection, _: str) -> None:
    rebuild.rebuild(connection, loading.nothing)


_WORK: dict[str, Callable[[sa.Connection, str], None]] = {
    "decode": _decode,
    "check": loading.prove,
    "rebuild": _rebuild,
}


def main() -> None:
    _, name, url = sys.argv
    began = time.perf_counter()
    if name == "migrate":
        migrate(sa.make_url(url))
    else:
        database = engines(sa.make_url(url))
        engine = database.commands() if name == "rebuild" else database.snapshots()
        with engine.begin() as connection:
            began = time.perf_counter()
            _WORK[name](connection, url)
    seconds = time.perf_counter() - began
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(seconds, _most_memory() + of_children)  # noqa: T201  # what it is run for


def _most_memory() -> float:
    """The most megabytes that this process held; ``ru_maxrss`` counts what its parent held."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1000


if __name__ == "__main__":
    main()
