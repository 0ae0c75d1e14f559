"""A view that was read before a change is not cached after it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app.assistants import representation
from app.assistants.view_cache import Listed, ViewCache, listed
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from projections import assistant_json, current
from projections.current import Selection
from tests.app import stored
from tests.app.assistants.view_cache.beside import Slow, beside, kept, versions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_was_read_before_a_change_is_not_cached_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    async def story() -> tuple[int, int]:
        async with beside(tmp_path) as writer:
            writer.create()
            slow = Slow(writer.database, monkeypatch)
            views = ViewCache(writer.database, is_alone=True)
            early = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            if is_guarded:
                views.before_commit([AssistantKey(1, 1)])
            writer.change(1, "Night desk")
            views.after_commit({})
            slow.may_go.set()
            return (await early).version, (await views.view(AssistantKey(1, 1))).version

    assert asyncio.run(story()) == (1, 2 if is_guarded else 1)


def test_who_reads_while_a_change_is_committed_reads_the_database(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=True)
            assert (await views.view(AssistantKey(1, 1))).version == 1
            views.before_commit([AssistantKey(1, 1)])
            assert (await views.view(AssistantKey(1, 1))).version == 1
            writer.change(1, "Night desk")
            assert (await views.view(AssistantKey(1, 1))).version == 2  # others may have seen it
            views.after_commit({})
            assert not kept(views, 1)
            assert (await views.view(AssistantKey(1, 1))).version == 2
            assert kept(views, 1)

    asyncio.run(story())


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_was_listed_before_a_change_is_not_cached_after_it(
    tmp_path: Path, *, is_guarded: bool
) -> None:
    async def story() -> tuple[list[int], int, list[int]]:
        async with beside(tmp_path) as writer:
            for _ in range(3):
                writer.create()
            views = ViewCache(writer.database, is_alone=True)
            reading = writer.database.snapshot

            async def slow(work: Any, *args: Any, **named: Any) -> Any:
                found = await reading(work, *args, **named)
                if is_guarded:
                    views.before_commit([AssistantKey(1, 2)])
                writer.change(2, "Night desk")
                views.after_commit({})
                return found

            monkeypatch = pytest.MonkeyPatch()
            monkeypatch.setattr(writer.database, "snapshot", slow)
            monkeypatch.setattr(
                views, "after_commit", views.after_commit if is_guarded else lambda _: None
            )
            before = versions(await views.select(1, Selection(), skip=0, limit=2))
            monkeypatch.undo()
            after = versions(await views.select(1, Selection(), skip=0, limit=2))
            return before, (await views.view(AssistantKey(1, 2))).version, after

    now = 2 if is_guarded else 1
    assert asyncio.run(story()) == ([1, 1], now, [1, now])


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_list_that_is_read_while_a_commit_runs_is_not_cached(
    tmp_path: Path, *, is_guarded: bool
) -> None:
    async def story() -> list[int]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=True)
            if is_guarded:
                views.before_commit([AssistantKey(1, 1)])
            assert versions(await views.select(1, Selection(), skip=0, limit=2)) == [1]
            writer.change(1, "Night desk")
            views.after_commit({})
            return versions(await views.select(1, Selection(), skip=0, limit=2))

    assert asyncio.run(story()) == [2 if is_guarded else 1]


def test_a_list_reads_only_what_is_not_cached(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            for _ in range(3):
                writer.create()
            views = ViewCache(writer.database, is_alone=True)
            first = await views.select(1, Selection(), skip=0, limit=9)
            assert isinstance(first, Listed)
            assert versions(first) == [1, 1, 1]
            shown = [await views.view(AssistantKey(1, number)) for number in (3, 2, 1)]
            bodies = [view.body for view in shown]
            again = listed(1, bodies, Selection(), 0, 9)
            assert (first.body, first.tag) == (again.body, again.tag)
            assert first.body == b"[" + b",".join(bodies) + b"]"
            assert await views.select(1, Selection(), skip=0, limit=9) is first
            views.before_commit([AssistantKey(1, 2)])
            writer.change(2, "Night desk")
            views.after_commit({})
            second = await views.select(1, Selection(), skip=0, limit=9)
            assert versions(second) == [1, 2, 1]
            assert [
                await views.view(AssistantKey(1, number)) is one
                for number, one in zip((3, 2, 1), shown, strict=True)
            ] == [True, False, True]
            assert versions(await views.select(1, Selection(), skip=1, limit=1)) == [2]

    asyncio.run(story())


def test_a_read_that_fails_is_not_cached(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            views = ViewCache(writer.database, is_alone=True)
            for _ in range(2):
                with pytest.raises(AssistantNotFound):
                    await views.view(AssistantKey(1, 1))
            writer.create()
            assert (await views.view(AssistantKey(1, 1))).version == 1

    asyncio.run(story())


def test_memory_is_bounded_and_what_was_read_first_goes_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            for _ in range(6):
                writer.create()
            writer.create("x" * 30_000)
            sizes = ViewCache(writer.database, is_alone=True)
            await sizes.view(AssistantKey(1, 1))
            room = sizes.size * 4 + 100
            views = ViewCache(writer.database, is_alone=True, most_bytes=room)
            for number in (1, 2, 3, 4, 1, 5, 6):
                await views.view(AssistantKey(1, number))
                assert views.size <= room
            known = [number for number in range(1, 8) if kept(views, number)]
            assert known == [1, 4, 5, 6]
            await views.view(AssistantKey(1, 7))  # larger than all of it: it is not kept
            assert not kept(views, 7)
            assert kept(views, 6)

    asyncio.run(story())


@pytest.mark.parametrize("size", [30_000, 90_000])
def test_what_is_shown_in_its_stored_bytes_is_what_is_shown_of_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A large row is neither read nor encoded on the event loop, and secrets are masked."""
    show, encoded_in = assistant_json.show, []

    def noting(*args: Any) -> Any:
        shown = show(*args)
        encoded_in.extend([] if shown is None else [threading.current_thread()])
        return shown

    monkeypatch.setattr(assistant_json, "show", noting)
    secret: dict[str, Any] = {"llm_provider_config": {"api_key": "sk-hidden"}}
    large: dict[str, Any] = {"llm_settings": {"system_prompt": '\u00e9"$secret": ' + "x" * size}}

    async def story() -> None:
        async with beside(tmp_path) as writer:
            for settings in ({}, large, secret, large | secret):
                writer.create(**settings)
            views = ViewCache(writer.database, is_alone=True)
            for number in range(1, 5):
                key = AssistantKey(1, number)
                with stored.statements() as statements:
                    view = await views.view(key)
                is_large = size > 64 * 1024 and number in (2, 4)
                assert len(statements) == (2 if is_large else 1)
                assert (encoded_in[-1] is threading.current_thread()) != is_large
                assert len(encoded_in) == number
                state = await writer.database.read(current.load, *key)
                assert state is not None
                shown = representation.of(*key, state)
                assert (view.body, view.tag) == (shown.body, shown.tag)
                assert view.stamp == current.stamp_of(state)
                assert b"sk-hidden" not in view.body

    asyncio.run(story())
