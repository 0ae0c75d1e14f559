"""Exports of the audit log: what is in them, cut and resumed, beside writers, over the wire."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
import re
import socket
import sqlite3
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
import zstandard
from msgspec import Struct
from pyarrow import parquet

from app.api.streaming import compressed
from app.audit.verify import Failed, read_keys, read_note, verify
from app.services import utc_now
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.commands import ChangeSettings, CreateAssistant
from events.upcasters import tag
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
)
from tests.databases import config_of, copy_database, execute, hold, unguarded, writing_engine
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

AUDIT = "/api/v1/audit"
EXPORT = f"{AUDIT}/export"
KEYS = "/api/v1/users/me/api-keys"
LINES = ("ndjson", "cloudevents", "ocsf")
FORMATS = (*LINES, "csv", "json", "parquet")
ODD = (
    "=1+1", "line\r\nfeed", 'say "so"', "a,b;c", "\u2028", "😀 é", "'=x", "\t", "-1", "x\n2,y",
    "\r", '","', "plain",
)  # fmt: skip
EDITOR = Actor(type="api_key", id=2, name="editor key", user_id=2)
ADMIN = Actor(type="api_key", id=3, name="admin key", user_id=3)
SOMEBODY = Actor(type="user", id=2, name="Ärger", user_id=2)


# -- logs that were written before a server starts


class Filled(Struct, frozen=True, kw_only=True):
    """A server with a log of many small events, a shorter one, one of large events, empty ones."""

    server: Server
    varied: Organization
    brief: Organization
    heavy: Organization


def write(database: Path, *works: Callable[[UnitOfWork], None]) -> None:
    """Work on a database that no server holds, each in a transaction."""
    config = config_of(database)
    with hold(database):
        safe = open_vault(config)
        engine = writing_engine(database)
        for work in works:
            with engine.begin() as connection:
                unit = UnitOfWork(connection, safe, utc_now)
                work(unit)
                unit.flush()
        engine.dispose()


def create(unit: UnitOfWork, caller: Caller, **settings: Any) -> int:
    patch = read_create({"name": "Desk"} | settings).tree
    return unit.handle(caller, None, CreateAssistant(patch=patch))[0]


def change(
    unit: UnitOfWork, caller: Caller, assistant_id: int, reason: str | None = None, **settings: Any
) -> None:
    command = ChangeSettings(patch=read_patch(settings).tree, cause=Cause(type="patch"))
    unit.handle(caller, assistant_id, command, reason)


def write_varied(organization_id: int, count: int) -> Callable[[UnitOfWork], None]:
    choose = random.Random(11)  # fixed, so that a failure comes again

    def work(unit: UnitOfWork) -> None:
        callers = [
            Caller(organization_id=organization_id, actor=actor, request_id=f"request-{number}")
            for number, actor in enumerate((EDITOR, ADMIN, SOMEBODY))
        ]
        # The last one is written to by nobody.
        assistants = [
            create(unit, callers[number % 3], description=ODD[number]) for number in range(6)
        ]
        for number in range(count - 6):
            text = f"{choose.choice(ODD)} {number} {'lorem ' * choose.randint(0, 60)}"
            settings: list[dict[str, Any]] = [
                {"description": text},
                {"llm_settings": {"temperature": number % 20 / 10, "max_tokens": number + 1}},
                {"custom_settings": {f"{choose.choice(ODD)}": text, "n": number}},
                {"api_keys": {"openai_api_key": f"sk-{number}"}},
            ]
            change(
                unit,
                choose.choice(callers),
                choose.choice(assistants[:5]),
                choose.choice((None, *ODD)),
                **settings[number % 4] | {"max_idle_messages": number % 7},
            )

    return work


def write_heavy(organization_id: int, count: int) -> Callable[[UnitOfWork], None]:
    caller = Caller(organization_id=organization_id, actor=EDITOR)

    def work(unit: UnitOfWork) -> None:
        assistant = create(unit, caller)
        for number in range(count):
            change(unit, caller, assistant, custom_settings={"note": f"{number:06}" * 1000})

    return work


class Written(Struct, frozen=True, kw_only=True):
    """A folder with a database that no server holds, made once, to be copied."""

    folder: Path
    waiting: list[Organization]
    varied: Organization
    brief: Organization
    heavy: Organization

    def copy(self, folder: Path) -> Path:
        return copy_database(self.folder / "backstory.db", folder / "backstory.db")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("written")
    database = folder / "backstory.db"
    *waiting, brief, heavy, varied = make_organizations(database, 60)
    write(
        database,
        write_varied(varied.id, 3000),
        write_varied(brief.id, 1200),
        write_heavy(heavy.id, 2500),
    )
    return Written(folder=folder, waiting=waiting, varied=varied, brief=brief, heavy=heavy)


@pytest.fixture(scope="module")
def filled(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    database = written.copy(tmp_path_factory.mktemp("filled"))
    with serving(database, [*written.waiting]) as server:
        yield Filled(server=server, varied=written.varied, brief=written.brief, heavy=written.heavy)


@pytest.fixture(scope="module")
def varied(filled: Filled) -> Iterator[httpx.Client]:
    """An admin's client of the log of many small events."""
    with filled.server.client(filled.varied.admin) as client:
        yield client


