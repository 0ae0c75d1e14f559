"""Assistants as they were at a moment (RFC 7089)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services import utc_now
from tests.app.assistants.answers import ok
from tests.app.standing_clock import Clock
from tests.conftest import ASSISTANTS, Organization, make_organizations, serving, version_of
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator


class Past:
    """A server whose assistants lived through some days, one change a day at noon."""

    def __init__(self, url: str, clock: Clock, organization: Organization) -> None:
        self.clock = clock
        self.first = clock.now
        self.editor = self._client(url, organization.editor)
        self.admin = self._client(url, organization.admin)
        self.viewer = self._client(url, organization.viewer)

    @staticmethod
    def _client(url: str, token: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=url, headers=headers, timeout=30, verify=NO_TLS)

    def day(self, number: float) -> datetime:
        return self.first + timedelta(days=number)

    def text(self, number: float) -> str:
        return self.day(number).isoformat()

    def http_date(self, number: float) -> str:
        return f"{self.day(number):%a, %d %b %Y %H:%M:%S} GMT"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Day 1: Anna. 2: Ben, by an admin, inactive. 3: Anna is renamed. 4: Anna is deleted.

    5: Ben is active. 6: Anna is restored. 7: Cleo.
    """
    database = tmp_path_factory.mktemp("past") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    noon = (utc_now() + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=250)
    clock = Clock(noon)
    with serving(database, [], clock) as server:
        one = Past(server.url, clock, organization)
        anna, ben = f"{ASSISTANTS}/1", f"{ASSISTANTS}/2"
        steps: list[Callable[[], httpx.Response]] = [
            lambda: one.editor.post(ASSISTANTS, json={"name": "Anna"}),
            lambda: one.admin.post(ASSISTANTS, json={"name": "Ben", "is_active": False}),
            lambda: one.editor.patch(anna, json={"name": "Anna B."}),
            lambda: one.editor.delete(anna),
            lambda: one.editor.patch(f"{ben}/status?is_active=true"),
            lambda: one.editor.post(f"{anna}/restore"),
            lambda: one.editor.post(ASSISTANTS, json={"name": "Cleo"}),
        ]
        for number, step in enumerate(steps, 1):
            clock.now = one.day(number)
            assert step().is_success
        yield one
        for client in (one.editor, one.admin, one.viewer):
            client.close()


ANNA = f"{ASSISTANTS}/1"


@pytest.mark.parametrize(
    ("day", "version"),
    [(1, 1), (1.5, 1), (2.999, 1), (3, 2), (3.5, 2), (6, 4), (6.5, 4), (900, 4)],
)
def test_an_assistant_is_read_as_it_was_at_a_moment(past: Past, day: float, version: int) -> None:
    answer = past.viewer.get(ANNA, params={"as_of": past.text(day)})
    assert ok(answer)["version"] == version
    by_number = past.viewer.get(ANNA, params={"version": version})
    assert answer.content == by_number.content
    assert version_of(answer) == version_of(by_number) == version
    assert answer.headers["etag"] != by_number.headers["etag"]  # other resources


