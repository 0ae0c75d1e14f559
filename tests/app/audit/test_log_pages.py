"""The pages of the log join to the whole list, while it grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.app.audit.log_reader import LOGS, NEXT, ids, logs, look, pages


def offset_pages(client: httpx.Client, between: Callable[[], object] = lambda: None) -> list[int]:
    """The ids on every page, by offset."""
    found: list[int] = []
    while True:
        page = look(client, limit=7, offset=len(found))["logs"]
        found += ids(page)
        if len(page) < 7:
            return found
        between()


@pytest.fixture
def grown(editor: httpx.Client, assistant: dict[str, Any]) -> Callable[[], object]:
    """A log of 30 events, and what adds one."""

    def change() -> object:
        number = time.monotonic_ns()
        path = f"{ASSISTANTS}/{assistant['id']}"
        return editor.patch(path, json={"description": f"{number}"}).raise_for_status()

    for _ in range(29):
        change()
    return change


def test_pages_join_to_the_whole_list(admin: httpx.Client, grown: object) -> None:
    assert grown
    whole = ids(logs(admin))
    assert len(whole) == 30
    for limit in (1, 7, 10, 29, 30, 31, 500):
        joined = pages(admin, limit=limit)
        assert [one for page in joined for one in page] == whole
        assert [len(page) for page in joined[:-1]] == [limit] * (len(joined) - 1)
        assert joined[-1]  # no link leads to nothing
    assert offset_pages(admin) == whole


def test_new_events_do_not_shift_the_pages_of_a_cursor(
    admin: httpx.Client, grown: Callable[[], object]
) -> None:
    whole = ids(logs(admin))
    assert [one for page in pages(admin, grown, limit=7) for one in page] == whole
    # The control: they do shift those of an offset.
    whole = ids(logs(admin))
    assert offset_pages(admin, grown) != whole


def test_a_cursor_keeps_the_filters_and_the_total(searched: httpx.Client) -> None:
    start = logs(searched)[-3]["event_timestamp"]
    query = {"resource_type": "api_key", "start_date": start.replace("Z", "+00:00")}
    whole = ids(logs(searched, **query))
    assert [one for page in pages(searched, limit=4, **query) for one in page] == whole
    answer = searched.get(LOGS, params={"limit": 4, **query})
    link = NEXT.fullmatch(answer.headers["link"])
    assert link
    assert searched.get(link[1]).json()["total"] == len(whole)


def test_an_offset_starts_a_walk_that_the_cursor_goes_on_with(searched: httpx.Client) -> None:
    whole = ids(logs(searched))
    joined = pages(searched, limit=5, offset=8)
    assert [one for page in joined for one in page] == whole[8:]


def test_an_offset_beyond_the_log_is_an_empty_page(searched: httpx.Client) -> None:
    total = len(logs(searched))
    for offset in (total, total + 1, 2**53):
        page = look(searched, offset=offset)
        assert (page["logs"], page["total"], page["offset"]) == ([], total, offset)


def test_a_deep_page_costs_as_many_statements_as_the_first(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Deep'}).json()['id']}"
        for number in range(250):
            admin.patch(path, json={"description": f"{number}"})
        urls = [f"{LOGS}?limit=5&event_type=assistant_settings_changed"]
        while link := NEXT.fullmatch(admin.get(urls[-1]).headers.get("link", "")):
            urls.append(link[1])
        assert len(urls) == 50

        def cost(url: str) -> int:
            with stored.statements() as seen:
                admin.get(url)
            return len([one for one in seen if f"({organization.id}," in one.bound])

        assert {cost(url) for url in (urls[0], urls[25], urls[48])} == {cost(urls[0])}
        assert cost(urls[0]) > 0
