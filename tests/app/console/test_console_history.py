from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import Server
from tests.console import Browser, field

_VERSIONS = re.compile(r">version (\d+)</a>")
LONG = "Greet the caller, find out what they need, and book or move an appointment for them today."


@pytest.fixture
def at(assistant: dict[str, Any], editor: httpx.Client, admin: httpx.Client) -> str:
    """An assistant that two people have changed, version by version."""
    path = f"/assistants/{assistant['id']}"
    changes: list[tuple[httpx.Client, dict[str, Any], str]] = [
        (editor, {"llm_settings": {"temperature": 0.2}}, "Calmer"),
        (admin, {"tts_settings": {"speed": 1.5}}, "Faster"),
        (editor, {"llm_settings": {"system_prompt": LONG}}, "Prompt"),
        (admin, {"llm_settings": {"system_prompt": LONG.replace("today", "now")}}, "At once"),
        (editor, {"llm_provider_config": {"api_key": "sk-1"}}, "Key"),
        (editor, {"llm_provider_config": {"api_key": "sk-2"}}, "Other key"),
    ]
    for client, body, reason in changes:
        assert client.patch(f"/api/v1{path}", json=body | {"change_description": reason}).is_success
    return path


def versions(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    return [int(number) for number in _VERSIONS.findall(answer.text)]


def plain(answer: httpx.Response) -> str:
    """The words of a page, and where they were inserted or deleted."""
    assert answer.status_code == 200
    text = re.sub(r"<(?!/?(?:ins|del)>)[^>]*>", "", answer.text)
    return " ".join(html.unescape(text).split())


def test_the_timeline_tells_who_when_why_and_where_newest_first(
    reader: Browser, viewer: httpx.Client, at: str
) -> None:
    answer = reader.get(f"{at}/history")
    assert versions(answer) == [7, 6, 5, 4, 3, 2]
    for entry in viewer.get(f"/api/v1{at}/settings-history").json():
        assert f'datetime="{entry["created_at"][:19]}' in answer.text
        assert entry["change_description"] in answer.text
    assert 'class="chip">LLM settings › System prompt' in answer.text  # noqa: RUF001
    assert "sk-" not in answer.text


def test_the_timeline_is_filtered_by_what_the_address_says(reader: Browser, at: str) -> None:
    history = f"{at}/history"
    assert versions(reader.get(history, params={"path": "/llm_settings"})) == [5, 4, 2]
    assert versions(reader.get(history, params={"actor": "admin key"})) == [5, 3]
    assert versions(reader.get(history, params={"until": "2020-01-01T00:00"})) == []
    assert len(versions(reader.get(history, params={"since": "2020-01-01T00:00"}))) == 6
    refused = reader.get(history, params={"since": "yesterday"})
    assert refused.status_code == 422
    assert "RFC 3339" in refused.text


def test_names_and_reasons_turn_nothing_around_them(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    turned, shown = "\u202eboth", r"\u202eboth"
    body = {"name": turned, "idle_timeout": 3, "change_description": turned}
    editor.patch(f"/api/v1{at}", json=body)
    for page in (at, f"{at}/history", f"{at}/versions/8"):
        text = reader.get(page).text
        assert f"<h1><bdi>{shown}</bdi></h1>" in text
        assert text.count(f"<bdi>{shown}</bdi>") >= 2
        assert "<bdi>editor key</bdi>" in text
    assert f"<bdi>{shown}</bdi></a>" in reader.get("/").text


def test_older_changes_are_a_page_away_without_script(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    for number in range(30):
        editor.patch(f"/api/v1{at}", json={"idle_timeout": number})
    first = reader.get(f"{at}/history", params={"actor": "editor key"})
    (link,) = re.findall(r'href="([^"]+)" rel="next">Older', first.text)
    second = reader.get(html.unescape(link))
    assert versions(first) + versions(second) == [*range(37, 7, -1), 7, 6, 4, 2]
    assert 'value="editor key"' in second.text


def test_a_text_is_compared_by_words_and_a_number_as_before_and_after(
    reader: Browser, at: str
) -> None:
    by_words = plain(reader.get(f"{at}/versions/5"))
    assert "for them <del>today.</del><ins>now.</ins>" in by_words or (
        "for them <del>today</del><ins>now</ins>." in by_words
    )
    assert "<del>1.0</del> → <ins>1.5</ins>" in plain(reader.get(f"{at}/versions/3"))


def test_an_object_is_shown_with_what_it_holds(
    reader: Browser, editor: httpx.Client, at: str
) -> None:
    holds: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a": None, "c": {}}]
    for held in holds:
        assert editor.patch(f"/api/v1{at}", json={"custom_settings": held}).is_success
    removed = plain(reader.get(f"{at}/versions/9"))
    assert '<del>{ "b": 1 }</del>' in removed
    assert "<ins>none</ins>" in removed  # the control: an empty one holds nothing


def test_a_secret_is_rotated_and_never_shown(reader: Browser, at: str) -> None:
    assert "rotated" in plain(reader.get(f"{at}/versions/7"))
    assert "<del>not set</del> → <ins>set (hidden)</ins>" in plain(reader.get(f"{at}/versions/6"))


def test_the_creation_is_a_version_too(reader: Browser, at: str) -> None:
    assert "Created with" in plain(reader.get(f"{at}/versions/1"))
    assert reader.get(f"{at}/versions/99").status_code == 404


def test_any_two_versions_are_compared(reader: Browser, at: str) -> None:
    answer = reader.get(f"{at}/compare", params={"from": "1", "to": "3"})
    assert "2 differences" in answer.text
    for version, name in ((2, "editor key"), (3, "admin key")):
        assert f'/versions/{version}"><bdi>{name}</bdi>, v{version}</a>' in answer.text
    assert "<del>0.5</del> → <ins>0.2</ins>" in plain(answer)
    assert "Nothing differs" in reader.get(f"{at}/compare?from=2&to=2").text
    assert "1 difference<" in reader.get(f"{at}/compare").text
    assert reader.get(f"{at}/compare?from=x&to=2").status_code == 422


def of_plan(page: str) -> dict[str, Any]:
    """The form of a plan, as it is sent where nothing was left out."""
    names = ("etag", "once", "on_conflict", "planned")
    boxes = [html.unescape(path) for path in re.findall(r'name="path" value="([^"]*)"', page)]
    return {name: field(page, name) for name in names} | {"path": boxes}


def test_undo_shows_its_plan_and_then_takes_back_one_change_alone(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    before = viewer.get(f"/api/v1{at}").json()
    planned = operator.get(f"{at}/undo/3")
    assert "<del>1.5</del> → <ins>1.0</ins>" in plain(planned)
    assert viewer.get(f"/api/v1{at}").json() == before  # a plan changes nothing
    form = of_plan(planned.text)
    answers = [
        operator.submit(f"{at}/undo/3", form | {"change_description": "Too fast"}) for _ in range(2)
    ]
    assert [one.headers["location"] for one in answers] == [f"{at}/versions/8"] * 2
    found = viewer.get(f"/api/v1{at}").json()
    assert found["tts_settings"]["speed"] == 1.0
    assert found["llm_settings"] == before["llm_settings"]
    assert "taken back by v8" in operator.get(f"{at}/history").text


def test_an_undo_takes_the_chosen_fields_alone(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {"idle_timeout": 9, "llm_settings": {"temperature": 0.9}}
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    form = of_plan(operator.get(f"{at}/undo/8").text)
    assert sorted(form["path"]) == ["/idle_timeout", "/llm_settings/temperature"]
    none = operator.submit(f"{at}/undo/8", form | {"path": []})
    assert none.status_code == 422
    answer = operator.submit(f"{at}/undo/8", form | {"path": ["/llm_settings/temperature"]})
    assert answer.headers["location"] == f"{at}/versions/9"
    found = editor.get(f"/api/v1{at}").json()
    assert (found["idle_timeout"], found["llm_settings"]["temperature"]) == (9, 0.2)


def test_an_undo_of_what_was_changed_again_asks_what_becomes_of_it(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    asked = operator.get(f"{at}/undo/4")
    assert "Changed again since" in asked.text
    assert "admin key" in asked.text
    forced = operator.get(f"{at}/undo/4", params={"on_conflict": "force"})
    form = of_plan(forced.text)
    assert operator.submit(f"{at}/undo/4", form).status_code == 303
    assert "helpful" in viewer.get(f"/api/v1{at}").json()["llm_settings"]["system_prompt"]


def test_a_plan_tells_a_text_by_words(operator: Browser, at: str) -> None:
    back, there = plain(operator.get(f"{at}/undo/5")), plain(operator.get(f"{at}/versions/5"))
    for one, other in ((back, "<del>now"), (there, "<del>today")):
        assert other in one
        assert "<del>Greet" not in one


def test_going_back_names_whose_work_is_lost_and_takes_the_chosen_fields_alone(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    planned = operator.get(f"{at}/rollback/1")
    words = plain(planned)
    for said in ("Later work", "admin key", "Faster", "Secrets stay as they are"):
        assert said in words
    form: dict[str, Any] = {name: field(planned.text, name) for name in ("etag", "planned")}
    answer = operator.submit(f"{at}/rollback/1", form | {"path": ["/llm_settings/temperature"]})
    assert answer.headers["location"] == f"{at}/versions/8"
    found = viewer.get(f"/api/v1{at}").json()
    assert found["llm_settings"]["temperature"] == 0.5
    assert found["tts_settings"]["speed"] == 1.5
    assert found["llm_provider_config"]["api_key"] == "********"


def test_what_only_admins_set_back_stays_and_the_rest_can_be_chosen(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put("/api/v1/policy", json={"admin_paths": ["/tts_settings"]})
    form = of_plan(operator.get(f"{at}/rollback/1").text)
    assert "/tts_settings/speed" not in form["path"]
    assert operator.submit(f"{at}/rollback/1", form).headers["location"] == f"{at}/versions/8"
    found = admin.get(f"/api/v1{at}").json()
    assert (found["tts_settings"]["speed"], found["llm_settings"]["temperature"]) == (1.5, 0.5)
    # The control: nothing is left to choose.
    assert '<button class="primary">' not in operator.get(f"{at}/rollback/1").text


def test_a_plan_shown_anew_has_the_choices_that_were_made_and_none_of_what_is_new_in_it(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    form = of_plan(operator.get(f"{at}/rollback/1").text)
    form["path"] = ["/llm_settings/temperature"]
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 9})
    again = operator.submit(f"{at}/rollback/1", form)
    assert again.status_code == 412
    assert 'value="/idle_timeout"' in again.text
    assert re.findall(r'value="([^"]*)" checked', again.text) == form["path"]


def test_a_plan_that_is_out_of_date_is_shown_anew_and_not_applied(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    planned = operator.get(f"{at}/rollback/1")
    form: dict[str, Any] = {name: field(planned.text, name) for name in ("etag", "planned")}
    form["path"] = re.findall(r'name="path" value="([^"]*)"', planned.text)
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 3})
    answer = operator.submit(f"{at}/rollback/1", form)
    assert answer.status_code == 412
    assert "the plan as it is now" in answer.text
    assert editor.get(f"/api/v1{at}").json()["version"] == 8
    # The control: the plan as it is now can be applied.
    form |= {name: field(answer.text, name) for name in ("etag", "planned")}
    form["path"] = re.findall(r'name="path" value="([^"]*)"', answer.text)
    assert operator.submit(f"{at}/rollback/1", form).status_code == 303


@pytest.mark.parametrize(("count", "boxes"), [(1800, 1801), (2500, 0)])
def test_a_plan_too_long_for_a_form_is_applied_whole(
    operator: Browser, editor: httpx.Client, at: str, count: int, boxes: int
) -> None:
    before = editor.get(f"/api/v1{at}").json()["custom_settings"]
    many = {f"n{number}": number for number in range(count)}
    editor.patch(f"/api/v1{at}", json={"custom_settings": {"deep": {"a": 1}}})
    assert editor.patch(f"/api/v1{at}", json={"custom_settings": {"deep": many}}).is_success
    planned = operator.get(f"{at}/rollback/8")
    paths = re.findall(r'name="path" value="([^"]*)"', planned.text)
    assert len(paths) == boxes
    form: dict[str, Any] = {name: field(planned.text, name) for name in ("etag", "planned")}
    form |= {"path": paths} if boxes else {"whole": field(planned.text, "whole")}
    assert operator.submit(f"{at}/rollback/8", form).status_code == 303
    found = editor.get(f"/api/v1{at}").json()["custom_settings"]
    assert found == (before or {}) | {"deep": {"a": 1}}


@pytest.mark.parametrize("name", ["label:stable", "latest", "-1"])
def test_a_plan_that_was_asked_for_by_a_name_is_of_the_version_it_had_then(
    operator: Browser, viewer: httpx.Client, editor: httpx.Client, at: str, name: str
) -> None:
    def label(version: int) -> None:
        said = editor.put(f"/api/v1{at}/versions/{version}/label", json={"label": "stable"})
        assert said.is_success

    label(2)
    version = {"label:stable": 2, "latest": 7, "-1": 6}[name]
    planned = operator.get(f"{at}/rollback/{name}")
    assert f'action="{at}/rollback/{version}"' in planned.text
    assert f"Go back to version {version}" in planned.text
    etag = {"etag": field(planned.text, "etag"), "planned": field(planned.text, "planned")}
    editor.delete(f"/api/v1{at}/versions/2/label")
    label(4)
    refused = operator.submit(f"{at}/rollback/{name}", etag)
    assert refused.status_code == 422
    assert viewer.get(f"/api/v1{at}").json()["version"] == 7
    form: dict[str, Any] = etag | {"path": re.findall(r'name="path" value="([^"]*)"', planned.text)}
    applied = operator.submit(f"{at}/rollback/{version}", form)  # the control: a number is taken
    assert applied.status_code == 303


def test_a_version_is_found_by_a_label_of_any_letters(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    said = editor.put(f"/api/v1{at}/versions/3/label", json={"label": "гладко 100%"})
    assert said.is_success
    named = quote("label:гладко 100%")
    assert "<h2>Version 3 " in operator.get(f"{at}/versions/{named}").text
    assert operator.get(f"{at}/versions/{quote('label:of none')}").status_code == 404


@pytest.mark.parametrize(("etag", "status"), [('"ключ"', 422), ('"é"', 412), ("", 422)])
@pytest.mark.parametrize("kind", ["undo", "rollback"])
def test_a_tag_that_is_none_takes_nothing_back(
    operator: Browser, viewer: httpx.Client, at: str, kind: str, etag: str, status: int
) -> None:
    form = {"etag": etag, "planned": "1", "path": "/idle_timeout"}
    assert operator.submit(f"{at}/{kind}/3", form).status_code == status
    assert viewer.get(f"/api/v1{at}").json()["version"] == 7


def test_a_reason_that_the_policy_wants_is_asked_for_on_the_plan(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put("/api/v1/policy", json={"require_reason": True})
    planned = operator.get(f"{at}/undo/3").text
    assert "(your policy wants a reason)" in planned
    form = of_plan(planned)
    answer = operator.submit(f"{at}/undo/3", form)
    assert answer.status_code == 422
    assert "wants a reason" in answer.text
    assert operator.submit(f"{at}/undo/3", form | {"change_description": "x"}).status_code == 303


def test_a_viewer_reads_the_history_and_may_take_nothing_back(
    reader: Browser, operator: Browser, at: str
) -> None:
    for kind in ("undo", "rollback"):
        assert f"{at}/{kind}/3" not in reader.get(f"{at}/versions/3").text
        assert f"{at}/{kind}/3" in operator.get(f"{at}/versions/3").text  # the control
        assert reader.get(f"{at}/{kind}/3").status_code == 403
        assert reader.submit(f"{at}/{kind}/3", {"etag": '"7"'}).status_code == 403


@pytest.mark.parametrize("below", ["/history", "/versions/2", "/compare", "/undo/3", "/rollback/3"])
def test_another_organizations_history_is_missing(
    server: Server, operator: Browser, at: str, below: str
) -> None:
    with Browser(server.url) as stranger:
        stranger.sign_in(server.organization().admin)
        assert stranger.get(at + below).status_code == 404
    assert operator.get(at + below).status_code == 200  # the control


@pytest.mark.parametrize("version", ["0", "x", "99", "latest", "1e9", "-1"])
@pytest.mark.parametrize("kind", ["undo", "rollback", "versions"])
def test_what_is_no_version_is_said_on_a_page(
    operator: Browser, at: str, kind: str, version: str
) -> None:
    answer = operator.get(f"{at}/{kind}/{version}")
    assert answer.status_code in (200, 404, 422)
    assert "<h1>" in answer.text


# -- side by side


def columns(answer: httpx.Response) -> dict[str, str]:
    """The words of the first change's columns, and what is marked in them."""
    assert answer.status_code == 200
    found = re.findall(r'data-side="(\w+)">(.*?)</div>', answer.text, re.DOTALL)
    plain_texts = [
        (side, " ".join(html.unescape(re.sub(r"<(?!/?(?:ins|del)>)[^>]*>", "", text)).split()))
        for side, text in found
    ]
    return dict(plain_texts)


def test_side_by_side_the_left_has_what_went_and_the_right_what_came(
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


def test_side_by_side_a_rotated_secret_is_as_hidden(reader: Browser, at: str) -> None:
    answer = reader.get(f"{at}/versions/7", params={"view": "side"})
    assert not columns(answer)
    assert "rotated" in plain(answer)
    assert "sk-" not in answer.text


def test_the_view_stays_while_one_goes_from_change_to_change(reader: Browser, at: str) -> None:
    side = reader.get(f"{at}/versions/5", params={"view": "side"}).text
    assert f'href="{at}/versions/4?view=side"' in side
    assert f'href="{at}/versions/6?view=side"' in side
    assert f'href="{at}/compare?from=5&amp;view=side"' in side
    compared = reader.get(f"{at}/compare?from=2&to=label:a%26b&view=side")
    assert compared.status_code == 404
    compared = reader.get(f"{at}/compare?from=2&to=5&view=side")
    assert field(compared.text, "view") == "side"
    assert 'href="?from=2&amp;to=5"' in compared.text  # the way back to inline


@pytest.mark.parametrize("view", ["", "?view=", "?view=inline", "?view=SIDE"])
def test_changes_are_shown_inline_but_where_the_address_says_otherwise(
    reader: Browser, at: str, view: str
) -> None:
    answer = reader.get(f"{at}/versions/5{view}")
    assert not columns(answer)
    assert f'href="{at}/versions/4"' in answer.text
    assert columns(reader.get(f"{at}/versions/5?view=side"))  # the control


# -- the timeline with script


def test_what_the_script_appends_is_marked_on_every_page_of_the_timeline(
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
        assert entries.count("<li ") == count
        assert ('rel="next"' in pager) == (page is first)
        assert 'role="status" data-endless-said' in page


def test_the_filters_offer_the_settings_and_the_people_of_the_page(
    reader: Browser, at: str
) -> None:
    page = reader.get(f"{at}/history").text
    paths, actors = page.index('id="paths"'), page.index('id="actors"')
    offered = re.findall(r'<option value="([^"]*)">', page[paths:actors])
    assert "/llm_settings/temperature" in offered
    assert all(reader.get(f"{at}/history", params={"path": p}).is_success for p in offered[::20])
    assert page.count('<option value="editor key">') == 1


# -- shortcuts


@pytest.mark.parametrize(
    "below",
    ["", "/history", "/versions/3", "/versions/3?view=side", "/compare", "/life?version=3",
     "/undo/3", "/rollback/3"],
)  # fmt: skip
def test_a_key_presses_one_thing_on_a_page_and_is_no_key_of_every_page(
    operator: Browser, at: str, below: str
) -> None:
    page = operator.get(at + below).text
    tags = re.findall(r"<(\w+)\b[^>]*\bdata-key=\"([^\"]*)\"", page)
    keys = [key for _, key in tags]
    assert {"s", "h", "c", "t"} <= set(keys)
    assert len(keys) == len(set(keys))
    assert not set(keys) & {"?", "/", "j", "k", "g"}
    assert {tag for tag, _ in tags} <= {"a", "button"}
    assert all(len(key) == 1 for key in keys)


def test_the_button_of_the_shortcuts_is_there_for_script_alone(
    operator: Browser, server: Server
) -> None:
    page = operator.get("/").text
    assert re.search(r"<button[^>]* data-keys-open hidden>", page)
    assert "<dialog" in page
    with Browser(server.url) as nobody:
        assert "<dialog" not in nobody.get("/sign-in").text
