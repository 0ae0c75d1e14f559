"""Exports of a long log, in one run: ``python -m tests.benchmarks.export [EVENTS]``.

A million events by default: allow it ten minutes. ``backstory serve`` runs as a process of its
own; what it sends is
read and thrown away. Beside each export, the same rows are read with the ``sqlite3`` module in
one loop, in a process of its own as well, alternating; the table shows medians and ratios.

``python -m tests.benchmarks export`` has two rows of it: NDJSON, and what an export costs changes.
"""

from __future__ import annotations

import http.client
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from app.audit import exporting, signing
from events import log_head, store
from events.changed import Actor, AssistantSettingsChanged, Cause
from events.pointers import Change
from projections.exports.formats import find_format
from tests.benchmarks import asking, load, loading, places
from tests.benchmarks.load import Row, at_least, at_most
from tests.conftest import Organization, make_organizations
from tests.databases import config_of, on_sqlite, reading_engine, writing_engine
from tests.end_to_end.processes import Process, serving

RUNS = 5
FEW_RUNS = 3  # of the formats that take their time
EVENTS = 1_000_000
_BATCH = 2_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_ACTOR = Actor(type="api_key", id=1, name="Ada Okafor", user_id=1)
_FORMATS = ("ndjson", "json", "cloudevents", "csv", "ocsf", "parquet")
_VERSIONS = 100  # of each assistant
_CONNECTIONS = 32
_LOOP = "SELECT sequence, body, hashes FROM events WHERE organization_id = 1 ORDER BY sequence"


class Taken(Struct, frozen=True):
    """How long one reading took, until its first byte and its last, and how many came."""

    first: float
    whole: float
    size: int


def fill(path: Path, count: int) -> Organization:
    """A database with one organization whose log holds ``count`` events of a hundred assistants."""
    (organization,) = make_organizations(path, 1)
    engine = writing_engine(path)
    for start in range(0, count, _BATCH):
        with engine.begin() as connection:
            counter = log_head.head_of(connection, 1)
            end = min(start + _BATCH, count)
            store.append(connection, counter, [_event(n) for n in range(start, end)])
            counter.sequence = end
            counter.last_occurred_at = _START + timedelta(seconds=end)
            log_head.save_head(connection, counter)
    engine.dispose()
    return organization


def _event(number: int) -> AssistantSettingsChanged:
    return AssistantSettingsChanged(
        organization_id=1,
        sequence=number + 1,
        assistant_id=number % 100 + 1,
        version=number // 100 + 1,
        occurred_at=_START + timedelta(seconds=number),
        actor=_ACTOR,
        reason="Callers said that answers wander",
        cause=Cause(type="patch"),
        request_id=f"{number:032x}",
        changes={"/llm_settings/temperature": Change(before=number % 20 / 10, after=0.5)},
    )


