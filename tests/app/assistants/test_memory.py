"""A read takes a few times the memory of the largest event, however many there are."""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

import pytest

from app import pages
from app.assistants import comparing, current, history
from app.assistants.references import read_reference
from app.audit.search import Search, log_page
from app.services import utc_now
from app.storage.engines import engines
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events import store
from events.assistant_key import AssistantKey
from events.changed import Cause
from events.commands import ChangeSettings, CreateAssistant, RestoreSettings
from events.tables import events
from projections import keyframes
from projections.current import Selection
from projections.history import Filter
from tests.conftest import make_organizations
from tests.databases import config_of, url_of, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

    Read = Callable[[sa.Connection], object]

KEY = AssistantKey(1, 1)
SIZE = 200_000  # bytes of a prompt; an event holds two
COUNT = 40
BOUND = 12 * SIZE
READS: dict[str, Read] = {
    "versions": lambda c: history.versions(c, KEY, None, 200),
    "history": lambda c: history.entries(c, KEY, Filter(), 200),
    "search": lambda c: history.entries(c, KEY, Filter(paths=("/name",)), 200),
    "changes of a path": lambda c: comparing.changes_of_path(
        c, KEY, "/llm_settings", read_reference("latest", ("query", "version")), None, 200
    ),
    "blame": lambda c: comparing.blame(c, KEY, read_reference("30", ("query", "version")), 0),
    "diff": lambda c: comparing.diff(
        c, KEY, *(read_reference(text, ("query", "to")) for text in ("1", "40"))
    ),
    "a version": lambda c: history.version(c, KEY, read_reference("39", ("path", "version"))),
    "activity": lambda c: current.activity(
        c, 1, Selection(), "changed", utc_now().date(), days=9, skip=0, limit=200
    ),
    "log": lambda c: log_page(c, 1, Search(), limit=500, skip=0),
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """One large assistant with many rollbacks, and as many small ones with a large change."""
    path = tmp_path_factory.mktemp("memory") / "backstory.db"
    make_organizations(path, 1)
    texts = [{"llm_settings": {"system_prompt": letter * SIZE}} for letter in "ab"]
    engine = writing_engine(path)
    with engine.begin() as writing:
        unit = UnitOfWork(writing, open_vault(config_of(path)), utc_now)
        handle = partial(unit.handle, system(1, "tests"))
        handle(None, CreateAssistant(patch={"name": "Large"} | texts[0]))
        first = unit.state(KEY).settings
        handle(1, ChangeSettings(patch=texts[1], cause=Cause(type="patch")))
        second = unit.state(KEY).settings
        for number in range(COUNT):
            settings, version = ((first, 1), (second, 2))[number % 2]
            handle(1, RestoreSettings(settings=settings, to_version=version))
            handle(None, CreateAssistant(patch={"name": "Another"} | texts[0]))
        unit.flush()
    engine.dispose()
    reading = engines(url_of(path)).snapshots()
    with reading.connect() as reader:
        yield reader
    reading.dispose()


def peak(connection: sa.Connection, read: Read) -> int:
    """The most bytes that a read allocated at once, after one that filled the caches of code."""
    read(connection)
    tracemalloc.start()
    try:
        read(connection)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", READS)
def test_a_read_holds_few_large_values_at_once(
    connection: sa.Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", SIZE)
    assert peak(connection, READS[name]) < BOUND


@pytest.mark.parametrize("name", ["versions", "search", "changes of a path", "blame", "diff"])
def test_with_large_events_among_the_others_it_holds_them_all(
    connection: sa.Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the law above."""
    monkeypatch.setattr(pages, "MOST_BYTES", SIZE)
    monkeypatch.setattr(store, "_STORED", (events.c.type, events.c.body, events.c.sequence))
    assert peak(connection, READS[name]) > BOUND


def test_without_a_bound_of_bytes_a_page_holds_all_its_rows(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what an answer holds."""
    monkeypatch.setattr(pages, "MOST_BYTES", COUNT * SIZE)
    assert peak(connection, READS["history"]) > BOUND


def test_a_state_is_folded_from_one_large_event_at_a_time(connection: sa.Connection) -> None:
    assert peak(connection, lambda c: keyframes.state_at(c, *KEY, COUNT)) < BOUND