@contextmanager
def writing(server: Server, organization: Organization) -> Iterator[Callable[[], None]]:
    """What adds an event to a log."""
    numbers = iter(range(10**9))
    with server.client(organization.editor) as client:

        def add() -> None:
            body = {"description": f"Meanwhile {next(numbers)}"}
            assert client.patch(f"{ASSISTANTS}/1", json=body).status_code == 200

        yield add


@pytest.fixture(scope="module")
def writer(filled: Filled) -> Iterator[Callable[[], None]]:
    """What adds an event to the log of many small ones."""
    with writing(filled.server, filled.varied) as add:
        yield add


@pytest.fixture
def organization(filled: Filled) -> Organization:
    return filled.server.organization()


@pytest.fixture
def server(filled: Filled) -> Server:
    return filled.server


# -- reading


class Answer(Struct, frozen=True, kw_only=True):
    headers: httpx.Headers
    body: bytes

    @property
    def until(self) -> int:
        return int(self.headers["x-until-sequence"])


def read(client: httpx.Client, coding: str = "identity", **query: Any) -> Answer:
    """An export as it comes over the wire."""
    headers = {"accept-encoding": coding}
    with client.stream("GET", EXPORT, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        return Answer(headers=answer.headers, body=b"".join(answer.iter_raw()))


def read_cut(client: httpx.Client, size: int, **query: Any) -> Answer:
    """An export whose first bytes are read; then the connection is closed."""
    headers = {"accept-encoding": "identity"}
    got = b""
    with client.stream("GET", EXPORT, params=query, headers=headers) as answer:
        assert answer.status_code == 200
        parts = answer.iter_raw()
        while len(got) < size and (part := next(parts, b"")):
            got += part
        return Answer(headers=answer.headers, body=got[:size])


def sequences(form: str, body: bytes) -> list[int]:
    """Of the events that an export holds, each once."""
    match form:
        case "ndjson":
            *lines, _ = body.splitlines()
            return [json.loads(line)["leaf_index"] + 1 for line in lines]
        case "cloudevents":
            return [int(event["sequence"]) for line in lines_of(body) for event in line]
        case "ocsf":
            return [line["metadata"]["sequence"] for line in lines_of(body)]
        case "csv":
            _, *rows = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
            return list(dict.fromkeys(int(row[0]) for row in rows))
        case "json":
            return [event["sequence"] for event in json.loads(body)["events"]]
        case _:
            table = parquet.read_table(io.BytesIO(body))
            found: list[int] = table.column("sequence").to_pylist()
            return found


def lines_of(body: bytes) -> list[Any]:
    assert body == b"" or body.endswith(b"\n")
    return [json.loads(line) for line in body.split(b"\n")[:-1]]


def events_of(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return [line["event"] for line in lines_of(read(client, **query).body)[:-1]]


# -- bytes


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


# -- compressed


def decode(coding: str, body: bytes) -> bytes:
    """As much as a beginning of a compressed answer gives."""
    if coding == "gzip":
        return zlib.decompressobj(31).decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_compressed_export_decodes_to_the_same_bytes(
    varied: httpx.Client, form: str, coding: str
) -> None:
    plain = read(varied, format=form, until_sequence=3000)
    pressed = read(varied, coding, format=form, until_sequence=3000)
    assert plain.headers.get("content-encoding") is None
    assert pressed.headers["content-encoding"] == coding
    assert pressed.headers["content-type"] == plain.headers["content-type"]
    for answer in (plain, pressed):
        assert answer.headers["vary"] == "Authorization, Cookie, Accept-Encoding"
    assert decode(coding, pressed.body) == plain.body
    assert form == "parquet" or len(pressed.body) < len(plain.body) / 2
    if coding == "gzip":
        state = zlib.decompressobj(31)
        state.decompress(pressed.body)
        assert state.eof
        assert state.unused_data == b""


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_compressed_export_cut_anywhere_decodes_to_a_beginning(
    varied: httpx.Client, coding: str
) -> None:
    plain = read(varied, until_sequence=3000).body
    pressed = read(varied, coding, until_sequence=3000).body
    choose = random.Random(3)  # fixed, so that a failure comes again
    places = [*range(40), *(choose.randrange(len(pressed)) for _ in range(100))]
    sizes = []
    for place in sorted(places):
        found = decode(coding, pressed[:place]) if place else b""
        assert plain.startswith(found)
        sizes.append(len(found))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 10  # it can be read on the way, not at the end alone


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_was_sent_can_be_decoded_before_more_follows(
    coding: Literal["gzip", "zstd"],
) -> None:
    parts = [b"", b'{"leaf_index":0}\n', b"", b"x" * 300_000, b"\n", b"y" * 10]

    async def send() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def receive() -> list[bytes]:
        sent, found = b"", []
        async for chunk in compressed(send(), coding):
            sent += chunk
            found.append(decode(coding, sent))
        return found

    whole = [b"".join(parts[: number + 1]) for number in range(len(parts))]
    assert asyncio.run(receive()) == [*whole, whole[-1]]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("deflate, br", None),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0", None),
        ("gzip ; q = 0.000", None),
        ("gzip;Q=0.0", None),
        ("gzip;q=0.001", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0,gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("*;q=0", None),
        ("gzipped, xgzip", None),
        (",,gzip,,", "gzip"),
        ("gzip;q=x", "gzip"),
    ],
)
def test_the_coding_is_one_that_the_client_takes(
    varied: httpx.Client, accepted: str | None, coding: str | None
) -> None:
    request = varied.build_request("GET", EXPORT, params={"until_sequence": 5})
    del request.headers["accept-encoding"]
    if accepted is not None:
        request.headers["accept-encoding"] = accepted
    answer = varied.send(request, stream=True)
    body = b"".join(answer.iter_raw())
    found = answer.headers.get("content-encoding")
    assert found == coding
    assert len((decode(coding, body) if coding else body).splitlines()) == 6


# -- cut and resumed


_ROW = re.compile(rb"\r\n(\d+),\d{4}-\d\d-\d\dT")


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


def last_sequence(form: str, kept: bytes) -> int:
    """Of what was kept; 0 for nothing."""
    if not kept:
        return 0
    if form == "csv":
        return int((_ROW.findall(kept) or [0])[-1])
    last = json.loads(kept[kept.rfind(b"\n", 0, -1) + 1 :])
    match form:
        case "ndjson":
            return int(last.get("last_sequence", last.get("leaf_index", -2) + 1))
        case "cloudevents":
            return int(last[0]["sequence"])
        case _:
            return int(last["metadata"]["sequence"])


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
        ("ndjson", 25),
        ("cloudevents", 12),
        ("ocsf", 12),
        ("csv", 12),
        pytest.param("ndjson", 100, marks=pytest.mark.long),
        pytest.param("cloudevents", 100, marks=pytest.mark.long),
        pytest.param("ocsf", 100, marks=pytest.mark.long),
        pytest.param("csv", 100, marks=pytest.mark.long),
    ],
)
def test_an_export_that_is_cut_many_times_and_resumed_is_the_same_file(
    filled: Filled, form: str, cuts: int
) -> None:
    """The long form: ``pytest -m long tests/app/audit/test_audit_export.py``."""
    # A creation has many rows: more than a cut of the shorter log's table holds.
    log = filled.varied if form == "csv" else filled.brief
    # It was cut all over the file.
    assert places_of_cuts(filled.server, log, len(form), cuts, format=form) > 0.6 * cuts


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_filtered_export_that_is_cut_and_resumed_is_the_same_file(
    filled: Filled, form: str
) -> None:
    query = {"format": form, "actor": "EDITOR key", "event_type": "assistant_settings_changed"}
    assert places_of_cuts(filled.server, filled.brief, 5, 12, **query) > 4


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


