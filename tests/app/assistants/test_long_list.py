"""Lists that are too large for memory are sent whole, as of one moment, while they are read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from app import pages
from app.assistants import long_list
from app.assistants.long_list import LongList
from app.assistants.view_cache import Listed, ViewCache
from projections import assistant_json
from projections.current import Selection
from tests.app.assistants.view_cache.beside import beside
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from events.assistant_key import AssistantKey
    from events.changed import State
    from tests.conftest import Server


@pytest.fixture(scope="module")
def several(server: Server) -> Iterator[httpx.Client]:
    """Five assistants: one changed, one off, one deleted."""
    with server.client(server.organization().admin) as client:
        for number in range(1, 6):
            body = {"name": f"Number {number}", "description": "d" * 100 * number}
            assert client.post(ASSISTANTS, json=body).status_code == 201
        client.patch(f"{ASSISTANTS}/2", json={"description": "Changed"})
        client.patch(f"{ASSISTANTS}/3/status?is_active=false")
        client.delete(f"{ASSISTANTS}/4")
        yield client


def queries() -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    for query in ({}, {"limit": 2, "skip": 1}, {"active_only": True}):
        yield query
        yield query | {"as_of": now}


def test_a_long_list_is_the_same_bytes(
    several: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for query in queries():
        short = several.get(ASSISTANTS, params=query)
        monkeypatch.setattr(pages, "MOST_BYTES", 1)
        monkeypatch.setattr(long_list, "_PORTION", 2000)
        # Nobody has this list yet: the server remembers those that were asked for.
        several.patch(f"{ASSISTANTS}/1", json={"description": "Since"})
        several.patch(f"{ASSISTANTS}/1", json={"description": "d" * 100})
        long = several.get(ASSISTANTS, params=query)
        monkeypatch.undo()
        as_now = several.get(ASSISTANTS, params=query)
        assert "content-length" not in long.headers
        assert long.content == as_now.content
        assert len(long.json()) == len(short.json())
        assert long.headers["content-type"] == short.headers["content-type"]
        assert long.headers.keys() - {"transfer-encoding"} == short.headers.keys() - {
            "content-length"
        }


def test_a_long_list_that_a_reader_has_is_not_sent_again(
    several: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 1)
    several.patch(f"{ASSISTANTS}/1", json={"description": "Another"})
    tag = several.get(ASSISTANTS).headers["etag"]
    again = several.get(ASSISTANTS, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    several.patch(f"{ASSISTANTS}/1", json={"description": "And another"})
    assert several.get(ASSISTANTS, headers={"if-none-match": tag}).status_code == 200


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_long_list_shows_one_moment_however_slowly_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """The control shows each assistant as it is when its turn comes."""

    async def story() -> tuple[list[int], list[int]]:
        async with beside(tmp_path) as writer:
            for _ in range(3):
                writer.create()
            views = ViewCache(writer.database, is_alone=True)
            short = await views.select(1, Selection(), skip=0, limit=9)
            monkeypatch.setattr(pages, "MOST_BYTES", 1)
            monkeypatch.setattr(long_list, "_PORTION", 1)
            long = await views.select(1, Selection(), skip=0, limit=8)
            assert isinstance(short, Listed)
            assert isinstance(long, LongList)
            if not is_guarded:
                monkeypatch.setattr(long_list, "_body_at", _body_now)
            stream = long_list.stream(writer.database, long)
            read = [await anext(stream)]
            writer.change(2, "Night desk")
            writer.delete(1)
            read += [chunk async for chunk in stream]
            return _versions(short.body), _versions(b"".join(read))

    at_first, as_read = asyncio.run(story())
    assert (as_read == at_first) is is_guarded


def _body_now(_: object, key: AssistantKey, newest: State, __: object) -> bytes:
    return assistant_json.encode(*key, newest)


def _versions(body: bytes) -> list[int]:
    return [assistant["version"] for assistant in msgspec.json.decode(body)]