@pytest.mark.parametrize("day", [0, 0.999, 4, 5.5])
def test_an_assistant_is_not_found_at_a_moment_at_which_it_did_not_live(
    past: Past, day: float
) -> None:
    answers = [
        past.viewer.get(ANNA, params={"as_of": past.text(day)}),
        past.viewer.get(ANNA, headers={"accept-datetime": past.http_date(day)}),
        past.viewer.get(f"{ASSISTANTS}/99", params={"as_of": past.text(day)}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert answers[0].json()["type"] == "urn:backstory:problem:assistant-not-found"


def test_a_moment_is_exact_to_the_microsecond_and_of_any_zone(past: Past) -> None:
    def at(moment: datetime | str) -> int:
        text = moment if isinstance(moment, str) else moment.isoformat()
        version: int = ok(past.viewer.get(ANNA, params={"as_of": text}))["version"]
        return version

    then = past.day(3)
    assert at(then - timedelta(microseconds=1)) == 1
    assert at(then) == 2
    assert at(then.replace(tzinfo=None)) == 2  # UTC where it names no zone
    assert at((then + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")) == 2
    assert at(then.isoformat().replace("+00:00", "+02:00")) == 1


_LINK = re.compile(r'<([^>]*)>; rel="([^"]*)"(?:; datetime="([^"]*)")?(?:, |$)')


def links(answer: httpx.Response) -> set[tuple[str, str, str | None]]:
    """Each relation that an answer's links have, with the target and its moment."""
    said = answer.headers["link"]
    assert _LINK.sub("", said) == ""
    found = _LINK.findall(said)
    return {(rel, to, at or None) for to, rels, at in found for rel in rels.split()}


def test_the_links_of_mementos_lead_through_all_of_them_and_back(
    editor: httpx.Client, viewer: httpx.Client, path: str
) -> None:
    for number in range(2, 5):
        ok(editor.patch(path, json={"description": f"{number}"}))
    editor.delete(path)
    met = []
    at: str | None = f"{path}?version=1"
    while at is not None:
        answer = viewer.get(at)
        met.append(ok(answer)["version"])
        said = {rel: to for rel, to, _ in links(answer) if rel != "memento"}
        assert said["original"] == said["timegate"] == path
        assert said["first"] == f"{path}?version=1"
        assert said["last"] == f"{path}?version={met[0] + 3}"
        for rel, to, moment in links(answer):
            if rel not in ("original", "timegate"):
                assert viewer.get(to).headers["memento-datetime"] == moment
        at = said.get("next")
        if at is not None:
            back = {rel: to for rel, to, _ in links(viewer.get(at)) if rel == "prev"}
            assert back == {"prev": answer.headers["content-location"]}
    assert met == [1, 2, 3, 4]


def test_a_list_as_of_a_moment_leads_to_the_list_and_to_itself(past: Past) -> None:
    wanted = {"limit": "2", "active_only": "true"}
    answer = past.editor.get(
        ASSISTANTS, params=wanted, headers={"accept-datetime": past.http_date(3.5)}
    )
    moment = answer.headers["memento-datetime"]
    assert moment == past.http_date(3.5)
    whole = f"{ASSISTANTS}?active_only=true&limit=2"
    then = answer.headers["content-location"]
    assert links(answer) == {
        ("original", whole, None),
        ("timegate", whole, None),
        ("memento", then, moment),
    }
    assert past.editor.get(then).content == answer.content


def test_a_memento_says_which_moment_and_which_version_it_is_of(past: Past) -> None:
    for asked in (
        {"params": {"as_of": past.text(3.5)}},
        {"params": {"version": "2"}},
        {"params": {"version": "2"}, "headers": {"accept-datetime": past.http_date(1.5)}},
        {"headers": {"accept-datetime": past.http_date(3.5)}},
    ):
        answer = past.viewer.get(ANNA, **asked)  # type: ignore[arg-type]  # its options
        assert ok(answer)["name"] == "Anna B."
        assert answer.headers["memento-datetime"] == past.http_date(3)
        assert answer.headers["content-location"] == f"{ANNA}?version=2"
        assert links(answer) == {
            ("original", ANNA, None),
            ("timegate", ANNA, None),
            ("memento", f"{ANNA}?version=1", past.http_date(1)),
            ("first", f"{ANNA}?version=1", past.http_date(1)),
            ("prev", f"{ANNA}?version=1", past.http_date(1)),
            ("memento", f"{ANNA}?version=2", past.http_date(3)),
            ("next", f"{ANNA}?version=4", past.http_date(6)),  # the third deleted it
            ("last", f"{ANNA}?version=4", past.http_date(6)),
            ("memento", f"{ANNA}?version=4", past.http_date(6)),
        }
        assert "accept-datetime" in answer.headers["vary"].lower()
        assert past.viewer.get(answer.headers["content-location"]).content == answer.content
        again = {"accept-datetime": answer.headers["memento-datetime"]}
        assert past.viewer.get(ANNA, headers=again).content == answer.content


def test_the_present_is_no_memento_but_varies_by_the_moment(past: Past) -> None:
    answer = past.viewer.get(ANNA)
    assert "memento-datetime" not in answer.headers
    assert "content-location" not in answer.headers
    assert "accept-datetime" in answer.headers["vary"].lower()


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-03-01T09:00:00Z",
        "Sun, 01 Mar 2026 09:00:00 +0100",
        "Sun, 99 Mar GMT",
        # Python has no year 10,000, nor numbers of any length for a year or a zone.
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 9999 23:59:59 -2359 GMT",
        "Fri, 01 Jan 999999999999 00:00:00 GMT",
        "Sun, 01 Mar 2026 09:00:00 +9999999999999999 GMT",
        # Dates that mail has, or HTTP had, or that never were.
        "Sun, 1 Mar 2026 09:00:00 GMT",
        "01 Mar 2026 09:00:00 GMT",
        "Sunday, 01-Mar-26 09:00:00 GMT",
        "Sun Mar  1 09:00:00 2026",
        "Sun, 01 Mar 2026 09:00 GMT",
        "Sun, 31 Feb 2026 09:00:00 GMT",
        "Sun, 01 Mar 2026 25:00:00 GMT",
        "Sun, 01 Mar 2026 09:00:00 GMT, Sun, 01 Mar 2026 09:00:00 GMT",
    ],
)
def test_an_accept_datetime_that_is_no_http_date_is_refused(
    past: Past, place: str, text: str
) -> None:
    answer = past.viewer.get(place, headers={"accept-datetime": text})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("Accept-Datetime: It should be one HTTP date")
    beside = {"as_of": past.text(2)}
    ignored = past.viewer.get(place, params=beside, headers={"accept-datetime": text})
    assert ignored.status_code == 400


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
def test_two_moments_that_are_accepted_are_refused(past: Past, place: str) -> None:
    headers = [("accept-datetime", past.http_date(day)) for day in (2, 3)]
    assert past.viewer.get(place, headers=headers).status_code == 400


# What clients send at all in a header.
_VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=9)


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@given(date=st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1)), junk=_VISIBLE)  # noqa: DTZ001  # written as GMT
@settings(max_examples=25, deadline=None)
def test_what_is_an_http_date_is_read_and_what_is_more_or_less_is_400(
    past: Past, place: str, date: datetime, junk: str
) -> None:
    """Other dates: give pytest a ``--hypothesis-seed``."""
    text = f"{date:%a, %d %b %Y %H:%M:%S} GMT"
    assert past.viewer.get(place, headers={"accept-datetime": text}).status_code in (200, 404)
    wrong = f"{text[:-4]}{junk}"
    assert past.viewer.get(place, headers={"accept-datetime": wrong}).status_code == 400


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@pytest.mark.parametrize("text", ["", "yesterday", "7", "2026-13-01T00:00:00Z", "2026-03-01"])
def test_a_moment_that_is_none_is_refused(past: Past, place: str, text: str) -> None:
    answer = past.viewer.get(place, params={"as_of": text})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "as_of"]


