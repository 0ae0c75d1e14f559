"""The same part of a log is exported as the same bytes, which hold every event once."""

from __future__ import annotations

import csv
import io
import json
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest

from app.audit.verify import Failed, read_keys, read_note, verify
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.app.audit.exports import AUDIT, FORMATS, KEYS, events_of, read, sequences
from tests.app.audit.written_logs import Filled


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_range_gives_the_same_bytes_whatever_is_written_meanwhile(
    server: Server, organization: Organization, form: str
) -> None:
    with server.client(organization.admin) as admin, server.client(organization.editor) as editor:
        body = {"name": "Desk", "api_keys": {"openai_api_key": "sk-1"}}
        path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
        editor.patch(path, json={"api_keys": {"openai_api_key": "sk-2"}})
        first = read(admin, format=form)
        assert first.until == 2
        editor.patch(path, json={"name": "Other"})
        for key in admin.get(KEYS).json():
            admin.put(f"{KEYS}/{key['id']}", json={"name": f"Renamed {key['id']}"})
        admin.delete(f"{path}/secrets")
        editor.delete(path)
        admin.post("/api/v1/vault/rotate", json={"data_keys": True})
        again = read(admin, format=form, until_sequence=2)
        assert again.body == first.body
        # The control: a wider range differs.
        assert read(admin, format=form, until_sequence=3).body != first.body


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_holds_every_event_once_in_order(
    varied: httpx.Client, writer: Callable[[], None], form: str
) -> None:
    answer = read(varied, format=form)
    writer()
    assert sequences(form, answer.body) == list(range(1, answer.until + 1))


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_of_an_empty_log_is_whole_and_not_recorded(
    server: Server, organization: Organization, form: str
) -> None:
    with server.client(organization.admin) as admin:
        answer = read(admin, format=form)
        assert answer.until == 0
        assert sequences(form, answer.body) == []
        assert stored.events(server.database, organization.id) == []


def test_each_ndjson_line_holds_an_events_stored_bytes_and_their_leaf(
    filled: Filled, varied: httpx.Client
) -> None:
    bodies = [
        row["body"] for row in stored.rows(filled.server.database, filled.varied.id)["events"]
    ]
    *lines, last = read(varied).body.splitlines(keepends=True)
    assert len(lines) >= 3000
    for index, (line, body) in enumerate(zip(lines, bodies, strict=False)):
        leaf = sha256(b"\x00" + body).hexdigest().encode()
        assert line == b'{"leaf_index":%d,"leaf_hash":"%b","event":%b}\n' % (index, leaf, body)
    closing_line = json.loads(last)
    assert set(closing_line) == {"last_sequence", "checkpoint"}
    assert closing_line["last_sequence"] == len(lines)


def test_an_export_verifies_offline_and_an_edited_one_does_not(
    varied: httpx.Client, writer: Callable[[], None]
) -> None:
    earlier = read_note(varied.get(f"{AUDIT}/checkpoint").text)
    writer()
    keys = read_keys(varied.get(f"{AUDIT}/key").content)
    body = read(varied).body
    lines = body.splitlines(keepends=True)
    verified = verify(lines, keys, earlier)
    assert verified.events == len(lines) - 1
    assert len(verified.signed_by) == 1
    for edited in (
        body.replace(b"request-1", b"request-2", 1).splitlines(keepends=True),
        [*lines[:1000], *lines[1001:]],
        [*lines[:1000], lines[1001], lines[1000], *lines[1002:]],
        lines[:-1],
        lines[:-2] + lines[-1:],
    ):
        with pytest.raises(Failed):
            verify(edited, keys, earlier)


def test_parts_of_an_export_verify_together(varied: httpx.Client) -> None:
    keys = read_keys(varied.get(f"{AUDIT}/key").content)
    parts = []
    for after, until in pairwise((0, 1, 100, 101, 2500, 3000)):
        parts += read(varied, after=after, until_sequence=until).body.splitlines(keepends=True)
    assert verify(parts, keys).events == 3000


def test_csv_cells_hold_what_the_events_hold(varied: httpx.Client) -> None:
    header, *rows = csv.reader(
        io.StringIO(read(varied, format="csv", until_sequence=3000).body.decode(), newline=""),
        strict=True,
    )
    events = events_of(varied, until_sequence=3000)
    assert header[0] == "sequence"
    table = [dict(zip(header, row, strict=True)) for row in rows]
    expected = [
        (str(event["sequence"]), path)
        for event in events
        for path in (event.get("changes") or {"": None})
    ]
    assert [(row["sequence"], row["path"]) for row in table] == expected
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r\n")]
