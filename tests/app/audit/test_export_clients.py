"""Exports of slow and disconnected clients do not hold up anything else."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.audit.verify import read_keys, verify
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving_process,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.app.audit.exports import AUDIT, EXPORT, read, read_cut, sequences
from tests.app.audit.wire import Wire
from tests.app.audit.written_logs import Filled, write, write_heavy


def _pages_read(seen: list[stored.Statement], organization_id: int) -> int:
    return sum(
        "events.hashes" in one.text and one.bound.startswith(f"({organization_id}, ")
        for one in seen
    )


def _until_still(seen: list[stored.Statement], organization_id: int) -> int:
    """How many pages were read once nothing has been read for half a second."""
    deadline = time.monotonic() + 20
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < deadline, "the server reads on"
        if (now := _pages_read(seen, organization_id)) != count:
            count, since = now, time.monotonic()
        time.sleep(0.02)
    return count


def test_a_client_that_goes_away_stops_the_servers_reading(filled: Filled) -> None:
    heavy = filled.heavy.id
    with filled.server.client(filled.heavy.admin) as admin:
        with stored.statements() as seen:
            read(admin)
        whole = _pages_read(seen, heavy)
        assert whole > 10  # the control
        with stored.statements() as seen:
            headers = {"accept-encoding": "identity"}
            with admin.stream("GET", EXPORT, headers=headers) as answer:
                next(answer.iter_raw())
                waiting = _until_still(seen, heavy)  # it waits for the client
                assert waiting < whole * 0.7
            assert _until_still(seen, heavy) <= waiting + 2
        # Nothing is left that keeps others out.
        for _ in range(20):
            read_cut(admin, 1000)
        assert read(admin, after=2400, until_sequence=2500).until == 2500


def test_clients_that_stand_still_keep_nobody_out(filled: Filled) -> None:
    other = filled.server.organization()
    stalled = [Wire(filled.server.url, filled.heavy.admin) for _ in range(30)]
    try:
        for wire in stalled:
            wire.ask(EXPORT)
            assert wire.status() == 200
        with (
            filled.server.client(other.admin) as admin,
            filled.server.client(filled.varied.admin) as reader,
        ):
            for number in range(20):
                assert admin.post(ASSISTANTS, json={"name": f"{number}"}).status_code == 201
            assert admin.get(f"{AUDIT}/logs").json()["total"] == 20
            assert sequences("ocsf", read(reader, format="ocsf", until_sequence=500).body)
    finally:
        for wire in stalled:
            wire.close()


def test_exports_beside_writers_verify_each_for_itself(
    server: Server, organization: Organization
) -> None:
    with (
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
        ThreadPoolExecutor(4) as pool,
    ):
        path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'Busy'}).json()['id']}"
        keys = read_keys(admin.get(f"{AUDIT}/key").content)

        def put(number: int) -> int:
            return editor.patch(path, json={"description": f"{number}"}).status_code

        writing = [pool.submit(put, number) for number in range(200)]
        ends = []
        while not all(one.done() for one in writing):
            answer = read(admin)
            lines = answer.body.splitlines(keepends=True)
            ends.append(verify(lines, keys).events)
            assert ends[-1] == answer.until
        assert {one.result() for one in writing} == {200}
        assert len(set(ends)) == len(ends) > 2


def test_a_client_that_stands_still_does_not_hold_a_shutdown(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    write(database, write_heavy(waiting[0].id, 1000))
    with (tmp_path / "stderr").open("w") as stderr:
        with serving_process(database, waiting, stderr=stderr, BACKSTORY_DRAIN_TIME="2s") as server:
            wire = Wire(server.url, waiting[0].admin)
            wire.ask(EXPORT)
            assert wire.status() == 200
        # The process has ended by now, or that would have failed.
        with pytest.raises((ValueError, AssertionError, OSError)):  # no last chunk
            wire.rest()
        wire.close()


def _grow_beside(filled: Filled, wal: Path) -> int:
    """Write 12 MB or so, in small commits; the largest size of the log of writes."""
    largest = 0
    other = filled.server.organization()
    with filled.server.client(other.editor) as editor:
        path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'Busy'}).json()['id']}"
        for number in range(300):
            body = {"custom_settings": {"note": f"{number:06}" * 2000}}
            assert editor.patch(path, json=body).status_code == 200
            largest = max(largest, wal.stat().st_size)
    return largest


@pytest.mark.sqlite
def test_an_export_that_is_read_slowly_does_not_make_the_log_of_writes_grow(
    filled: Filled,
) -> None:
    database = filled.server.database
    wal = database.with_name(database.name + "-wal")
    with filled.server.client(filled.heavy.admin) as admin:
        headers = {"accept-encoding": "identity"}
        with admin.stream("GET", EXPORT, headers=headers) as answer:
            parts = answer.iter_raw()
            got = len(next(parts))
            bounded = _grow_beside(filled, wal)
            got += sum(map(len, parts))
        assert got > 20 * 1024 * 1024
    assert bounded < 8 * 1024 * 1024
    # The control: a reader that stays in one snapshot does make it grow.
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.isolation_level = None
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM organizations").fetchone()
        assert _grow_beside(filled, wal) > 1.5 * bounded


@contextmanager
def _timed(limit: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < limit


def test_others_are_answered_while_exports_run(filled: Filled) -> None:
    other = filled.server.organization()
    with (
        filled.server.client(filled.heavy.admin) as admin,
        filled.server.client(other.editor) as editor,
        ThreadPoolExecutor(2) as pool,
    ):
        running = [pool.submit(read, admin, format=form) for form in ("parquet", "ocsf")]
        count = 0
        while not all(one.done() for one in running):
            with _timed(5):
                assert editor.post(ASSISTANTS, json={"name": f"{count}"}).status_code == 201
            count += 1
        assert [one.result().until for one in running]
        assert count > 5
