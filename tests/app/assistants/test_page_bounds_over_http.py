"""Lists over HTTP end by number and by bytes, and their pages together hold every row once."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from app import pages
from app.assistants import searching
from events import pointers
from tests.app import stored
from tests.conftest import ASSISTANTS

NEXT = re.compile(r'<([^>]+)>; rel="next"')
FEW_BYTES = (1, 700, 3000)  # less than a row, a few rows, and many


def create(client: httpx.Client, **body: Any) -> str:
    answer = client.post(ASSISTANTS, json=body)
    assert answer.status_code == 201
    return f"{ASSISTANTS}/{answer.json()['id']}"


@pytest.fixture(scope="module")
def long(admin: httpx.Client) -> str:
    """An assistant with large and small versions, rollbacks of all kinds, and two others."""
    path = create(admin, name="Long", description="One", llm_settings={"system_prompt": "p" * 900})
    for other in ("Second", "Third"):
        create(admin, name=other, description=other * 90)
    for number, size in enumerate((5, 70_000, 20, 900, 3, 40_000)):
        llm = {"system_prompt": f"{number}" * size, "max_tokens": 100 + number}
        assert admin.patch(path, json={"llm_settings": llm}).status_code == 200
        assert admin.patch(path, json={"description": f"{number} " * 9}).status_code == 200
    rollback = f"{path}/rollback"
    for body in (
        {"to_version": 3},
        {"to_version": 5, "paths": ["/llm_settings/system_prompt"]},
        {"to_version": 2},
        {"to_version": 9, "paths": ["/description"]},
    ):
        assert admin.post(rollback, json=body).status_code == 200
    undo = {"version": "latest"}
    assert admin.post(f"{path}/undo", json=undo).status_code == 200
    assert admin.put(f"{path}/versions/3/label", json={"label": "third"}).status_code == 200
    return path


@pytest.fixture(scope="module")
def change_set(admin: httpx.Client, long: str) -> str:
    ids = [one["id"] for one in admin.get(ASSISTANTS).json()]
    assert len(ids) == 3
    assert admin.get(long).json()["id"] in ids
    patch = {"llm_settings": {"welcome_message": "w" * 700}}
    answer = admin.post("/api/v1/change-sets", json={"assistant_ids": ids, "patch": patch})
    assert answer.status_code == 201
    return f"/api/v1/change-sets/{answer.json()['change_set_id']}"


def rows_of_all_pages(client: httpx.Client, url: str) -> tuple[list[Any], int]:
    """The rows of a list that is followed to its end, and the number of its pages."""
    rows: list[Any] = []
    count = 0
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        page = found["assistants"] if isinstance(found, dict) else found
        rows += page
        count += 1
        assert count < 200
        link = NEXT.fullmatch(answer.headers.get("link", ""))
        assert page or link is None or "path=" in url
        url = link[1] if link else ""
    return rows, count


LISTS = (
    "/versions?limit=200",
    "/versions?limit=3",
    "/settings-history?limit=200",
    "/settings-history?limit=4",
    "/settings-history?limit=200&path=/llm_settings",
    "/settings-history?limit=200&path=/description&since=2000-01-01T00:00:00Z",
    "/blame",
    "/blame?version=9",
    "/blame?path=/llm_settings/system_prompt&limit=200",
)


@pytest.mark.parametrize("most", FEW_BYTES)
@pytest.mark.parametrize("query", LISTS)
def test_pages_that_bytes_end_hold_what_one_page_held(
    admin: httpx.Client, long: str, query: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, before = rows_of_all_pages(admin, long + query)
    monkeypatch.setattr(pages, "MOST_BYTES", most)
    rows, count = rows_of_all_pages(admin, long + query)
    assert rows == whole
    assert count > before


@pytest.mark.parametrize("most", FEW_BYTES)
def test_activity_and_a_change_sets_diff_end_by_bytes_as_well(
    admin: httpx.Client, long: str, change_set: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = (f"{ASSISTANTS}/activity", f"{ASSISTANTS}/activity?sort=name", f"{change_set}/diff")
    assert long
    whole = [rows_of_all_pages(admin, url)[0] for url in urls]
    totals = [admin.get(url).json()["total"] for url in urls[:2]]
    monkeypatch.setattr(pages, "MOST_BYTES", most)
    assert [rows_of_all_pages(admin, url)[0] for url in urls] == whole
    assert [admin.get(url).json()["total"] for url in urls[:2]] == totals == [3, 3]


def test_a_blame_goes_on_at_the_version_at_which_it_began(
    admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = create(admin, name="Blamed")
    whole, _ = rows_of_all_pages(admin, f"{path}/blame")
    monkeypatch.setattr(pages, "MOST_BYTES", 3000)
    first = admin.get(f"{path}/blame")
    assert admin.patch(path, json={"description": "Since"}).status_code == 200
    link = NEXT.fullmatch(first.headers["link"])
    assert link is not None
    assert first.json() + rows_of_all_pages(admin, link[1])[0] == whole
    assert rows_of_all_pages(admin, f"{path}/blame")[0] != whole


@pytest.mark.parametrize("query", [LISTS[4], LISTS[5], LISTS[8]])
def test_a_search_that_stops_for_time_goes_on_with_the_next_page(
    admin: httpx.Client, long: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, before = rows_of_all_pages(admin, long + query)
    monkeypatch.setattr(searching, "SECONDS", -1.0)
    rows, count = rows_of_all_pages(admin, long + query)
    assert rows == whole
    assert count > before == 1


def test_a_page_that_searches_nothing_does_not_stop_for_time(
    admin: httpx.Client, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SECONDS", -1.0)
    for query in LISTS[:4:2]:
        assert rows_of_all_pages(admin, long + query)[1] == 1


def test_the_audit_log_is_paged_by_number_alone(
    admin: httpx.Client, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients add ``limit`` to ``offset``: a page that ended early would lose them rows."""
    assert long
    whole = admin.get("/api/v1/audit/logs?limit=500").json()
    monkeypatch.setattr(pages, "MOST_BYTES", 1)
    assert admin.get("/api/v1/audit/logs?limit=500").json() == whole