# -- which events


Event = dict[str, Any]


def _overlaps(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _touches(event: Event, path: str) -> bool:
    return any(_overlaps(path, one) for one in (*event.get("changes", ()), *event.get("paths", ())))


_FILTERS: list[tuple[dict[str, Any], Callable[[Event], bool]]] = [
    ({"assistant_id": 3}, lambda event: event["assistant_id"] == 3),
    ({"assistant_id": 6}, lambda event: event["assistant_id"] == 6),
    ({"assistant_id": 999}, lambda _: False),
    ({"actor": "editor key"}, lambda event: event["actor"]["name"] == "editor key"),
    ({"actor": "EDITOR KEY"}, lambda event: event["actor"]["name"] == "editor key"),
    ({"actor": "äRGER"}, lambda event: event["actor"]["name"] == "Ärger"),
    ({"actor": "api_key:3"}, lambda event: event["actor"]["id"] == 3),
    ({"actor": "user:2"}, lambda event: event["actor"]["type"] == "user"),
    ({"actor": "editor"}, lambda _: False),
    ({"event_type": "assistant_created"}, lambda e: e["type"] == tag("assistant_created")),
    ({"event_type": "audit_exported"}, lambda e: e["type"] == "audit_exported.v1"),
    ({"event_type": "secret_keys_rotated"}, lambda _: False),
    ({"path": "/llm_settings"}, lambda event: _touches(event, "/llm_settings")),
    ({"path": "/llm_settings/temperature"}, lambda e: _touches(e, "/llm_settings/temperature")),
    ({"path": "/description"}, lambda event: _touches(event, "/description")),
    ({"path": "/desc"}, lambda _: False),
    ({"path": "/api_keys/openai_api_key"}, lambda e: _touches(e, "/api_keys/openai_api_key")),
    (
        {"assistant_id": 2, "actor": "user:2", "path": "/description"},
        lambda event: (
            event["assistant_id"] == 2
            and event["actor"]["type"] == "user"
            and _touches(event, "/description")
        ),
    ),
    (
        {"event_type": "assistant_settings_changed", "actor": "admin key", "assistant_id": 1},
        lambda event: (
            event["type"] == tag("assistant_settings_changed")
            and event["actor"]["name"] == "admin key"
            and event["assistant_id"] == 1
        ),
    ),
]


@pytest.fixture(scope="module")
def whole(varied: httpx.Client) -> list[Event]:
    """The log of many small events, with a record of an export at least."""
    read(varied, until_sequence=1)
    return events_of(varied)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(("query", "takes"), _FILTERS, ids=[str(one) for one, _ in _FILTERS])
def test_a_filter_selects_exactly_what_it_says(
    varied: httpx.Client,
    whole: list[Event],
    query: dict[str, Any],
    takes: Callable[[Event], bool],
    every: int,
) -> None:
    """In some of the formats each; in all of them with
    ``pytest -m long tests/app/audit/test_audit_export.py``.
    """
    until = whole[-1]["sequence"]
    expected = [event["sequence"] for event in whole if takes(event)]
    assert len(expected) < len(whole)
    for form in FORMATS[_FILTERS.index((query, takes)) % every :: every]:
        answer = read(varied, format=form, until_sequence=until, **query)
        assert sequences(form, answer.body) == expected, form
        assert answer.until == until
    last = lines_of(read(varied, until_sequence=until, **query).body)[-1]
    assert last["filter"] == query
    assert last["last_sequence"] == until
    assert read_note(last["checkpoint"]).size == until


def test_a_filtered_export_does_not_pass_for_the_whole_log(varied: httpx.Client) -> None:
    keys = read_keys(varied.get(f"{AUDIT}/key").content)
    body = read(varied, assistant_id=3).body
    with pytest.raises(Failed):
        verify(body.splitlines(keepends=True), keys)


def test_moments_select_from_the_first_to_the_last_that_they_name(varied: httpx.Client) -> None:
    whole = events_of(varied, until_sequence=3000)
    times = [event["occurred_at"] for event in whole]
    for since, until in ((0, 0), (10, 20), (1500, 2999), (2999, 2999)):
        expected = [
            event["sequence"]
            for event in whole
            if times[since] <= event["occurred_at"] <= times[until]
        ]
        for form in FORMATS:
            query = {"since": times[since], "until": times[until], "until_sequence": 3000}
            body = read(varied, format=form, **query).body
            if form == "csv" and not body.startswith(b"sequence,"):
                body = b"header\r\n" + body  # test_a_table_that_starts_at_a_moment_has_its_header
            assert sequences(form, body) == expected, form
    assert read(varied, until=times[20]).until == max(
        event["sequence"] for event in whole if event["occurred_at"] <= times[20]
    )
    assert events_of(varied, since="9999-12-31T00:00:00Z") == []
    assert events_of(varied, until="0001-01-01T00:00:00Z") == []


def test_a_place_beyond_the_log_is_named_with_the_rule(varied: httpx.Client) -> None:
    last = read(varied).until + 1  # this export is an event itself
    assert read(varied, after=last, until_sequence=last).until == last
    for name in ("after", "until_sequence"):
        for value in (last + 1, 2**53):
            answer = varied.get(EXPORT, params={name: value})
            assert answer.status_code == 422
            (error,) = answer.json()["detail"]
            assert error["loc"] == ["query", name]
            assert error["type"] == "beyond_log"
            assert f"from 0 to {last}:" in error["msg"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("after", "-1"),
        ("after", "x"),
        ("until_sequence", "-1"),
        ("until_sequence", "9" * 30),
        ("since", "yesterday"),
        ("until", "2026-02-30T00:00:00Z"),
        ("assistant_id", "0"),
        ("event_type", "assistant_reborn"),
        ("event_type", "assistant_created.v1"),
        ("path", "llm_settings"),
        ("format", "xml"),
        ("format", "NDJSON"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_is_recorded(
    server: Server, organization: Organization, name: str, value: str
) -> None:
    with server.client(organization.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "Desk"})
        answer = admin.get(EXPORT, params={name: value})
        assert answer.status_code == 422
        assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]
        assert len(stored.events(server.database, organization.id)) == 1
        # The control: without it the export is recorded.
        read(admin)
        assert len(stored.events(server.database, organization.id)) == 2


# -- exports are events


def test_each_export_is_recorded_once_and_is_no_part_of_itself(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "Desk"})
        query = {"format": "csv", "until_sequence": "1", "path": "/name"}
        answer = admin.get(EXPORT, params=query, headers={"x-request-id": "mine"})
        assert sequences("csv", answer.content) == [1]
        (_, recorded) = stored.events(server.database, organization.id)
        assert recorded["type"] == "audit_exported.v1"
        assert recorded["actor"]["name"] == "admin key"
        assert recorded["request_id"] == "mine"
        assert {name: recorded[name] for name in ("format", "after", "until_sequence")} == {
            "format": "csv",
            "after": 0,
            "until_sequence": 1,
        }
        assert recorded["filter"] == {"path": "/name"}
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: read(admin), range(12)))
        for one in answers:
            assert sequences("ndjson", one.body) == list(range(1, one.until + 1))
        events = stored.events(server.database, organization.id)
        assert [event["type"] for event in events[1:]] == ["audit_exported.v1"] * 13


