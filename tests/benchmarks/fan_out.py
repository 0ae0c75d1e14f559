"""The change stream: how many events a second reach 64 followers, and what that costs writers.

Change sets make the events: single requests would be the limit, not the stream.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from tests.app.streams import STREAM
from tests.benchmarks.load import Row, at_least
from tests.conftest import ASSISTANTS, make_organizations
from tests.end_to_end.processes import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization

FOLLOWERS = 64
_ASSISTANTS = 100
_SETS = 20  # each changes all of them


def fan_out() -> Iterator[Row]:
    """Deliveries a second while changes are made, and the rate of changes beside none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.db")
        (keys,) = make_organizations(path, 1)
        with serving(path) as running:
            asyncio.run(_create(running.url, keys))
            alone, _ = asyncio.run(_measure(running.url, keys, 0))
            changes, delivered = asyncio.run(_measure(running.url, keys, FOLLOWERS))
    yield Row(
        what=f"events to {FOLLOWERS} followers",
        measured=f"{delivered:,.0f}/s",
        beside=f"of {changes:,.0f} changes a second, by sets of {_ASSISTANTS}",
    )
    what = f"changes by sets, beside {FOLLOWERS} followers / beside none"
    yield at_least(what, changes / alone, 0.5, f"{changes:,.0f}/s against {alone:,.0f}/s")


def _editor(url: str, keys: Organization) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {keys.editor}"}, timeout=60
    )


async def _create(url: str, keys: Organization) -> None:
    async with _editor(url, keys) as editor:
        for number in range(_ASSISTANTS):
            (await editor.post(ASSISTANTS, json={"name": f"Line {number}"})).raise_for_status()


async def _measure(url: str, keys: Organization, followers: int) -> tuple[float, float]:
    """Changes a second, and deliveries a second until the last follower has the last event."""
    expected = _ASSISTANTS * _SETS
    streams = [await _open(url, keys) for _ in range(followers)]
    counting = [asyncio.create_task(_count(reader, expected)) for reader, _ in streams]
    began = time.perf_counter()
    async with _editor(url, keys) as editor:
        for _ in range(_SETS):
            await _change_all(editor)
    changed = time.perf_counter() - began
    await asyncio.gather(*counting)
    delivered = time.perf_counter() - began
    for _, writer in streams:
        writer.close()
    return expected / changed, followers * expected / delivered


async def _change_all(editor: httpx.AsyncClient) -> None:
    patch = {"llm_settings": {"max_tokens": time.time_ns() % 1_000_000_000}}
    answer = await editor.post("/api/v1/change-sets", json={"filter": {}, "patch": patch})
    answer.raise_for_status()


async def _open(url: str, keys: Organization) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream whose head has come. It is read as bytes: the client must not be the limit."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"GET {STREAM} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {keys.viewer}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"retry: ")
    return reader, writer


async def _count(reader: asyncio.StreamReader, expected: int) -> None:
    """Read until so many events have come."""
    seen, rest = 0, b""
    while seen < expected:
        rest += await reader.read(1 << 16)
        seen += rest.count(b"\nevent: ")
        rest = rest[-len(b"\nevent:") :]