# -- links between versions


def expected_links(entries: list[dict[str, Any]]) -> dict[int, list[int]]:
    """What each version reverts, by its cause and the paths of all others, one by one."""
    paths = {entry["version"]: entry["changed_paths"] for entry in entries}
    reverts: dict[int, list[int]] = {}
    for entry in entries:
        cause, version = entry["cause"], entry["version"]
        if "undoes" in cause:
            reverts[version] = [cause["undoes"]]
        elif "to_version" in cause:
            chosen = cause.get("paths", [""])
            reverts[version] = [
                other
                for other in range(version - 1, cause["to_version"], -1)
                if any(pointers.overlaps(one, path) for one in chosen for path in paths[other])
            ]
        else:
            reverts[version] = []
    return reverts


@pytest.mark.parametrize("limit", [1, 3, 200])
@pytest.mark.parametrize("kind", ["versions", "settings-history"])
def test_links_are_those_that_causes_and_paths_say_on_every_page(
    admin: httpx.Client, long: str, kind: str, limit: int
) -> None:
    entries, _ = rows_of_all_pages(admin, f"{long}/versions?limit=200")
    expected = expected_links(entries)
    assert sum(map(bool, expected.values())) == 5
    shown, _ = rows_of_all_pages(admin, f"{long}/{kind}?limit={limit}")
    assert len(shown) >= len(entries) - 1
    for entry in shown:
        by = sorted(other for other, reverts in expected.items() if entry["version"] in reverts)
        assert (entry["reverts"], entry["reverted_by"]) == (expected[entry["version"]], by)


def test_links_of_a_page_take_as_many_queries_as_those_of_a_row(
    admin: httpx.Client, long: str
) -> None:
    counts = []
    for limit in (4, 200):
        with stored.statements() as statements:
            assert admin.get(f"{long}/versions?limit={limit}").status_code == 200
        counts.append(sum("reversals" in one.text for one in statements))
    assert counts == [1, 1]