def test_an_export_that_is_cut_off_is_recorded(server: Server, filled: Filled) -> None:
    before = stored.rows(server.database, filled.heavy.id)["events"][-1]["sequence"]
    with server.client(filled.heavy.admin) as admin:
        read_cut(admin, 10)
    rows = stored.rows(server.database, filled.heavy.id)["events"]
    assert [row["type"] for row in rows[before:]] == ["audit_exported.v1"]


def test_a_viewer_exports_nothing_and_nothing_is_recorded(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "Desk"})
    for token in (organization.viewer, organization.editor, organization.runtime):
        with server.client(token) as client:
            assert client.get(EXPORT).status_code == 403
    assert len(stored.events(server.database, organization.id)) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_client_that_polls_becomes_quiet(
    server: Server, organization: Organization, form: str
) -> None:
    with server.client(organization.admin) as admin:
        path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Desk'}).json()['id']}"
        after = 0
        found: list[int] = []
        for _ in range(6):
            answer = read(admin, format=form, after=after)
            found += range(after + 1, answer.until + 1)
            after = answer.until
        assert found == [1, 2]
        assert len(stored.events(server.database, organization.id)) == 2
        # The control: what is new is exported, and that is recorded.
        admin.patch(path, json={"name": "Other"})
        for _ in range(6):
            after = read(admin, format=form, after=after).until
        assert [event["type"] for event in stored.events(server.database, organization.id)] == [
            tag("assistant_created"),
            "audit_exported.v1",
            tag("assistant_settings_changed"),
            "audit_exported.v1",
        ]


