"""What the fast path answers is what the route answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.api.middleware import fast_path
from app.api.middleware.fast_path import FastPath
from tests.app.api.mixed_requests import EXISTING, Answered, Asked, ask_all, requests, started
from tests.conftest import ASSISTANTS, make_organizations
from tests.databases import config_of, copy_database

if TYPE_CHECKING:
    from pathlib import Path

    from app.config import Config
    from tests.conftest import Organization

pytestmark = pytest.mark.sqlite  # two copies of one file
_NOW = datetime(2100, 1, 1, tzinfo=UTC)
_COUNT = 1000
_SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))]


def answers(config: Config, asked: list[Asked]) -> list[Answered]:
    """All the answers of a new application."""

    async def all_of_them() -> list[Answered]:
        app = main.create_app(config, lambda: _NOW)
        async with started(app):
            return await ask_all(app, asked)

    return asyncio.run(all_of_them())


def creation(keys: Organization) -> Asked:
    headers = [(b"authorization", f"Bearer {keys.editor}".encode())]
    headers.append((b"content-type", b"application/json"))
    return Asked(
        method="POST", path=ASSISTANTS, query="", headers=headers, pieces=[b'{"name": "First"}']
    )


def both_ways(
    folder: Path, seed: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Asked], list[Answered], list[Answered], list[int]]:
    """The same requests answered by the routes alone, and with the fast path; its statuses."""
    first, second = folder / "first.db", folder / "second.db"
    (keys,) = make_organizations(first, 1)
    copy_database(first, second)
    asked = [creation(keys)] * EXISTING + requests(keys, count, seed)
    fast: list[int] = []

    class Noting(FastPath):
        async def _answer(self, scope: Any) -> Any:
            answer = await super()._answer(scope)
            if answer is not None:
                fast.append(answer[0])
            return answer

    with monkeypatch.context() as patch:
        patch.setattr(main, "FastPath", lambda routes, _: routes)
        routed = answers(config_of(first), asked)
    with monkeypatch.context() as patch:
        patch.setattr(main, "FastPath", Noting)
        answered = answers(config_of(second), asked)
    return asked, routed, answered, fast


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_thousand_requests_are_answered_the_same_with_and_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    asked, routed, answered, fast = both_ways(tmp_path, seed, _COUNT, monkeypatch)
    differing = [each for each in zip(asked, routed, answered, strict=True) if each[1] != each[2]]
    assert differing == []
    assert {200, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422} <= {
        answer.status for answer in routed
    }
    # The control: it did answer many, of both kinds.
    assert (fast.count(200) > 50, fast.count(304) > 1) == (True, True)


def test_control_a_header_that_it_overlooks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path, "_NOT_PLAIN", frozenset())
    _, routed, answered, _ = both_ways(tmp_path, 1, 400, monkeypatch)
    assert answered != routed
