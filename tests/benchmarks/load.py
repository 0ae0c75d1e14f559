"""Processes that serve, and what asks them: wrk where it is there, else sockets of our own.

Contenders are asked in turn, round after round, and a figure is the median of its rounds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from tests.end_to_end.processes import environment, started

ROUNDS = 5
WRK = shutil.which("wrk")
_LUA = """
wrk.method = "{method}"
{headers}
local paths = {{{paths}}}
local number = {start}
{request}
done = function(summary, latency, _)
  local e = summary.errors
  local wrong = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("load %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), wrong))
end
"""
# Without a function wrk sends the same bytes again and again, which costs it nothing.
_SAME = "wrk.path = paths[1]"
_OTHERS = """
request = function()
  number = number + 1
  local path = paths[number % #paths + 1]
  return wrk.format(nil, path, nil, {body})
end
"""
_RATE_LIMITS = ("BACKSTORY_RATE_LIMIT", "BACKSTORY_ORGANIZATION_RATE_LIMIT")
_numbers = count(1, 10_000_000)  # no round repeats what another wrote


class Ask(Struct, frozen=True, kw_only=True):
    """A request, sent again and again: to each path in turn, ``%d`` in the body is its number."""

    paths: tuple[str, ...]
    headers: Mapping[str, str]
    method: str = "GET"
    body: str = ""


class Load(Struct, frozen=True):
    """What one round of load gave: answers in a second, and times in milliseconds."""

    rate: float
    median: float
    p99: float


def load(url: str, ask: Ask, connections: int, seconds: float) -> Load:
    """Ask for some seconds over some connections; raises where an answer is no success."""
    start = next(_numbers)
    given = _wrk if WRK else _sockets
    rate, median, p99, wrong = given(url, ask, connections, seconds, start)
    if wrong:
        raise RuntimeError(f"{wrong} answers of {url}{ask.paths[0]} were no success")
    return Load(rate, median, p99)


def _wrk(
    url: str, ask: Ask, connections: int, seconds: float, start: int
) -> tuple[float, float, float, int]:
    plain = not ask.body and len(ask.paths) == 1
    body = f"string.format('{ask.body}', number % 4001)" if ask.body else "nil"
    script = _LUA.format(
        method=ask.method,
        headers="\n".join(f"wrk.headers['{name}'] = '{v}'" for name, v in ask.headers.items()),
        paths=", ".join(f"'{path}'" for path in ask.paths),
        start=start,
        request=_SAME if plain else _OTHERS.format(body=body),
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = [
            str(WRK),
            "-t1",
            "--timeout",
            "20s",
            f"-c{connections}",
            f"-d{round(seconds)}s",
            "-s",
            file.name,
        ]
        text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    (line,) = (line for line in text.splitlines() if line.startswith("load "))
    requests, micros, median, p99, wrong = map(int, line.split()[1:])
    return requests / micros * 1e6, median / 1000, p99 / 1000, wrong


def _sockets(
    url: str, ask: Ask, connections: int, seconds: float, start: int
) -> tuple[float, float, float, int]:
    async def all_of_them() -> None:
        await asyncio.gather(*(_connection(url, ask, until, numbers, taken, wrong) for _ in many))

    taken: list[float] = []
    wrong: list[int] = []
    numbers, many = count(start), range(connections)
    began = time.perf_counter()
    until = began + seconds
    asyncio.run(all_of_them())
    taken.sort()
    rate = len(taken) / (time.perf_counter() - began)
    median, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    return rate, median * 1000, p99 * 1000, len(wrong)


async def _connection(
    url: str,
    ask: Ask,
    until: float,
    numbers: Iterator[int],
    taken: list[float],
    wrong: list[int],
) -> None:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    while (began := time.perf_counter()) < until:
        number = next(numbers)
        writer.write(_request(ask, number))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, rest = head.partition(b"content-length:")
        if rest:
            await reader.readexactly(int(rest.partition(b"\r\n")[0]))
        taken.append(time.perf_counter() - began)
        if head[9:10] not in b"23":
            wrong.append(number)
    writer.close()
    await writer.wait_closed()


def _request(ask: Ask, number: int) -> bytes:
    body = ask.body % (number % 4001) if ask.body else ""
    head = [f"{ask.method} {ask.paths[number % len(ask.paths)]} HTTP/1.1", "host: bench"]
    head += [f"{name}: {value}" for name, value in ask.headers.items()]
    if body:
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", body]).encode()


@contextmanager
def serving(folder: Path, url: str, **settings: str) -> Iterator[tuple[str, int]]:
    """``backstory serve`` on a database: its URL and its process.

    It counts requests, but the load of a few keys is not refused. All else is as by default.
    """
    settings = dict.fromkeys(_RATE_LIMITS, "999999/s") | settings
    with started(folder, "serve", "--port", "0", "--database", url, **settings) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid


@contextmanager
def running(module: str, *arguments: str, **settings: str) -> Iterator[str]:
    """Another server of the benchmarks' own: a module that prints its URL."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(**settings)
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def memory(pid: int, what: str = "VmRSS") -> float:
    """What a process has in memory, in MB; ``VmHWM`` for the most that it ever had."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1000


def ratio(ones: list[float], others: list[float]) -> float:
    """The median of what the rounds gave, each beside its neighbour."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    measured: str
    goal: str = ""
    beside: str = ""


def at_least(what: str, value: float, goal: float, beside: str = "") -> Row:
    """A ratio that should not be less."""
    return Row(what=what, measured=f"{value:.2f}", goal=f">= {goal:.2f}", beside=beside)


def at_most(what: str, value: float, goal: float, beside: str = "") -> Row:
    """A ratio that should not be more."""
    return Row(what=what, measured=f"{value:.2f}", goal=f"<= {goal:g}", beside=beside)


def machine() -> str:
    """What it was measured on, in a line."""
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return ", ".join(
        (
            f"{os.cpu_count()} cores ({names[0] if names else platform.machine()})",
            f"Python {platform.python_version()}",
            f"load by {'wrk' if WRK else 'Python'}",
            f"{datetime.now(UTC):%Y-%m-%d}",
        )
    )
