"""Where other processes write, a cached view is compared with the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from app.accounts.principals import Seen
from app.assistants.view_cache import Listed, View, ViewCache
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from projections.current import Selection
from tests.app import stored
from tests.app.assistants.view_cache.beside import Slow, beside, versions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_alone", [False, True])
def test_where_others_write_each_read_looks_at_the_version(
    tmp_path: Path, *, is_alone: bool
) -> None:
    async def story() -> tuple[int, bool, bool]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=is_alone)
            first = await views.view(AssistantKey(1, 1))
            is_same = await views.view(AssistantKey(1, 1)) is first
            writer.change(1, "Night desk")
            version = (await views.view(AssistantKey(1, 1))).version
            writer.delete(1)
            try:
                await views.view(AssistantKey(1, 1))
            except AssistantNotFound:
                return version, is_same, True
            return version, is_same, False

    # The control is who thinks itself alone, and is not.
    assert asyncio.run(story()) == ((1, True, False) if is_alone else (2, True, True))


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_version_of_another_history_is_not_the_one_that_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """The database is put back to an older copy, and changed as often as the one before."""

    async def story() -> tuple[list[str], list[str]]:
        async with beside(tmp_path) as writer:
            writer.create()
            older = writer.copied(tmp_path / "older.db")
            views = ViewCache(writer.database, is_alone=False)
            for one, name in ((writer, "Lost"), (older, "Kept")):
                one.change(1, name)
            before = await names(views)
            monkeypatch.setattr(views, "_database", older.database)
            after = await names(views)
            older.close()
            await older.database.close()
            return before, after

    if not is_guarded:
        monkeypatch.setattr(View, "has", lambda self, stamp: self.version == stamp[0])
    after = "Kept" if is_guarded else "Lost"
    assert asyncio.run(story()) == (["Lost", "Lost"], [after, after])


async def names(views: ViewCache) -> list[str]:
    """What the assistant is called where it is read alone, and in the list."""
    alone = msgspec.json.decode((await views.view(AssistantKey(1, 1))).body)
    one = await views.select(1, Selection(), skip=0, limit=2)
    assert isinstance(one, Listed)
    (of_list,) = msgspec.json.decode(one.body)
    return [alone["name"], of_list["name"]]


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_may_be_stale_is_never_older_than_what_the_same_process_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """One read begins before the commit, and one while it runs; both end after it."""

    async def story() -> tuple[list[int], int]:
        async with beside(tmp_path) as writer:
            writer.create()
            slow = Slow(writer.database, monkeypatch)
            views = ViewCache(writer.database, is_alone=False, staleness=timedelta(hours=1))
            early = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            slow.has_read.clear()
            views.before_commit([AssistantKey(1, 1)])
            meanwhile = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            writer.change(1, "Night desk")
            views.after_commit({})
            slow.may_go.set()
            shown = [(await one).version for one in (early, meanwhile)]
            return shown, (await views.view(AssistantKey(1, 1))).version

    if not is_guarded:
        for name in ("before_commit", "after_commit"):
            monkeypatch.setattr(ViewCache, name, lambda *_: None)
    assert asyncio.run(story()) == ([1, 1], 2 if is_guarded else 1)


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_stamp_that_was_read_with_the_key_is_compared_and_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    async def story() -> list[int]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=False)
            key = AssistantKey(1, 1)
            old = seen_with(await views.view(key))
            with stored.statements() as statements:
                assert (await views.view(key, old)).version == 1
            assert statements == []
            with stored.statements() as statements:  # the control: without it, one is read
                assert (await views.view(key, seen_with())).version == 1
            assert len(statements) == 1
            writer.change(1, "Night desk")
            new = seen_with(await ViewCache(writer.database, is_alone=False).view(key))
            return [(await views.view(key, one)).version for one in (new, new)]

    if not is_guarded:
        monkeypatch.setattr(View, "has", lambda *_: True)
    assert asyncio.run(story()) == ([2, 2] if is_guarded else [1, 1])


def seen_with(view: View | None = None) -> Seen:
    """What is read with a key while the database holds a view; nothing of it without one."""
    return Seen(read_at=0, head=(0, b""), stamps={1: view.stamp} if view else {})


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_list_of_an_unchanged_organization_needs_no_query_but_for_the_head_of_its_log(
    tmp_path: Path, *, is_alone: bool
) -> None:
    async def story() -> tuple[list[int], list[int]]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=is_alone)
            first = await views.select(1, Selection(), skip=0, limit=9)
            assert isinstance(first, Listed)
            with stored.statements() as statements:
                assert await views.select(1, Selection(), skip=0, limit=9) is first
            assert [one.table for one in statements] == ([] if is_alone else ["organizations"])
            seen = Seen(read_at=0, head=first.head, stamps={})  # type: ignore[arg-type]
            with stored.statements() as statements:
                assert await views.select(1, Selection(), skip=0, limit=9, seen=seen) is first
            assert statements == []
            writer.change(1, "Night desk")
            changed = await views.select(1, Selection(), skip=0, limit=9)
            return versions(first), versions(changed)

    # The control is who thinks itself alone, and is not.
    assert asyncio.run(story()) == ([1], [1 if is_alone else 2])