def download(url: str, key: str, query: str) -> Taken:
    """One export over HTTP, thrown away as it comes."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    started = time.perf_counter()
    headers = {"authorization": f"Bearer {key}"}
    connection.request("GET", f"/api/v1/audit/export?{query}", headers=headers)
    answer = connection.getresponse()
    size = len(answer.read(1))
    first = time.perf_counter() - started
    while chunk := answer.read(1 << 18):
        size += len(chunk)
    connection.close()
    return Taken(first, time.perf_counter() - started, size)


def loop(path: Path) -> Taken:
    """The same rows with the ``sqlite3`` module in one loop, in a process that does only that."""
    command = [sys.executable, "-m", "tests.benchmarks.export", "--loop", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    whole, size = text.split()
    return Taken(0, float(whole), int(size))


def to_a_file(path: Path, count: int) -> Taken:
    """NDJSON as ``backstory export`` writes it, in a process of its own, without its start."""
    command = [sys.executable, "-m", "tests.benchmarks.export", "--file", str(path), str(count)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    whole, size = text.split()
    return Taken(0, float(whole), int(size))


def _file(path: str, count: str) -> None:
    engine = reading_engine(Path(path))
    signer = signing.open_signer(config_of(Path(path)))
    with engine.connect() as connection:
        change_request = exporting.ExportRequest(until_sequence=int(count))
        plan = exporting.plan_export(connection, signer, 1, find_format("ndjson"), change_request)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        size = sum(map(file.write, exporting.chunks(engine.connect, plan, lambda _: None)))
    sys.stdout.write(f"{time.perf_counter() - started} {size}\n")


def _loop(path: str) -> None:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    started = time.perf_counter()
    size = 0
    for _, body, hashes in connection.execute(_LOOP):
        size += len(body) + len(hashes)
    sys.stdout.write(f"{time.perf_counter() - started} {size}\n")


def peak_memory(process: Process) -> float:
    """The most memory that a process ever had resident, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def exports(seconds: float, rounds: int, events: int) -> Iterator[Row]:
    """NDJSON against the loop, and the slowest changes beside an export of everything."""
    with places.fresh() as place:
        loading.load(place, [_VERSIONS] * (events // _VERSIONS))
        with load.serving(place.folder, place.url) as (url, _):
            key = place.keys.admin
            if on_sqlite():
                yield _against_the_loop(place.path, url, key, rounds, events)
            ask = asking.patch(asking.MANY, place)
            alone: list[float] = []
            beside: list[float] = []
            for _ in range(rounds):
                alone.append(load.load(url, ask, _CONNECTIONS, seconds).p99)
                with _exporting(url, key):
                    beside.append(load.load(url, ask, _CONNECTIONS, seconds).p99)
    yield at_most(
        f"PATCH p99 beside an export of {events:,} events / alone, {_CONNECTIONS} connections",
        load.ratio(beside, alone),
        1.5,
        f"{statistics.median(beside):.1f} ms against {statistics.median(alone):.1f} ms",
    )


def _against_the_loop(path: Path, url: str, key: str, rounds: int, events: int) -> Row:
    query = f"format=ndjson&until_sequence={events}"
    pairs = [(loop(path), download(url, key, query)) for _ in range(rounds)]
    loops, downloads = ([one.whole for one in taken] for taken in zip(*pairs, strict=True))
    rates = " against ".join(
        f"{events / statistics.median(taken):,.0f}/s" for taken in (downloads, loops)
    )
    what = f"export ndjson / sqlite3 loop, {events:,} events"
    return at_least(what, load.ratio(loops, downloads), 0.6, rates)


@contextmanager
def _exporting(url: str, key: str) -> Iterator[None]:
    """Exports of everything, one after the other, until the block has ended."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            download(url, key, "format=ndjson")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def database(count: int) -> Iterator[tuple[Path, str]]:
    """A filled database, and the key of an admin."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.db")
        yield path, fill(path, count).admin


def main() -> None:
    """Measure, and print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    print("| | events/s | MB/s | of the loop's rate | first byte, ms | peak memory, MB |")  # noqa: T201  # the table is what this is for
    print("|---|---|---|---|---|---|")  # noqa: T201  # as above
    with database(count) as (path, key):
        for name in _FORMATS:
            with serving(path) as server:  # each in a new process, whose memory is its own
                runs = RUNS if name == "ndjson" else FEW_RUNS
                query = f"format={name}&until_sequence={count}"
                download(server.url, key, "format=csv&until_sequence=1000")
                pairs = [(loop(path), download(server.url, key, query)) for _ in range(runs)]
                peak = f"{peak_memory(server.process):.0f}"
            _print(name, count, pairs, peak)
        pairs = [(loop(path), to_a_file(path, count)) for _ in range(RUNS)]
        _print("ndjson to a file, without HTTP", count, pairs, "")


def _print(name: str, count: int, pairs: list[tuple[Taken, Taken]], peak: str) -> None:
    ratio = statistics.median(one.whole / other.whole for one, other in pairs)
    whole = statistics.median(other.whole for _, other in pairs)
    first = statistics.median(other.first for _, other in pairs)
    rate, size = count / whole, pairs[0][1].size / whole / 1e6
    cells = (name, f"{rate:,.0f}", f"{size:.1f}", f"{ratio:.2f}", f"{first * 1e3:.0f}", peak)
    print(f"| {' | '.join(cells)} |", flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--loop", path]:
            _loop(path)
        case ["--file", path, count]:
            _file(path, count)
        case _:
            main()
