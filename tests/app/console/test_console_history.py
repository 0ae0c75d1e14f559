"""The history: a timeline, one change, and a comparison of any two versions."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.console import LONG, Browser, field, plain

pytestmark = pytest.mark.usefixtures("past")

_VERSIONS = re.compile(r">version (\d+)</a>")


def versions(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    return [int(number) for number in _VERSIONS.findall(answer.text)]


def test_the_timeline_shows_each_change_newest_first(
    reader: Browser, viewer: httpx.Client, at: str
) -> None:
    answer = reader.get(f"{at}/history")
    assert versions(answer) == [7, 6, 5, 4, 3, 2]
    for entry in viewer.get(f"/api/v1{at}/settings-history").json():
        assert f'datetime="{entry["created_at"][:19]}' in answer.text
        assert entry["change_description"] in answer.text
    assert ">Model › Prompt</bdi>" in answer.text  # noqa: RUF001
    assert "sk-" not in answer.text


def test_before_and_after_stand_in_the_timeline(reader: Browser, at: str) -> None:
    text = plain(reader.get(f"{at}/history"))
    for said in (
        "<del>1.0</del> → <ins>1.5</ins>",
        "<del>today</del><ins>now</ins>",
        "<del>not set</del> → <ins>set (hidden)</ins>",
        "Replaced by another secret",
    ):
        assert (
            said in text or said.replace("</del>", ".</del>").replace("</ins>", ".</ins>") in text
        )


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"path": "/llm_settings"}, [5, 4, 2]),
        ({"path": "llm_settings"}, [5, 4, 2]),
        ({"path": "Temperature"}, [2]),
        ({"path": "temperat"}, [2]),
        ({"path": "Model › Prompt"}, [5, 4]),  # noqa: RUF001
        ({"actor": "admin key"}, [5, 3]),
        ({"actor": "admin key", "path": "Prompt"}, [5]),
        ({"kind": "edit"}, [7, 6, 5, 4, 3, 2]),
        ({"kind": "back"}, []),
        ({"period": "today"}, [7, 6, 5, 4, 3, 2]),
        ({"period": "month", "zone": "Europe/Rome"}, [7, 6, 5, 4, 3, 2]),
        ({"since": "2020-01-01"}, [7, 6, 5, 4, 3, 2]),
        ({"since": "2020-01-01T00:00"}, [7, 6, 5, 4, 3, 2]),
        ({"until": "2020-01-01"}, []),
        ({"until": "2020-01-01T00:00"}, []),
    ],
)
def test_the_timeline_is_filtered_by_what_is_picked_or_typed(
    reader: Browser, at: str, filters: dict[str, str], found: list[int]
) -> None:
    answer = reader.get(f"{at}/history", params=filters)
    assert versions(answer) == found
    assert ("No changes match these filters." in answer.text) == (not found)
    assert f'href="{at}/history" data-clear' in answer.text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("path", "no such setting", "No setting is called no such setting."),
        ("path", "/~", "No setting is called /~."),
        ("kind", "x", "x is not one of the choices."),
        ("period", "x", "x is not one of the choices."),
        ("since", "yesterday", "yesterday is not a date"),
        ("until", "9999-12-31", "9999-12-31 is not a date"),
    ],
)
def test_a_filter_that_cannot_be_read_is_named_and_the_others_stay(
    reader: Browser, at: str, name: str, text: str, said: str
) -> None:
    answer = reader.get(f"{at}/history", params={"actor": "admin key", name: text})
    assert versions(answer) == ([] if name == "path" else [5, 3])
    assert said in html.unescape(answer.text)
    assert '<option value="admin key" selected>' in answer.text
    assert '?actor=admin+key" title="Remove filter' in answer.text


def test_each_filter_can_be_removed_alone(reader: Browser, at: str) -> None:
    filters = {"path": "Prompt", "actor": "admin key", "since": "2020-01-01"}
    page = reader.get(f"{at}/history", params=filters).text
    chips = re.findall(r'class="chip" href="([^"]+)" title="Remove', page)
    left = [set(httpx.URL(html.unescape(chip)).params) for chip in chips]
    assert left == [set(filters) - {name} for name in filters]


def test_a_label_is_set_and_removed_in_the_page(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    back = f"{at}/history?actor=admin+key#v3"
    form = {"label": " calm ", "back": back}
    assert operator.submit(f"{at}/versions/3/label", form).headers["location"] == back
    assert viewer.get(f"/api/v1{at}/versions/3").json()["label"] == "calm"
    assert 'class="chip label"><bdi>calm</bdi>' in operator.get(f"{at}/history").text
    elsewhere = {"remove": "on", "label": "calm", "back": "//example.com"}
    answer = operator.submit(f"{at}/versions/3/label", elsewhere)
    assert answer.headers["location"] == "/"
    assert viewer.get(f"/api/v1{at}/versions/3").json()["label"] is None


def test_a_label_that_is_taken_is_refused_on_the_page_of_the_change(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    editor.put(f"/api/v1{at}/versions/2/label", json={"label": "calm"})
    answer = operator.submit(f"{at}/versions/3/label", {"label": "calm"})
    assert answer.status_code == 409
    assert '<p class="message bad" role="alert">' in answer.text
    assert "<h2>Version 3</h2>" in answer.text


def test_the_line_over_time_marks_labels_and_what_was_taken_back(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    editor.put(f"/api/v1{at}/versions/3/label", json={"label": "calm"})
    editor.post(f"/api/v1{at}/undo", json={"version": 2})
    page = reader.get(f"{at}/history").text
    (line,) = re.findall(r"<svg viewBox.*?</svg>", page, re.DOTALL)
    assert 'aria-label="8 versions over time, 1 undo or restore, 1 label"' in line
    assert [line.count(f'rect class="{kind}"') for kind in ("change", "back", "label")] == [6, 1, 1]
    assert 'class="chosen"' not in line
    assert 'class="chosen"' in reader.get(f"{at}/history?since=2020-01-01").text


def test_checked_versions_are_compared_and_one_alone_with_the_current(
    reader: Browser, at: str
) -> None:
    for query, chosen in (("version=5&version=2", [2, 5]), ("version=3", [3, 7])):
        page = reader.get(f"{at}/compare?{query}").text
        assert re.findall(r'<option value="(\d+)" selected>', page) == [str(one) for one in chosen]


def test_names_and_reasons_cannot_turn_the_text_around_them(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    turned, shown = "\u202eboth", r"\u202eboth"
    body = {"name": turned, "idle_timeout": 3, "change_description": turned}
    editor.patch(f"/api/v1{at}", json=body)
    for page in (at, f"{at}/history", f"{at}/versions/8"):
        text = reader.get(page).text
        assert f"<h1><bdi>{shown}</bdi></h1>" in text
        assert re.search(rf"<bdi[^>]*>{re.escape(shown)}</bdi>", text.partition("</h1>")[2])
        assert "<bdi>editor key</bdi>" in text
    assert f"<bdi>{shown}</bdi></a>" in reader.get("/assistants").text


def test_older_changes_are_on_the_next_page_without_script(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    for number in range(30):
        editor.patch(f"/api/v1{at}", json={"idle_timeout": number})
    first = reader.get(f"{at}/history", params={"actor": "editor key"})
    (link,) = re.findall(r'href="([^"]+)" rel="next">Older', first.text)
    second = reader.get(html.unescape(link))
    assert versions(first) + versions(second) == [*range(37, 7, -1), 7, 6, 4, 2]
    assert '<option value="editor key" selected>' in second.text


def test_a_text_is_compared_by_words_and_a_number_as_before_and_after(
    reader: Browser, at: str
) -> None:
    by_words = plain(reader.get(f"{at}/versions/5"))
    assert "for them <del>today.</del><ins>now.</ins>" in by_words or (
        "for them <del>today</del><ins>now</ins>." in by_words
    )
    assert "<del>1.0</del> → <ins>1.5</ins>" in plain(reader.get(f"{at}/versions/3"))


def test_an_object_is_shown_with_its_members(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    holds: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a": None, "c": {}}]
    for held in holds:
        assert editor.patch(f"/api/v1{at}", json={"custom_settings": held}).is_success
    removed = plain(reader.get(f"{at}/versions/9"))
    assert '<del>{ "b": 1 }</del>' in removed
    assert "<ins>none</ins>" in removed  # the control: an empty one holds nothing


def test_a_secret_is_rotated_and_never_shown(reader: Browser, at: str) -> None:
    assert "Replaced by another secret" in plain(reader.get(f"{at}/versions/7"))
    assert "<del>not set</del> → <ins>set (hidden)</ins>" in plain(reader.get(f"{at}/versions/6"))


def test_the_creation_is_a_version_too(reader: Browser, at: str) -> None:
    assert "Created with" in plain(reader.get(f"{at}/versions/1"))
    assert reader.get(f"{at}/versions/99").status_code == 404


def test_any_two_versions_are_compared(reader: Browser, at: str) -> None:
    answer = reader.get(f"{at}/compare", params={"from": "1", "to": "3"})
    assert "2 differences" in answer.text
    for version, name in ((2, "editor key"), (3, "admin key")):
        assert f'/versions/{version}"><bdi>{name}</bdi>, version {version}</a>' in answer.text
    assert "<del>0.5</del> → <ins>0.2</ins>" in plain(answer)
    assert "No differences" in reader.get(f"{at}/compare?from=2&to=2").text
    assert "1 difference<" in reader.get(f"{at}/compare").text
    assert "No version is called" in reader.get(f"{at}/compare?from=x&to=2").text
    assert "Version 5, " in reader.get(f"{at}/compare").text
    assert "unchanged</h2>" in reader.get(f"{at}/compare").text


def test_a_version_is_found_by_a_label_of_any_letters(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    said = editor.put(f"/api/v1{at}/versions/3/label", json={"label": "гладко 100%"})
    assert said.is_success
    named = quote("label:гладко 100%")
    assert "<h2>Version 3 " in operator.get(f"{at}/versions/{named}").text
    assert operator.get(f"{at}/versions/{quote('label:of none')}").status_code == 404


@pytest.mark.parametrize("below", ["/history", "/versions/2", "/compare", "/undo/3", "/rollback/3"])
def test_another_organizations_history_is_missing(
    outsider: Browser, operator: Browser, at: str, below: str
) -> None:
    assert outsider.get(at + below).status_code == 404
    assert operator.get(at + below).status_code == 200  # the control


@pytest.mark.parametrize("version", ["0", "x", "99", "latest", "1e9", "-1"])
@pytest.mark.parametrize("kind", ["undo", "rollback", "versions"])
def test_an_invalid_version_shows_an_error(
    operator: Browser, at: str, kind: str, version: str
) -> None:
    answer = operator.get(f"{at}/{kind}/{version}")
    assert answer.status_code in (200, 404, 422)
    assert "<h1>" in answer.text


def columns(answer: httpx.Response) -> dict[str, str]:
    """The words of the first change's columns, and what is marked in them."""
    assert answer.status_code == 200
    found = re.findall(r'data-side="(\w+)">(.*?)</div>', answer.text, re.DOTALL)
    plain_texts = [
        (side, " ".join(html.unescape(re.sub(r"<(?!/?(?:ins|del)>)[^>]*>", "", text)).split()))
        for side, text in found
    ]
    return dict(plain_texts)