def test_a_client_that_polls_becomes_quiet_beside_checkpoints(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    organization, other = waiting
    with (
        serving_process(database, waiting, BACKSTORY_CHECKPOINT_INTERVAL="1s") as server,
        server.client(organization.admin) as admin,
        server.client(other.admin) as neighbour,
    ):
        admin.post(ASSISTANTS, json={"name": "Desk"})
        neighbour.post(ASSISTANTS, json={"name": "Desk"})
        after = 0
        lengths: list[int] = []
        deadline = time.monotonic() + 20
        # The neighbour's checkpoints count the intervals: its log grows in each of them.
        while len(lengths) < 6:
            assert time.monotonic() < deadline, "no checkpoints"
            answer = read(admin, after=after)
            after = answer.until
            checkpoints = neighbour.get(f"{AUDIT}/checkpoints").json()
            if len(checkpoints) > len(lengths):
                neighbour.patch(f"{ASSISTANTS}/1", json={"description": f"{len(lengths)}"})
                lengths.append(admin.get(f"{AUDIT}/logs").json()["total"])
            time.sleep(0.1)
        assert lengths[3:] == [lengths[3]] * 3, lengths


# -- clients that are slow, or go away


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
        # Ten seconds, where nobody says otherwise.
        sooner = "import app.cli.main; app.cli.main._DRAIN_SECONDS = 2"
        with serving_process(database, waiting, preamble=sooner, stderr=stderr) as server:
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


# -- a stream that fails


@pytest.fixture(scope="module")
def broken(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An admin's client of a log whose event 1500 is no JSON any more."""
    folder = tmp_path_factory.mktemp("broken")
    database = written.copy(folder)
    execute(database, unguarded("events_are_not_updated"))
    execute(
        database,
        "UPDATE events SET body = :body WHERE organization_id = :id AND sequence = 1500",
        body=b'{"cut',
        id=written.varied.id,
    )
    with (
        (folder / "stderr").open("w") as stderr,
        serving_process(database, [], stderr=stderr) as server,
        server.client(written.varied.admin) as client,
    ):
        yield client


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["csv", "cloudevents", "ocsf", "parquet"])
def test_an_export_that_fails_on_the_way_does_not_look_whole(
    broken: httpx.Client, form: str, coding: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        read(broken, coding, format=form)
    assert read(broken, coding, format=form, until_sequence=1499).until == 1499  # the control


def test_what_was_read_of_an_export_that_fails_is_right(broken: httpx.Client) -> None:
    got = b""
    headers = {"accept-encoding": "identity"}
    with broken.stream("GET", EXPORT, params={"format": "csv"}, headers=headers) as answer:
        parts = answer.iter_raw()
        with suppress(httpx.RemoteProtocolError):
            while True:
                got += next(parts)
    assert len(got) > 10_000
    assert read(broken, format="csv", until_sequence=1499).body.startswith(got)


def test_an_event_that_was_edited_in_the_database_is_found_by_the_verifier(
    broken: httpx.Client,
) -> None:
    keys = read_keys(broken.get(f"{AUDIT}/key").content)
    body = read(broken).body
    with pytest.raises(Failed) as failed:
        verify(body.splitlines(keepends=True), keys)
    assert (failed.value.sequence, failed.value.what) == (1500, "edited")


# -- on the wire


def test_each_event_names_the_log_that_the_public_key_is_of(admin: httpx.Client) -> None:
    admin.post("/api/v1/assistants", json={"name": "x"})
    origin = admin.get(f"{AUDIT}/key").json()["origin"]
    (event,) = lines_of(admin.get(EXPORT, params={"format": "cloudevents"}).content)[0]
    assert (event["source"], event["id"].endswith("/1")) == (origin, True)
    record = lines_of(admin.get(EXPORT, params={"format": "ocsf"}).content)[0]
    assert record["metadata"]["uid"] == f"{origin}/1"


class Message(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


class Wire:
    """A connection of its own, read byte by byte as RFC 9112 says."""

    def __init__(self, url: str, token: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._token = token
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, *targets: str, verb: str = "GET", version: str = "1.1", more: str = "") -> None:
        """Send requests, all at once."""
        text = "".join(
            f"{verb} {target} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"{more}\r\n"
            for target in targets
        )
        self._socket.sendall(text.encode())

    def fields(self) -> dict[str, str]:
        found = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        return found

    def status(self) -> int:
        """That of the next answer, whose rest waits."""
        return int(self._file.readline().split()[1])

    def answer(self) -> Message:
        """The next answer."""
        return self.rest(self.status())

    def rest(self, status: int = 200) -> Message:
        """What follows a status."""
        headers, body, trailers = self.fields(), b"", {}
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                assert self._file.read(2) == b"\r\n"
            trailers = self.fields()
        elif "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
        else:
            body = self._file.read()
        return Message(status=status, headers=headers, body=body, trailers=trailers)

    def is_over(self) -> bool:
        """Whether the server has closed it, with nothing more to say."""
        return self._file.read() == b""


@pytest.fixture(scope="module")
def process(
    written: Written, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Organization]]:
    database = written.copy(tmp_path_factory.mktemp("process"))
    with serving_process(database, []) as server:
        yield server, written.varied


@pytest.fixture
def wire(process: tuple[Server, Organization]) -> Iterator[Wire]:
    server, organization = process
    with closing(Wire(server.url, organization.admin)) as opened:
        yield opened


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_an_export_ends_with_a_trailer_that_says_how_far_it_goes(
    wire: Wire, form: str, coding: str
) -> None:
    wire.ask(f"{EXPORT}?format={form}&until_sequence=2900", more=f"Accept-Encoding: {coding}\r\n")
    answer = wire.answer()
    assert answer.status == 200
    assert answer.headers["trailer"] == "x-last-sequence"
    assert answer.headers["x-until-sequence"] == "2900"
    assert answer.trailers == {"x-last-sequence": "2900"}
    body = answer.body if coding == "identity" else decode(coding, answer.body)
    assert sequences(form, body) == list(range(1, 2901))


def test_requests_after_an_export_on_one_connection_are_answered(wire: Wire) -> None:
    for until in (3, 0, 2000):
        wire.ask(f"{EXPORT}?until_sequence={until}")
        answer = wire.answer()
        assert answer.trailers == {"x-last-sequence": f"{until}"}
        assert len(answer.body.splitlines()) == until + 1
        wire.ask(f"{AUDIT}/checkpoint")
        answer = wire.answer()
        assert (answer.status, answer.trailers) == (200, {})
        assert answer.body.startswith(b"backstory/")
        wire.ask(f"{EXPORT}?until_sequence=99999999")
        answer = wire.answer()
        assert (answer.status, answer.trailers) == (422, {})


def test_pipelined_requests_around_exports_are_answered_in_order(wire: Wire) -> None:
    wire.ask(
        f"{EXPORT}?until_sequence=1500",
        f"{AUDIT}/checkpoint",
        f"{EXPORT}?until_sequence=5&format=csv",
        f"{EXPORT}?format=xml",
        f"{EXPORT}?until_sequence=6&format=json",
        f"{AUDIT}/key",
    )
    answers = [wire.answer() for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 200, 422, 200, 200]
    assert [answer.trailers.get("x-last-sequence") for answer in answers] == [
        "1500", None, "5", None, "6", None,
    ]  # fmt: skip
    assert sequences("ndjson", answers[0].body) == list(range(1, 1501))
    assert sequences("csv", answers[2].body) == [1, 2, 3, 4, 5]
    assert json.loads(answers[5].body)["keys"]


def test_the_head_of_an_export_names_its_trailer_and_sends_none(wire: Wire) -> None:
    for until in (1500, 7):
        wire.ask(f"{EXPORT}?until_sequence={until}", verb="HEAD")
        assert wire.status() == 200
        headers = wire.fields()
        assert headers["trailer"] == "x-last-sequence"
        assert headers["x-until-sequence"] == f"{until}"
    wire.ask(f"{AUDIT}/checkpoint")
    assert wire.answer().body.startswith(b"backstory/")


def test_an_export_that_is_the_last_request_ends_the_connection(wire: Wire) -> None:
    wire.ask(f"{EXPORT}?until_sequence=7", more="Connection: close\r\n")
    answer = wire.answer()
    assert answer.trailers == {"x-last-sequence": "7"}
    assert wire.is_over()


def test_a_client_that_knows_no_chunks_gets_none(wire: Wire) -> None:
    wire.ask(f"{EXPORT}?until_sequence=7", version="1.0")
    answer = wire.answer()
    assert answer.headers.get("transfer-encoding") is None
    assert sequences("ndjson", answer.body) == list(range(1, 8))


def test_many_clients_get_their_trailers_at_once(process: tuple[Server, Organization]) -> None:
    server, organization = process

    def one(number: int) -> bool:
        with closing(Wire(server.url, organization.admin)) as wire:
            wire.ask(f"{EXPORT}?until_sequence={2000 + number}")
            answer = wire.answer()
            return (
                answer.trailers == {"x-last-sequence": f"{2000 + number}"}
                and len(answer.body.splitlines()) == 2001 + number
            )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(24)))