def test_a_version_and_a_moment_together_are_refused(past: Past) -> None:
    answer = past.viewer.get(ANNA, params={"version": "1", "as_of": past.text(2)})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "as_of"]


def test_what_a_reader_has_of_the_past_is_not_sent_again(past: Past) -> None:
    query = {"as_of": past.text(3.5)}
    tag = past.viewer.get(ANNA, params=query).headers["etag"]
    again = past.viewer.get(ANNA, params=query, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["memento-datetime"] == past.http_date(3)


def names(past: Past, day: float | None, **query: Any) -> list[str]:
    if day is not None:
        query["as_of"] = past.text(day)
    return [one["name"] for one in ok(past.editor.get(ASSISTANTS, params=query))]


@pytest.mark.parametrize(
    ("day", "listed", "active"),
    [
        (0.5, [], []),
        (1, ["Anna"], ["Anna"]),
        (2, ["Ben", "Anna"], ["Anna"]),
        (3, ["Ben", "Anna B."], ["Anna B."]),
        (4, ["Ben"], []),
        (5, ["Ben"], ["Ben"]),
        (6, ["Ben", "Anna B."], ["Ben", "Anna B."]),
        (7, ["Cleo", "Ben", "Anna B."], ["Cleo", "Ben", "Anna B."]),
        (None, ["Cleo", "Ben", "Anna B."], ["Cleo", "Ben", "Anna B."]),
    ],
)
def test_the_list_as_of_a_moment_has_those_who_lived_then_as_they_were_then(
    past: Past, day: float | None, listed: list[str], active: list[str]
) -> None:
    assert names(past, day) == listed
    assert names(past, day, active_only=True) == active
    mine = [name for name in listed if name != "Ben"]  # whom the admin made
    assert names(past, day, my_assistants_only=True) == mine
    for skip, limit in itertools.product(range(4), range(1, 4)):
        assert names(past, day, skip=skip, limit=limit) == listed[skip : skip + limit]
        paged = names(past, day, skip=skip, limit=limit, active_only=True)
        assert paged == active[skip : skip + limit]


def test_each_of_a_list_as_of_a_moment_is_what_it_is_alone(past: Past) -> None:
    for day in range(1, 8):
        query = {"as_of": past.text(day)}
        for one in ok(past.editor.get(ASSISTANTS, params=query)):
            assert ok(past.editor.get(f"{ASSISTANTS}/{one['id']}", params=query)) == one


def test_a_list_of_the_past_says_when_it_is_of_and_is_not_sent_twice(past: Past) -> None:
    by_header = past.editor.get(ASSISTANTS, headers={"accept-datetime": past.http_date(3.5)})
    by_query = past.editor.get(ASSISTANTS, params={"as_of": past.text(3.5)})
    assert ok(by_header) == ok(by_query)
    assert by_query.headers["memento-datetime"] == past.http_date(3.5)
    assert "accept-datetime" in by_query.headers["vary"].lower()
    assert "memento-datetime" not in past.editor.get(ASSISTANTS).headers
    tag = {"if-none-match": by_query.headers["etag"]}
    again = past.editor.get(ASSISTANTS, params={"as_of": past.text(3.5)}, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    for day in (3.7, 4):
        other = past.editor.get(ASSISTANTS, params={"as_of": past.text(day)}, headers=tag)
        assert other.status_code == 200


def test_the_past_of_an_assistant_that_was_deleted_since_is_read_where_it_lived(
    editor: httpx.Client, viewer: httpx.Client, path: str
) -> None:
    created = ok(viewer.get(path))
    editor.delete(path)
    assert viewer.get(path).status_code == 404
    for query in ({"version": "1"}, {"as_of": created["created_at"]}):
        assert ok(viewer.get(path, params=query)) == created
    for query in ({"version": "2"}, {"version": "latest"}, {"as_of": utc_now().isoformat()}):
        assert viewer.get(path, params=query).status_code == 404
