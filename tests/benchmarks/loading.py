"""Many events at once, through the codec and the tree that a server writes them with.

The write path makes the first assistant. The others have its events, with ids, moments and numbers
of their own; nobody decides on them. The views are folded from the log, and all of it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

import sqlalchemy as sa
from msgspec import structs

from app.cli import proving
from app.storage.engines import engines
from events import log_head, store
from events.changed import AssistantCreated, AssistantSettingsChanged, Event
from events.log_head import LogHead
from events.pointers import Change
from projections import check, rebuild
from tests.benchmarks import places
from tests.benchmarks.places import Place
from tests.databases import on_sqlite

_BATCH = 10_000  # events
_CACHE = "PRAGMA cache_size = -400000"  # KB: each event goes to another place of the indexes


def load(place: Place, lengths: Sequence[int]) -> None:
    """Give a new place an assistant of each length, at least 2, with their events mixed."""
    places.fill(place, [2])
    engine = place.engine()
    with engine.begin() as connection:
        if on_sqlite():
            connection.exec_driver_sql(_CACHE)
        head = log_head.head_of(connection, 1)
        created, changed = store.read_stream(connection, 1, 1)
    assert isinstance(created, AssistantCreated)
    assert isinstance(changed, AssistantSettingsChanged)
    events = _events(created, changed, lengths, head)
    while batch := list(islice(events, _BATCH)):
        with engine.begin() as connection:
            store.append(connection, head, batch)
            head.sequence, head.last_occurred_at = batch[-1].sequence, batch[-1].occurred_at
            head.last_assistant_id = len(lengths)
            log_head.save_head(connection, head)
    with engine.begin() as connection:
        rebuild.rebuild(connection, nothing)
    engine.dispose()
    with engines(sa.make_url(place.url)).snapshots().connect() as connection:
        prove(connection, place.url)


def _events(
    created: AssistantCreated,
    changed: AssistantSettingsChanged,
    lengths: Sequence[int],
    head: LogHead,
) -> Iterator[Event]:
    """Each assistant's first event, then each one's second, and so on, in the order of the log."""
    ((path, first),) = changed.changes.items()
    sequence, moment = head.sequence, head.last_occurred_at
    for turn in range(max(lengths)):
        change = first if turn < 2 else Change(before=turn - 1, after=turn)  # there was none before
        for assistant_id, length in enumerate(lengths, 1):
            if turn >= length or (assistant_id == 1 and turn < 2):  # it has two
                continue
            sequence += 1
            moment += timedelta(seconds=1)
            place = {"sequence": sequence, "assistant_id": assistant_id, "occurred_at": moment}
            if turn:
                changes = {path: change}
                yield structs.replace(changed, version=turn + 1, changes=changes, **place)
            else:
                yield structs.replace(created, **place)


def prove(connection: sa.Connection, url: str) -> None:
    """As ``backstory check``: raises unless the views equal the log, and the log its hashes."""
    total = log_head.head_of(connection, 1).sequence
    with proving.beside(sa.make_url(url), total) as unproven:
        if list(check.differences(connection, nothing)):
            raise RuntimeError("the views differ from the log")
        if any(unproven(connection, nothing).values()):
            raise RuntimeError("the log is not what was hashed")


def nothing(_: int) -> None:
    """Nobody waits for progress."""
