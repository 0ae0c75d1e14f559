"""How exports travel: trailers, chunks, pipelined requests, headers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import (
    Organization,
    Server,
    serving_process,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.app.audit.exports import AUDIT, EXPORT, FORMATS, decode, lines_of, read, sequences
from tests.app.audit.wire import Wire
from tests.app.audit.written_logs import Filled, Written


def test_each_event_names_the_log_that_the_public_key_is_of(admin: httpx.Client) -> None:
    admin.post("/api/v1/assistants", json={"name": "x"})
    origin = admin.get(f"{AUDIT}/key").json()["origin"]
    (event,) = lines_of(admin.get(EXPORT, params={"format": "cloudevents"}).content)[0]
    assert (event["source"], event["id"].endswith("/1")) == (origin, True)
    record = lines_of(admin.get(EXPORT, params={"format": "ocsf"}).content)[0]
    assert record["metadata"]["uid"] == f"{origin}/1"


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
