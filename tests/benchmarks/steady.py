"""A light, steady caller: reads and changes on a fixed schedule, each timed from when it was due.

So the time that a request waits for its turn counts, as it does for a caller on the phone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from statistics import median, quantiles
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, field

from tests.benchmarks import noise

Kind = Literal["GET", "PATCH"]
KINDS: tuple[Kind, ...] = ("GET", "PATCH")
_ASSISTANTS = "/api/v1/assistants"
_COUNT = 20  # assistants, of about three kilobytes
_EACH_SECOND: dict[Kind, int] = {"GET": 50, "PATCH": 10}
_SHIFT: dict[Kind, float] = {
    "GET": 0.0,
    "PATCH": 0.005,
}  # seconds, so that no two requests are due at once
_NEW = 10  # each request of so many comes over a new connection
_PATIENCE = 10.0  # seconds for the last answers; what has none then has failed
_values = count()


class Taken(Struct):
    """How long the requests of one kind took, in milliseconds; the failed ones are among them."""

    times: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p95(self) -> float:
        """95 of 100 took no longer."""
        return quantiles(self.times, n=20)[-1]

    def __str__(self) -> str:
        times = f"{median(self.times):.1f} / {self.p95:.1f} / {max(self.times):.0f} ms"
        return times + (f", {self.failed} of {len(self.times)} failed" if self.failed else "")


class _Request(Struct, frozen=True):
    due: float  # seconds after the first
    kind: Kind
    number: int

    def encoded(self, key: str) -> bytes:
        """Each change is one: no two of an assistant that follow each other set the same."""
        settings = f'{{"llm_settings": {{"max_tokens": {next(_values) % 4000 + 1}}}}}'
        body = settings if self.kind == "PATCH" else ""
        head = (
            f"{self.kind} {_ASSISTANTS}/{self.number % _COUNT + 1} HTTP/1.1",
            "host: bench",
            f"authorization: Bearer {key}",
            "content-type: application/json",
            f"content-length: {len(body)}",
        )
        return "\r\n".join((*head, "", body)).encode()


def _schedule(seconds: float) -> Iterator[_Request]:
    for kind, rate in _EACH_SECOND.items():
        for number in range(int(rate * seconds)):
            yield _Request(number / rate + _SHIFT[kind], kind, number)


def prepare(url: str, key: str) -> None:
    """Make the caller's assistants."""
    prompt = {"system_prompt": noise.text(300)}
    with closing(noise.Client(url, key)) as client:
        for number in range(_COUNT):
            body = {"name": f"Front desk {number}", "llm_settings": prompt}
            client.change("POST", _ASSISTANTS, body)


class Caller:
    """Sends each request when it is due, over a connection that is free or new."""

    def __init__(self, url: str, key: str) -> None:
        self._place = urlsplit(url)
        self._key = key
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, seconds: float) -> dict[Kind, Taken]:
        """How long the requests of so many seconds took."""
        taken: dict[Kind, Taken] = {kind: Taken() for kind in KINDS}
        started, tasks = time.perf_counter(), set()
        for request in sorted(_schedule(seconds), key=lambda one: one.due):
            due = started + request.due
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            tasks.add(asyncio.create_task(self._time(request, due, taken[request.kind])))
        _, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for _, writer in self._free:
            writer.transport.abort()
        return taken

    async def _time(self, request: _Request, due: float, taken: Taken) -> None:
        is_success = False
        try:
            is_success = await self._ask(request)
        except (OSError, EOFError):
            pass  # it has failed
        finally:
            taken.times.append((time.perf_counter() - due) * 1000)
            taken.failed += not is_success

    async def _ask(self, request: _Request) -> bool:
        reader, writer = await self._connection(is_new=request.number % _NEW == 0)
        try:
            writer.write(request.encoded(self._key))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
        except BaseException:
            writer.transport.abort()
            raise
        if b"connection: close" in head:
            writer.transport.abort()
        else:
            self._free.append((reader, writer))
        return head[9:12] == b"200"

    async def _connection(
        self, *, is_new: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._free and not is_new:
            return self._free.pop()
        return await asyncio.open_connection(self._place.hostname, self._place.port)
