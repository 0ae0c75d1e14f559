"""What anonymous callers with long bodies cost another organization's reader.

``python -m tests.benchmarks flooding`` measures it; as a module of its own this is the flood:
``python -m tests.benchmarks.flooding URL CONNECTIONS SECONDS``, which prints its answers.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median, quantiles
from urllib.parse import urlsplit

from tests.benchmarks import load, places
from tests.benchmarks.load import Row, at_most, ratio

_PATH = "/api/v1/assistants/1"
_CONNECTIONS = 32
_BYTES = 800_000
_WARM_UP = 0.5  # seconds


def flooding(seconds: float, rounds: int) -> Iterator[Row]:
    """The p95 of a reader alone, and beside 32 connections that send 800 KB without a key."""
    with places.fresh() as place:
        places.fill(place, [2])
        with load.serving(place.folder, place.url) as (url, _):
            headers = place.headers()
            alone, beside, refused = [], [], []
            asyncio.run(_read(url, headers, 1))
            for _ in range(rounds):
                alone.append(_p95(asyncio.run(_read(url, headers, seconds))))
                with _flood(url, seconds + 2 * _WARM_UP) as process:
                    assert process.stdout is not None  # it is piped
                    process.stdout.readline()
                    time.sleep(_WARM_UP)
                    beside.append(_p95(asyncio.run(_read(url, headers, seconds))))
                    text, _error = process.communicate()
                refused.append(text.strip())
    rates = f"{median(beside):.1f} ms against {median(alone):.1f} ms; answers: {refused[-1]}"
    what = f"GET p95 beside {_CONNECTIONS} anonymous senders of {_BYTES // 1000} KB / alone"
    yield at_most(what, ratio(beside, alone), 3, rates)


def _flood(url: str, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.flooding"]
    arguments = [url, str(_CONNECTIONS), str(seconds)]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)


def _p95(taken: list[float]) -> float:
    return quantiles(taken, n=20)[-1] * 1000


async def _read(url: str, headers: dict[str, str], seconds: float) -> list[float]:
    """How long each of one reader's requests took."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = [f"GET {_PATH} HTTP/1.1", "host: bench", *(f"{n}: {v}" for n, v in headers.items())]
    request = "\r\n".join([*head, "", ""]).encode()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        writer.write(request)
        status, length, _ = await _head(reader)
        if status != b"200":
            raise RuntimeError(f"the reader was answered {status!r}")
        await reader.readexactly(length)
        taken.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()
    return taken


async def _head(reader: asyncio.StreamReader) -> tuple[bytes, int, bool]:
    """The status of an answer, the length of its body, and whether the connection is kept."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return head[9:12], length, b"connection: close" not in head


async def _send(url: str, body: bytes, until: float, answers: Counter[bytes]) -> None:
    """Send long bodies without a key, over as many connections as it takes."""
    place = urlsplit(url)
    json = "content-type: application/json"
    declared = f"content-length: {len(body)}"
    head = f"PUT {_PATH} HTTP/1.1\r\nhost: bench\r\n{json}\r\n{declared}\r\n\r\n"
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            kept = True
            while kept and time.perf_counter() < until:
                writer.write(head.encode() + body)
                status, length, kept = await _head(reader)
                await reader.readexactly(length)
                answers[status] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            answers[b"cut off"] += 1
        finally:
            writer.transport.abort()


async def _send_all(url: str, connections: int, seconds: float) -> Counter[bytes]:
    answers: Counter[bytes] = Counter()
    members = ",".join(f'"k{number}":[{{"a":1}}]' for number in range(_BYTES // 22))
    body = f'{{"custom_settings":{{{members}}}}}'.ljust(_BYTES).encode()
    print("begins", flush=True)  # noqa: T201  # to the benchmark: what follows is the flood alone
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_send(url, body, until, answers) for _ in range(connections)))
    return answers


if __name__ == "__main__":
    _, address, many, how_long = sys.argv
    found = asyncio.run(_send_all(address, int(many), float(how_long)))
    print(", ".join(f"{count} x {name.decode()}" for name, count in found.items()))  # noqa: T201  # to the benchmark