def test_side_by_side_the_left_shows_deletions_and_the_right_insertions(
    reader: Browser, at: str
) -> None:
    by_words = columns(reader.get(f"{at}/versions/5", params={"view": "side"}))
    assert by_words["before"].startswith(f"Before {LONG[:40]}")
    assert re.search(r"<del>today\.?</del>", by_words["before"])
    assert re.search(r"<ins>now\.?</ins>", by_words["after"])
    assert "<ins>" not in by_words["before"]
    assert "<del>" not in by_words["after"]
    numbers = columns(reader.get(f"{at}/compare?from=2&to=3&view=side"))
    assert numbers == {"before": "Before <del>1.0</del>", "after": "After <ins>1.5</ins>"}


def test_side_by_side_a_rotated_secret_stays_hidden(reader: Browser, at: str) -> None:
    answer = reader.get(f"{at}/versions/7", params={"view": "side"})
    assert not columns(answer)
    assert "Replaced by another secret" in plain(answer)
    assert "sk-" not in answer.text


def test_the_view_is_kept_from_change_to_change(reader: Browser, at: str) -> None:
    side = reader.get(f"{at}/versions/5", params={"view": "side"}).text
    assert f'href="{at}/versions/4?view=side"' in side
    assert f'href="{at}/versions/6?view=side"' in side
    assert f'href="{at}/compare?from=5&amp;to=7&amp;view=side"' in side
    compared = reader.get(f"{at}/compare?from=2&to=label:a%26b&view=side")
    assert 'href="?from=2&amp;to=label%3Aa%26b"' in compared.text
    compared = reader.get(f"{at}/compare?from=2&to=5&view=side")
    assert field(compared.text, "view") == "side"
    assert 'href="?from=2&amp;to=5"' in compared.text  # the way back to inline


