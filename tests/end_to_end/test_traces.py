"""Traces: off by default, one for each request when asked for, and never with a value."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import text_of
from tests.end_to_end.processes import NOT_FORKED, client, run, started
from tests.end_to_end.scraping import logged

CONSOLE = {"OTEL_TRACES_EXPORTER": "console", "BACKSTORY_LOG_LEVEL": "info"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
VALUE = "Never say the word tangerine"
# Says on stderr, once the server listens, whether it has imported anything of OpenTelemetry.
SAYS_WHAT_IS_IMPORTED = """
import json, sys
from app.cli import terminal
say = terminal.say
def say_more(text):
    found = any(name.startswith("opentelemetry") for name in sys.modules)
    sys.stderr.write(json.dumps({"event": "imported", "opentelemetry": found}) + chr(10))
    say(text)
terminal.say = say_more
"""
WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry.sdk"] = None
"""

Span = dict[str, Any]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    return make_organizations(database, 1)[0]


def spans(folder: Path) -> list[Span]:
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line]
    return [line for line in lines if "parent_id" in line]


def attributes_of(all_spans: list[Span], name: str) -> list[dict[str, Any]]:
    return [span["attributes"] for span in all_spans if span["name"] == name]


def serve_and_ask(
    database: Path, key: str, preamble: str = "", **settings: str
) -> list[httpx.Response]:
    """Create, change and read an assistant, then let the server end, which sends its spans."""
    arguments = ("serve", "--port", "0", "--database", text_of(database))
    with started(database.parent, *arguments, preamble=preamble, **settings) as process:
        assert process.stdout is not None
        with client(process.stdout.readline().strip(), key) as asking:
            asking.headers.update(PARENT)
            patch = {"llm_settings": {"system_prompt": VALUE}, "change_description": VALUE}
            answers = [
                asking.post(ASSISTANTS, json={"name": "Front desk"}),
                asking.patch(f"{ASSISTANTS}/1", json=patch),
                asking.get(f"{ASSISTANTS}/1"),
                asking.get(f"{ASSISTANTS}/1/settings-history", params={"actor": VALUE}),
                asking.get("/health?%ff", headers={b"user-agent": b"\xff\xfe"}),
            ]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return answers


def test_a_change_is_traced_with_its_assistant_version_and_cause_and_without_a_value(
    database: Path, organization: Organization
) -> None:
    answers = serve_and_ask(database, organization.editor, **CONSOLE)
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    found = spans(database.parent)
    created, changed = attributes_of(found, "change")
    assert created["backstory.version"] == 1
    del changed["backstory.organization_id"]
    assert changed == {
        "backstory.assistant_id": 1,
        "backstory.version": 2,
        "backstory.event_type": "assistant_settings_changed.v1",
        "backstory.cause": "patch",
    }
    assert "tangerine" not in (database.parent / "log").read_text()


def test_a_request_is_one_trace_with_its_route_its_statements_and_its_log_line(
    database: Path, organization: Organization
) -> None:
    serve_and_ask(database, organization.editor, **CONSOLE)
    found = spans(database.parent)
    route = "/api/v1/assistants/{assistant_id}"
    for name in (f"PATCH {route}", f"GET {route}", f"GET {route}/settings-history"):
        (request,) = (span for span in found if span["name"] == name)
        assert request["context"]["trace_id"] == f"0x{TRACE}"
        assert request["attributes"]["http.route"] == name.partition(" ")[2]
        assert request["resource"]["attributes"]["service.name"] == "backstory"
        if name.startswith("PATCH"):
            change = [span for span in found if span["name"] == "change"][-1]
            assert change["parent_id"] == request["context"]["span_id"]
            batches = [span for span in found if span["name"] == "write batch"]
            links = {link["context"]["span_id"] for span in batches for link in span["links"]}
            assert request["context"]["span_id"] in links
    statements = [s for s in found if s["name"].startswith("SELECT") and f"0x{TRACE}" in str(s)]
    assert statements, "the history is read by statements of its own trace"
    lines = logged(database.parent, "request")
    assert {line["trace_id"] for line in lines} == {TRACE}


def test_nothing_is_traced_or_imported_by_default(
    database: Path, organization: Organization
) -> None:
    settings = {"BACKSTORY_LOG_LEVEL": "info", "OTEL_SDK_DISABLED": "", **NOT_FORKED}
    serve_and_ask(database, organization.editor, SAYS_WHAT_IS_IMPORTED, **settings)
    assert not spans(database.parent)
    assert [line["opentelemetry"] for line in logged(database.parent, "imported")] == [False]
    assert not any("trace_id" in line for line in logged(database.parent, "request"))


def test_control_the_import_is_seen_where_it_is_asked_for(
    database: Path, organization: Organization
) -> None:
    serve_and_ask(database, organization.editor, SAYS_WHAT_IS_IMPORTED, **CONSOLE, **NOT_FORKED)
    assert [line["opentelemetry"] for line in logged(database.parent, "imported")] == [True]


def test_traces_that_cannot_be_made_are_refused_in_one_line(database: Path) -> None:
    folder = database.parent
    ended = run(folder, "serve", "--port", "0", OTEL_TRACES_EXPORTER="zipkin")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "OTEL_TRACES_EXPORTER: expected otlp, console, none" in ended.stderr
    wanted = {"preamble": WITHOUT_THE_EXTRA, "OTEL_SERVICE_NAME": "backstory"}
    ended = run(folder, "serve", "--port", "0", **wanted)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "extra [otel]" in ended.stderr
