"""An export that was cut and resumed is the same file."""

from __future__ import annotations

import random
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.conftest import (
    Organization,
    Server,
)
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
from tests.app.audit.exports import events_of, last_sequence, read, read_cut
from tests.app.audit.written_logs import Filled, writing


def whole_lines(part: bytes) -> bytes:
    return part[: part.rfind(b"\n") + 1]


def whole_events(part: bytes) -> bytes:
    """CSV up to the last event that another one follows: of the last, a row may be missing.

    A line feed in quotes ends no row.
    """
    size, start, last, ends = 0, 0, b"", 0
    for found in re.finditer(rb"\r\n", part):
        if part.count(b'"', start, found.start()) % 2:
            continue
        sequence = part[start : found.start()].partition(b",")[0]
        if sequence != last:
            ends = start
        last, start = sequence, found.end()
        size = ends
    return part[:size]


def read_in_parts(
    client: httpx.Client, seed: int, cuts: int, size: int, between: Callable[[], None], **query: Any
) -> tuple[bytes, int, int]:
    """An export by a client that is cut off so many times: its bytes, its end, and its places."""
    form = query["format"]
    choose = random.Random(seed)  # fixed, so that a failure comes again
    whole = whole_events if form == "csv" else whole_lines
    kept, places = b"", set()
    bound: dict[str, Any] = {}
    for _ in range(cuts):
        after = last_sequence(form, kept[-100_000:])
        if not after:
            kept = b""  # the header comes again
        places.add(after)
        part = read_cut(client, choose.randint(0, size // 50), after=after, **bound, **query)
        bound = {"until_sequence": part.until}
        kept += whole(part.body)
        if choose.random() < 0.1:
            between()
    after = last_sequence(form, kept)
    if form == "ndjson" and kept.rpartition(b"\n{")[2].startswith(b'"last_sequence"'):
        return kept, part.until, len(places)
    kept = kept if after else b""
    return kept + read(client, after=after, **bound, **query).body, part.until, len(places)


@contextmanager
def fragile(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    """An admin's client whose system takes little at once, so that a server waits for it."""
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)]
    headers = {"authorization": f"Bearer {organization.admin}"}
    transport = httpx.HTTPTransport(socket_options=options, verify=NO_TLS)
    with httpx.Client(
        base_url=server.url, headers=headers, transport=transport, timeout=30
    ) as client:
        yield client


def places_of_cuts(server: Server, log: Organization, seed: int, cuts: int, **query: Any) -> int:
    """At how many an export was cut and resumed, to the same bytes, while somebody writes."""
    with (
        server.client(log.admin) as admin,
        fragile(server, log) as cut_off,
        writing(server, log) as add,
    ):
        size = len(read(admin, **query).body)
        joined, until, places = read_in_parts(cut_off, seed, cuts, size, add, **query)
        assert joined == read(admin, until_sequence=until, **query).body
    return places


@pytest.mark.parametrize(
    ("form", "cuts"),
    [
        ("ndjson", 100),
        ("cloudevents", 25),
        ("ocsf", 25),
        ("csv", 25),
        pytest.param("cloudevents", 100, marks=pytest.mark.long),
        pytest.param("ocsf", 100, marks=pytest.mark.long),
        pytest.param("csv", 100, marks=pytest.mark.long),
    ],
)
def test_an_export_that_is_cut_many_times_and_resumed_is_the_same_file(
    filled: Filled, form: str, cuts: int
) -> None:
    # A creation has many rows: more than a cut of the shorter log's table holds.
    log = filled.varied if form == "csv" else filled.brief
    # It was cut all over the file.
    assert places_of_cuts(filled.server, log, len(form), cuts, format=form) > 0.6 * cuts


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_filtered_export_that_is_cut_and_resumed_is_the_same_file(
    filled: Filled, form: str
) -> None:
    query = {"format": form, "actor": "EDITOR key", "event_type": "assistant_settings_changed"}
    assert places_of_cuts(filled.server, filled.brief, 5, 40, **query) > 16


def test_without_its_bound_a_resumed_export_is_another_file(
    varied: httpx.Client, writer: Callable[[], None]
) -> None:
    """The control of the tests above: until_sequence is what holds the end."""
    whole = read(varied)
    writer()
    *lines, _ = whole.body.splitlines(keepends=True)
    joined = b"".join(lines[:2000]) + read(varied, after=2000).body
    assert joined != whole.body
    bounded = read(varied, after=2000, until_sequence=whole.until).body
    assert b"".join(lines[:2000]) + bounded == whole.body


def test_a_table_that_goes_on_has_no_second_header(varied: httpx.Client) -> None:
    whole = read(varied, format="csv", until_sequence=300).body
    parts = [
        read(varied, format="csv", after=after, until_sequence=until).body
        for after, until in ((0, 120), (120, 121), (121, 300))
    ]
    assert b"".join(parts) == whole


def test_a_table_that_starts_at_a_moment_has_its_header(varied: httpx.Client) -> None:
    since = events_of(varied, until_sequence=50)[-1]["occurred_at"]
    body = read(varied, format="csv", since=since, until_sequence=60).body
    assert body.startswith(b"sequence,time,")