def test_clients_that_go_away_leave_the_process_well(process: tuple[Server, Organization]) -> None:
    server, organization = process
    for number in range(30):
        wire = Wire(server.url, organization.admin)
        wire.ask(EXPORT, EXPORT)
        with closing(wire):
            wire._file.read(number * 1000)  # noqa: SLF001  # cut anywhere
    with closing(Wire(server.url, organization.admin)) as wire:
        wire.ask(f"{EXPORT}?until_sequence=7")
        assert wire.answer().trailers == {"x-last-sequence": "7"}


def test_a_server_that_cannot_send_trailers_sends_the_rest(filled: Filled) -> None:
    with closing(Wire(filled.server.url, filled.varied.admin)) as wire:
        wire.ask(f"{EXPORT}?until_sequence=1500", f"{EXPORT}?until_sequence=2")
        for until in (1500, 2):
            answer = wire.answer()
            assert answer.headers["x-until-sequence"] == f"{until}"
            assert answer.trailers == {}
            assert sequences("ndjson", answer.body) == list(range(1, until + 1))


def test_an_export_is_a_file_that_no_cache_keeps(varied: httpx.Client) -> None:
    extensions = {
        "ndjson": ("application/x-ndjson", "ndjson"),
        "csv": ("text/csv; charset=utf-8", "csv"),
        "json": ("application/json", "json"),
        "cloudevents": ("application/x-ndjson", "cloudevents.ndjson"),
        "ocsf": ("application/x-ndjson", "ocsf.ndjson"),
        "parquet": ("application/vnd.apache.parquet", "parquet"),
    }
    for form, (media_type, extension) in extensions.items():
        headers = read(varied, format=form, until_sequence=1).headers
        assert headers["content-type"] == media_type
        assert headers["content-disposition"] == f'attachment; filename="audit.{extension}"'
        assert headers["cache-control"] == "no-store"


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
