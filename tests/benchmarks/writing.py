"""The write path without HTTP, beside plain ``sqlite3``."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from itertools import count, islice
from statistics import median

from app.services import utc_now
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from tests.benchmarks import places
from tests.benchmarks.load import Row, at_least, ratio
from tests.benchmarks.places import BATCH, Place
from tests.databases import on_sqlite

_ASSISTANTS = 100
_BATCHES = 50
_EVENTS = _BATCHES * BATCH
_EVENT = """INSERT INTO events (organization_id, sequence, assistant_id, version, key_id, user_id,
    type, occurred_at, body, hashes) VALUES (1, ?, ?, ?, NULL, 1, ?, ?, ?, ?)"""
_VIEW = """UPDATE assistants SET version = ?, updated_at = ?, settings = ?
    WHERE organization_id = 1 AND assistant_id = ?"""
_COUNTER = """UPDATE organizations SET sequence = ?, last_occurred_at = ?, frontier = ?
    WHERE organization_id = 1"""


def writing(rounds: int) -> Iterator[Row]:
    """Changes decided and committed in batches, against rows that are only written."""
    if not on_sqlite():  # what it is held against
        return
    ours, plain = [], []
    with places.fresh() as place, places.fresh() as other:
        for one in (place, other):
            places.fill(one, [2] * _ASSISTANTS)
        decided, sequences = _decided(place), count(2 * _ASSISTANTS + 1)
        next(decided)
        for _ in range(rounds):
            ours.append(_EVENTS / next(decided))
            plain.append(_EVENTS / _inserted(other, sequences))
    beside = f"{median(ours):,.0f}/s against {median(plain):,.0f}/s"
    what = "events written / sqlite3.executemany, batches of 64"
    yield at_least(what, ratio(ours, plain), 0.4, beside)


def _decided(place: Place) -> Iterator[float]:
    """As the server's writer does it, round after round: seconds."""
    engine, safe, recalled, numbers = place.engine(), place.vault(), StateCache(), count(1)
    while True:
        began = time.perf_counter()
        for _ in range(_BATCHES):
            with engine.begin() as connection:
                unit = UnitOfWork(connection, safe, utc_now, recalled)
                for number in islice(numbers, BATCH):
                    places.change(unit, number % _ASSISTANTS + 1, number)
                unit.flush()
            unit.committed()
        yield time.perf_counter() - began


def _inserted(place: Place, sequences: Iterator[int]) -> float:
    connection = sqlite3.connect(place.path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    kind, body, hashes = connection.execute(
        "SELECT type, body, hashes FROM events WHERE sequence = 200"
    ).fetchone()
    (settings,) = connection.execute("SELECT settings FROM assistants LIMIT 1").fetchone()
    began = time.perf_counter()
    for _ in range(_BATCHES):
        numbers = [next(sequences) for _ in range(BATCH)]
        events = [(one, one % _ASSISTANTS + 1, one, kind, one, body, hashes) for one in numbers]
        views = [(one, one, settings, one % _ASSISTANTS + 1) for one in numbers]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_EVENT, events)
        connection.executemany(_VIEW, views)
        connection.execute(_COUNTER, (numbers[-1], numbers[-1], bytes(64)))
        connection.execute("COMMIT")
    taken = time.perf_counter() - began
    connection.close()
    return taken
