"""The caches hold what they weigh, and all together no more than ``BACKSTORY_CACHE_SIZE``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.accounts import api_keys
from app.accounts.authenticator import Authenticator
from app.accounts.principals import Principal, Role
from app.assistants import changes
from app.assistants.view_cache import ViewCache
from app.services import Services, open_services, utc_now
from app.transactions.caller import system
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create
from events.changed import State
from events.policy import Policy
from events.shape import with_defaults
from projections.current import Selection
from tests.conftest import make_organizations
from tests.databases import config_of
from tests.tracing import traced

_FACTOR = 1.5
_HEAD = (1, bytes(32))
_DEFAULTS = msgspec.json.encode(with_defaults({"name": "Front desk"}))
_VALUES: dict[str, Callable[[int], bytes]] = {  # settings, different ones for each number
    "small": lambda number: b'{"name":"Front desk %d"}' % number,
    "usual": lambda number: _DEFAULTS.replace(b"Front desk", b"Desk %d" % number),
    "of a text": lambda number: _of_text(number, 3_000),
    "of a wide text": lambda number: _of_text(number, 3_000, "\u6771"),
    "of objects": lambda number: _of_free_form(b"[%d]" % number, b'{"a":{}}', 300),
    "of members": lambda number: msgspec.json.encode(
        {"custom_settings": {f"{number} {member}": member for member in range(300)}}
    ),
    "large": lambda number: _of_text(number, 60_000),
    "large and nested": lambda number: _of_free_form(b"[%d]" % number, b"[]", 6_000),
    "large and of objects": lambda number: _of_free_form(b"[%d]" % number, b'{"a":{}}', 2_000),
    "large and wide": lambda number: _of_text(number, 15_000, "\u6771"),
}
# Small ones that weigh more than they hold: each element is weighed as if it were a member.
_LIGHTER: dict[str, Callable[[int], bytes]] = {
    "nested": lambda number: _of_free_form(b"[%d]" % number, b"[]", 1_000),
    "of numbers": lambda number: _of_free_form(b"%d" % number, b"0.25", 1_000),
    "of commas": lambda number: _of_text(number, 3_000, ","),
}


def _of_text(number: int, length: int, letter: str = "x") -> bytes:
    return msgspec.json.encode({"name": f"Desk {number}", "description": letter * length})


def _of_free_form(first: bytes, item: bytes, count: int) -> bytes:
    items = b",".join([first, *[item] * count])
    return b'{"name":"Front desk","custom_settings":{"a":[%b]}}' % items


def states(encoded: Callable[[int], bytes]) -> Iterator[tuple[AssistantKey, State]]:
    """States as commits leave them, more of small ones; nothing keeps them."""
    for number in range(min(300, 400_000 // len(encoded(1)))):
        state = State(
            version=number + 1000,
            settings=msgspec.json.decode(encoded(number)),
            user_id=number + 1000,
            created_at=datetime.fromtimestamp(number, UTC),
            updated_at=datetime.fromtimestamp(number, UTC),
        )
        yield AssistantKey(1, number + 1000), state


def is_right(weight: int, held: int) -> bool:
    """Whether a weight is near the bytes that are held."""
    return weight / _FACTOR <= held <= weight * _FACTOR


@pytest.mark.parametrize("name", _VALUES)
def test_states_weigh_what_they_hold(name: str) -> None:
    cache = StateCache()
    with traced() as held:
        cache.committed(1, _HEAD, _HEAD, states(_VALUES[name]), None)
        assert is_right(cache.size, held()), (cache.size, held())


@pytest.mark.parametrize("name", _LIGHTER)
def test_no_states_hold_more_than_they_weigh(name: str) -> None:
    cache = StateCache()
    with traced() as held:
        cache.committed(1, _HEAD, _HEAD, states(_LIGHTER[name]), None)
        assert 0 < held() <= cache.size


def test_the_control_that_keeps_decoded_states_weighs_a_fraction_of_them() -> None:
    """Seven bytes for each of their JSON, as they were once weighed."""
    with traced() as held:
        kept = list(states(_VALUES["large and nested"]))
        weight = sum(len(state.encoded) * 7 + 1024 for _, state in kept)
        assert held() > weight * _FACTOR


def test_a_state_comes_back_as_it_was() -> None:
    cache = StateCache()
    for encoded in _VALUES.values():
        before = list(states(encoded))
        cache.committed(1, _HEAD, _HEAD, before, None)
        for key, state in before:
            cached = cache.state(key, _HEAD)
            assert cached is not None
            assert cached == state
            assert cached.encoded == state.encoded


def test_policies_weigh_what_they_hold() -> None:
    cache = StateCache()
    with traced() as held:
        for number in range(50):
            paths = [f"/custom_settings/{number}/{rest}" for rest in range(100)]
            policy = Policy(admin_paths=paths, secret_paths=[f"{path}/a" for path in paths])
            cache.committed(number, _HEAD, (number, bytes(100)), (), policy)
        del paths, policy
        assert is_right(cache.size, held()), (cache.size, held())


@pytest.mark.parametrize("name", _VALUES)
def test_views_weigh_what_they_hold(name: str) -> None:
    views = ViewCache(None, is_alone=True)  # type: ignore[arg-type]  # it is not read
    with traced() as held:
        for key, state in states(_VALUES[name]):
            views.before_commit([key])
            views.after_commit({key: state})
        del key, state
        assert is_right(views.size, held()), (views.size, held())


def create(**settings: Any) -> Callable[[UnitOfWork], Any]:
    body = {"name": "Front desk"} | settings
    return lambda unit: changes.create(unit, system(1, "tests"), read_create(body))


def running(folder: Path, story: Callable[[Services], Any], **members: Any) -> Any:
    path = folder / "backstory.db"
    make_organizations(path, 1)

    async def run() -> Any:
        async with open_services(config_of(path, **members)) as services:
            return await story(services)

    return asyncio.run(run())


async def read_lists(views: ViewCache, limits: Iterable[int]) -> None:
    for limit in limits:
        await views.select(1, Selection(), skip=0, limit=limit)


def test_lists_weigh_what_they_hold(tmp_path: Path) -> None:
    async def story(services: Services) -> None:
        await services.writer.write(1, create())
        views = services.views
        await read_lists(views, range(1, 10))
        before = views.size
        with traced() as held:
            await read_lists(views, range(10, 110))
            assert is_right(views.size - before, held()), (views.size - before, held())

    running(tmp_path, story)


def add_keys(count: int) -> Callable[[UnitOfWork], list[str]]:
    def add(unit: UnitOfWork) -> list[str]:
        made = (
            api_keys.create(
                unit,
                system(1, "tests"),
                user_id=1,
                name=f"A key with a name {number}",
                role=Role.viewer,
                narrowed={},
            )
            for number in range(count)
        )
        return [token for _, token in made]

    return add


async def know(authenticator: Authenticator, tokens: list[str]) -> None:
    for token in tokens:
        assert isinstance(await authenticator.principal(token), Principal)


def test_keys_weigh_what_they_hold(tmp_path: Path) -> None:
    async def story(services: Services) -> None:
        tokens = await services.writer.write(1, add_keys(150))
        keys = Authenticator(services.database, services.vault, utc_now)
        await know(keys, tokens[:50])
        before = keys.size
        with traced() as held:
            await know(keys, tokens[50:])
            assert is_right(keys.size - before, held()), (keys.size - before, held())

    running(tmp_path, story)


def size_of(services: Services) -> int:
    """What all caches weigh."""
    return services.views.size + services.states.size + services.authenticator.size


@pytest.mark.parametrize("is_guarded", [True, False])
def test_all_caches_together_keep_within_the_budget(tmp_path: Path, *, is_guarded: bool) -> None:
    """Whatever comes. The control has the budget that holds by default."""

    async def story(services: Services) -> int:
        tokens = await services.writer.write(1, add_keys(60))
        for number in range(60):
            await services.writer.write(1, create(description="x" * 100 * number))
        await read_lists(services.views, range(1, 61))
        await know(services.authenticator, tokens)
        return size_of(services)

    size = "256KiB" if is_guarded else "128MiB"
    assert (running(tmp_path, story, cache_size=size) <= 256 * 1024) == is_guarded
