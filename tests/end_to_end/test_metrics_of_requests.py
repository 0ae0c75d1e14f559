"""What a scrape says of requests, and what never becomes a label."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.metrics.catalog import METRICS
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.end_to_end.processes import client, run, serving, started
from tests.end_to_end.scraping import BIND, Scraped, logged, scraped

ROUTE = "/api/v1/assistants/{assistant_id}"
REQUESTS = "backstory_requests_total"
WITHOUT_THE_EXTRA = """
import sys
sys.modules["prometheus_client"] = None
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    return make_organizations(database, 1)[0]


@pytest.fixture
def server(database: Path, organization: Organization) -> Iterator[Scraped]:  # noqa: ARG001  # is made
    with scraped(database) as running:
        yield running


@pytest.fixture
def editor(server: Scraped, organization: Organization) -> Iterator[httpx.Client]:
    with client(server.url, organization.editor) as asking:
        assert asking.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        yield asking


def test_reads_that_are_answered_before_the_routes_count_with_their_template(
    server: Scraped, editor: httpx.Client
) -> None:
    etag = editor.get(f"{ASSISTANTS}/1").headers["etag"]
    assert editor.get(f"{ASSISTANTS}/1", headers={"if-none-match": etag}).status_code == 304
    assert editor.get(f"{ASSISTANTS}/1?version=1").status_code == 200
    assert editor.head(f"{ASSISTANTS}/1").status_code == 200
    scrape = server.scrape()
    assert scrape.sum(REQUESTS, route=ROUTE, method="GET", status="200") == 2
    assert scrape.sum(REQUESTS, route=ROUTE, method="GET", status="304") == 1
    assert scrape.sum(REQUESTS, route=ROUTE, method="HEAD") == 1
    assert scrape.sum("backstory_request_duration_seconds_count", route=ROUTE) == 4
    assert scrape.sum("backstory_cache_hits_total", cache="views") == 3


def test_a_refused_change_counts_by_its_reason_and_a_refused_read_does_not(
    server: Scraped, editor: httpx.Client
) -> None:
    assert editor.patch(f"{ASSISTANTS}/1", json={"name": 7}).status_code == 422
    stale = editor.patch(f"{ASSISTANTS}/1", json={"name": "A"}, headers={"if-match": '"9"'})
    assert stale.status_code == 412
    assert editor.patch(f"{ASSISTANTS}/7", json={"name": "A"}).status_code == 404
    assert editor.get(f"{ASSISTANTS}/7").status_code == 404
    refused = {
        dict(labels)["reason"]: value
        for (name, labels), value in server.scrape().samples.items()
        if name == "backstory_refused_changes_total"
    }
    assert refused == {"invalid": 1, "precondition-failed": 1, "assistant-not-found": 1}


def test_requests_beyond_a_limit_count_by_the_limit(
    database: Path, organization: Organization
) -> None:
    with scraped(database, BACKSTORY_RATE_LIMIT="1/m") as server:
        with client(server.url, organization.editor) as asking:
            statuses = [asking.get(f"{ASSISTANTS}/count").status_code for _ in range(4)]
        scrape = server.scrape()
    assert statuses == [200, 200, 429, 429]
    assert scrape.sum("backstory_rate_limited_requests_total", limit="key") == 2
    assert scrape.sum(REQUESTS, status="429") == 2


def test_a_change_counts_its_wait_its_batch_its_commit_and_its_event(
    server: Scraped, editor: httpx.Client
) -> None:
    assert editor.patch(f"{ASSISTANTS}/1", json={"name": "Night desk"}).status_code == 200
    scrape = server.scrape()
    for name in ("commit_duration_seconds", "write_transaction_duration_seconds"):
        assert scrape.sum(f"backstory_{name}_count") >= 2
    written = scrape.sum("backstory_write_batch_size_sum")
    assert scrape.sum("backstory_write_queue_wait_seconds_count") == written >= 2
    kind = "assistant_settings_changed.v1"
    assert scrape.sum("backstory_events_recorded_total", type=kind) == 1


def test_no_label_holds_what_a_client_sent(server: Scraped, editor: httpx.Client) -> None:
    editor.get(f"{ASSISTANTS}/4711")
    editor.get("/nowhere/4712?x=4713")
    editor.request("PROPFIND", f"{ASSISTANTS}/4714")
    editor.patch(f"{ASSISTANTS}/1", json={"nothing": 4715})
    scrape = server.scrape()
    values = {value for _, labels in scrape.samples for name, value in labels if name != "le"}
    assert not [value for value in values if "471" in value or "nothing" in value]
    assert {"unrouted", "other", ROUTE} <= values
    names = {name for _, labels in scrape.samples for name, _ in labels}
    never = {"limit", "outcome"}  # of requests that nothing here sends
    assert names == {"le"}.union(*(metric.labels for metric in METRICS)) - never


def test_metrics_are_served_nowhere_by_default(database: Path) -> None:
    with serving(database, BACKSTORY_LOG_LEVEL="info") as running:
        assert httpx.get(f"{running.url}/metrics").status_code == 404
    assert not logged(database.parent, "metrics_served")


def test_an_address_that_is_taken_is_told_in_one_line(database: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(database.parent, "serve", "--port", "0", BACKSTORY_METRICS_BIND=address)
    assert ended.returncode == 1
    assert "127.0.0.1, port" in ended.stderr.splitlines()[-1]


def test_without_the_extra_the_command_names_it(database: Path) -> None:
    arguments = ("serve", "--port", "0")
    with started(database.parent, *arguments, preamble=WITHOUT_THE_EXTRA, **BIND) as process:
        assert process.wait(30) == 2
    assert "extra [metrics]" in (database.parent / "log").read_text()