@pytest.mark.parametrize("view", ["", "?view=", "?view=inline", "?view=SIDE"])
def test_changes_are_shown_inline_unless_the_address_says_otherwise(
    reader: Browser, at: str, view: str
) -> None:
    answer = reader.get(f"{at}/versions/5{view}")
    assert not columns(answer)
    assert f'href="{at}/versions/4"' in answer.text
    assert columns(reader.get(f"{at}/versions/5?view=side"))  # the control


def test_every_page_of_the_timeline_marks_the_entries_for_the_script(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    for number in range(30):
        editor.patch(f"/api/v1{at}", json={"idle_timeout": number})
    first = reader.get(f"{at}/history").text
    (link,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = reader.get(html.unescape(link)).text
    for page, count in ((first, 25), (second, 11)):
        (entries,) = re.findall(r"<ol[^>]* data-endless>(.*?)</ol>", page, re.DOTALL)
        (pager,) = re.findall(r"<nav[^>]* data-endless-pager>(.*?)</nav>", page, re.DOTALL)
        assert entries.count('<li class="entry"') == count
        assert ('rel="next"' in pager) == (page is first)
        assert 'role="status" data-endless-status' in page


def test_the_filters_offer_every_setting_and_everybody_who_changed_one(
    reader: Browser, at: str
) -> None:
    page = reader.get(f"{at}/history").text
    listed = page.partition('id="settings"')[2].partition("</datalist>")[0]
    offered = [html.unescape(one) for one in re.findall(r'<option value="([^"]*)">', listed)]
    assert len(offered) > 150
    assert all(
        "No setting is called" not in reader.get(f"{at}/history", params={"path": one}).text
        for one in offered[::25]
    )
    for name in ("editor key", "admin key"):
        assert page.count(f'<option value="{name}">') == 1
