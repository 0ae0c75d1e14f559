"""An export holds the events that match its filter and its bounds, and no others."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.audit.verify import Failed, read_keys, read_note, verify
from events.upcasters import tag
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.app.audit.exports import (
    AUDIT,
    EXPORT,
    FORMATS,
    events_of,
    lines_of,
    read,
    sequences,
)

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


@pytest.mark.parametrize(("query", "takes"), _FILTERS, ids=[str(one) for one, _ in _FILTERS])
def test_a_filter_selects_exactly_what_it_says(
    varied: httpx.Client,
    whole: list[Event],
    query: dict[str, Any],
    takes: Callable[[Event], bool],
) -> None:
    until = whole[-1]["sequence"]
    expected = [event["sequence"] for event in whole if takes(event)]
    assert len(expected) < len(whole)
    for form in FORMATS:
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
    moments = [datetime.fromisoformat(time) for time in times]  # texts of whole seconds sort wrong
    for since, until in ((0, 0), (10, 20), (1500, 2999), (2999, 2999)):
        expected = [
            event["sequence"]
            for event, moment in zip(whole, moments, strict=True)
            if moments[since] <= moment <= moments[until]
        ]
        for form in FORMATS:
            query = {"since": times[since], "until": times[until], "until_sequence": 3000}
            body = read(varied, format=form, **query).body
            if form == "csv" and not body.startswith(b"sequence,"):
                body = b"header\r\n" + body  # test_a_table_that_starts_at_a_moment_has_its_header
            assert sequences(form, body) == expected, form
    assert read(varied, until=times[20]).until == max(
        event["sequence"]
        for event, moment in zip(whole, moments, strict=True)
        if moment <= moments[20]
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
