"""A search finds the entries that match all of its filters, and no others."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.app.audit.log_reader import LOGS, ids, logs, look
from tests.app.standing_clock import Clock
from tests.conftest import (
    ASSISTANTS,
    Server,
)

Entry = dict[str, Any]


def _matches(entry: Entry, query: dict[str, Any]) -> bool:
    at = datetime.fromisoformat(entry["event_timestamp"])
    start = query.get("start_date")
    end = query.get("end_date")
    return (
        all(
            entry[name] == query[name]
            for name in ("user_id", "event_type", "resource_type", "resource_id")
            if name in query
        )
        and (start is None or at >= datetime.fromisoformat(start))
        and (end is None or at <= datetime.fromisoformat(end))
        and not query.get("phi_only", False)
    )


def check(searched: httpx.Client, whole: list[Entry], query: dict[str, Any]) -> int:
    expected = ids([entry for entry in whole if _matches(entry, query)])
    page = look(searched, limit=500, **query)
    assert ids(page["logs"]) == expected, query
    assert page["total"] == len(expected), query
    return len(expected)


@pytest.mark.parametrize(
    "name", ["user_id", "event_type", "resource_type", "start_date", "end_date"]
)
def test_each_filter_alone_finds_exactly_what_it_says(searched: httpx.Client, name: str) -> None:
    whole = logs(searched)
    column = "event_timestamp" if name.endswith("_date") else name
    values = {entry[column] for entry in whole if entry[column] is not None}
    assert len(values) > 1
    for value in sorted(values):
        assert check(searched, whole, {name: value})


def test_a_resource_id_alone_finds_every_resource_of_that_id(searched: httpx.Client) -> None:
    whole = logs(searched)
    assert {entry["resource_type"] for entry in whole if entry["resource_id"] == "5"} == {
        "assistant",
        "api_key",
    }
    for value in {entry["resource_id"] for entry in whole if entry["resource_id"]}:
        assert check(searched, whole, {"resource_id": value})


@pytest.mark.parametrize("event_type", ["api_key_created", "api_key_changed", "login_refused"])
def test_a_keys_events_are_found_by_type_and_id(searched: httpx.Client, event_type: str) -> None:
    whole = logs(searched)
    assert check(searched, whole, {"event_type": event_type, "resource_id": "5"}) == 1


def test_filters_together_find_exactly_what_all_of_them_say(searched: httpx.Client) -> None:
    whole = logs(searched)
    times = [entry["event_timestamp"] for entry in whole]
    resources = [
        {"resource_type": entry["resource_type"], "resource_id": entry["resource_id"]}
        for entry in whole
        if entry["resource_id"]
    ]
    choose = random.Random(7)  # fixed, so that a failure comes again
    found = 0
    for _ in range(300):
        start, end = sorted(choose.sample(times, 2))
        of_one = choose.choice(whole)
        parts = [
            {"user_id": choose.choice((1, 2, 3))},
            {"event_type": of_one["event_type"]},
            choose.choice(({"resource_type": of_one["resource_type"]}, choose.choice(resources))),
            {"start_date": start},
            {"end_date": end},
            {"phi_only": "false"},
        ]
        chosen = choose.sample(parts, choose.randint(2, 4))
        query = {name: value for part in chosen for name, value in part.items()}
        query.pop("phi_only", None)
        found += bool(check(searched, whole, query))
    assert found > 50  # the control: not all of them were empty


@pytest.mark.parametrize(
    "query",
    [
        {"event_type": "assistant_reborn"},
        {"event_type": ""},
        {"event_type": "assistant_created.v1"},
        {"event_type": "assistant_created", "resource_type": "api_key"},
        {"resource_type": "ASSISTANT"},
        {"resource_id": "0"},
        {"resource_id": "-1"},
        {"resource_id": "x"},
        {"resource_id": "1 OR 1=1"},
        {"resource_id": "९"},
        {"resource_id": "9" * 400},
        {"resource_id": "1", "resource_type": "audit_log"},
        {"user_id": "-5"},
        {"user_id": "2147483647"},
        {"user_id": "-99999999999999999999999"},
        {"phi_only": "true"},
        {"phi_only": "true", "user_id": "2"},
        {"start_date": "9999-12-31"},
        {"end_date": "0001-01-01"},
        {"start_date": "2024-01-02", "end_date": "2024-01-01"},
    ],
)
def test_what_nothing_matches_is_an_empty_page(searched: httpx.Client, query: Any) -> None:
    page = look(searched, **query)
    assert page == {"logs": [], "total": 0, "limit": 50, "offset": 0}


def test_the_widest_range_of_dates_excludes_nothing(searched: httpx.Client) -> None:
    for start, end in (
        ("0001-01-01", "9999-12-31"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ):
        assert ids(logs(searched, start_date=start, end_date=end)) == ids(logs(searched))


def test_a_moment_is_the_same_in_every_zone(searched: httpx.Client) -> None:
    at = logs(searched)[10]["event_timestamp"]
    elsewhere = str(
        datetime.fromisoformat(at).astimezone(
            datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo
        )
    ).replace(" ", "T")
    for name in ("start_date", "end_date"):
        expected = ids(logs(searched, **{name: at}))
        assert ids(logs(searched, **{name: elsewhere})) == expected
        assert ids(logs(searched, **{name: at.removesuffix("Z")})) == expected
        # A plus sign that nobody encoded is a space by then.
        url = f"{LOGS}?limit=500&{name}={elsewhere}"
        assert ids(searched.get(url).json()["logs"]) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_date", "yesterday"),
        ("start_date", ""),
        ("end_date", "2026-02-30"),
        ("end_date", "2026-13-01"),
        ("start_date", "0001-01-01T00:00:00+23:59"),
        ("end_date", "1"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "x"),
        ("offset", "-1"),
        ("offset", "9" * 30),
        ("user_id", "x"),
        ("user_id", "2147483648"),
        ("cursor", ""),
        ("cursor", "djA"),
        ("cursor", "99"),
        ("cursor", "\u00e9"),
        ("phi_only", "perhaps"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_named(
    searched: httpx.Client, name: str, value: str
) -> None:
    answer = searched.get(LOGS, params={name: value})
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]


def test_a_date_means_its_first_or_its_last_microsecond(timed: tuple[Server, Clock]) -> None:
    server, clock = timed
    day = clock.now + timedelta(days=1)
    microsecond = timedelta(microseconds=1)
    moments = [
        day - microsecond,
        day,
        day,
        day + timedelta(days=1) - microsecond,
        day + timedelta(days=1),
    ]
    organization = server.organization()
    with server.client(organization.admin) as admin:
        for number, at in enumerate(moments):
            clock.now = at
            admin.post(ASSISTANTS, json={"name": f"{number}"})
        date = day.date().isoformat()

        def found(**query: str) -> list[int]:
            return ids(logs(admin, **query))

        assert found(start_date=date) == [5, 4, 3, 2]
        assert found(end_date=date) == [4, 3, 2, 1]
        assert found(start_date=date, end_date=date) == [4, 3, 2]
        for number, at in enumerate(moments, 1):
            text = at.isoformat()
            equal = [one for one, other in enumerate(moments, 1) if other == at]
            assert found(start_date=text, end_date=text) == equal[::-1]
            assert number in found(start_date=text)
            assert number in found(end_date=text)
            before = (at - microsecond).isoformat()
            assert number not in found(end_date=before)
            after = (at + microsecond).isoformat()
            assert number not in found(start_date=after)
