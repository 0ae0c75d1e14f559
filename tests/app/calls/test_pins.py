"""Calls are resolved while editors change and roll back: each keeps what it was first told."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.calls import receipts
from tests.app import stored
from tests.conftest import ASSISTANTS
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from tests.conftest import Organization, Server

RESOLVE, CALLS = "/api/v1/resolve", "/api/v1/calls"
_RUNTIMES, _EDITORS = 16, 4


def client_of(server: Server, token: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60, verify=NO_TLS)


async def resolve(client: httpx.AsyncClient, call: str, assistant_id: int) -> httpx.Response:
    answer = await client.post(RESOLVE, json={"call_id": call, "assistant_id": assistant_id})
    assert answer.status_code == 200, answer.text
    return answer


def settings_in(answer: httpx.Response) -> bytes:
    _, _, rest = answer.content.partition(b'"settings":')
    return rest.rpartition(b',"links":')[0]


async def edit(client: httpx.AsyncClient, path: str, ended: asyncio.Event) -> None:
    """Change and roll back, until the calls are resolved."""
    for number in itertools.count():
        body = {"tts_limit": number % 90 + 1, "description": f"Edit {number}"}
        assert (await client.patch(path, json=body)).is_success
        if number % 3 == 2:
            assert (await client.post(f"{path}/rollback", json={"to_version": "-1"})).is_success
        if ended.is_set():
            return


async def run(
    server: Server, organization: Organization, assistant_id: int, count: int
) -> dict[str, httpx.Response]:
    """Resolve so many calls while editors work: the first answers by call."""
    path = f"{ASSISTANTS}/{assistant_id}"
    told: dict[str, httpx.Response] = {}
    calls = iter(range(count))
    ended = asyncio.Event()
    async with (
        client_of(server, organization.runtime) as runtime,
        client_of(server, organization.editor) as editor,
    ):

        async def answer_calls() -> None:
            for number in calls:
                told[f"call-{number}"] = await resolve(runtime, f"call-{number}", assistant_id)

        editors = [asyncio.create_task(edit(editor, path, ended)) for _ in range(_EDITORS)]
        await asyncio.gather(*(answer_calls() for _ in range(_RUNTIMES)))
        ended.set()
        await asyncio.gather(*editors)
        await check(runtime, assistant_id, told)
    return told


async def check(
    client: httpx.AsyncClient, assistant_id: int, told: dict[str, httpx.Response]
) -> None:
    """What a call ran, and is told again, is the version of its receipt, byte for byte."""
    path = f"{ASSISTANTS}/{assistant_id}"
    for call, first in told.items():
        ran = await client.get(f"{CALLS}/{call}/settings")
        then = await client.get(path, params={"version": first.json()["version"]})
        again = await resolve(client, call, assistant_id)
        assert settings_in(first) == ran.content == then.content == settings_in(again)
        assert again.json() == first.json() | {"reason": "pinned"}


def test_each_call_keeps_what_it_was_first_told(
    server: Server, organization: Organization, assistant: dict[str, Any]
) -> None:
    told = asyncio.run(run(server, organization, assistant["id"], 100))
    assert len({answer.json()["version"] for answer in told.values()}) > 1
    rows = stored.rows(server.database, organization.id)["receipts"]
    assert {row["call_id"] for row in rows} == set(told)


@pytest.mark.long
def test_each_of_a_thousand_calls_keeps_what_it_was_first_told(
    server: Server, organization: Organization, assistant: dict[str, Any]
) -> None:
    """Run with: pytest -m long tests/app/calls/test_pins.py"""
    told = asyncio.run(run(server, organization, assistant["id"], 1000))
    assert len(told) == 1000


def test_control_without_the_pin_calls_change(
    server: Server,
    organization: Organization,
    assistant: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = receipts.add

    def add_once(unit: Any, organization_id: int, receipt: receipts.Receipt) -> None:
        if is_new(receipt):
            add(unit, organization_id, receipt)

    seen: set[str] = set()

    def is_new(receipt: receipts.Receipt) -> bool:
        is_first = receipt.call_id not in seen
        seen.add(receipt.call_id)
        return is_first

    monkeypatch.setattr(receipts, "find", lambda *_: None)
    monkeypatch.setattr(receipts, "add", add_once)
    with pytest.raises(AssertionError):
        asyncio.run(run(server, organization, assistant["id"], 20))


def test_of_two_questions_at_once_one_is_the_first(
    server: Server, organization: Organization, assistant: dict[str, Any]
) -> None:
    async def ask() -> list[httpx.Response]:
        async with client_of(server, organization.runtime) as client:
            questions = (resolve(client, "c1", assistant["id"]) for _ in range(8))
            return await asyncio.gather(*questions)

    answers = [answer.json() for answer in asyncio.run(ask())]
    assert sorted(answer["reason"] for answer in answers) == ["direct", *["pinned"] * 7]
    assert len({answer["receipt_id"] for answer in answers}) == 1
    assert len(stored.rows(server.database, organization.id)["receipts"]) == 1
