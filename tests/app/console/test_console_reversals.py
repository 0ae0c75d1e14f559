"""Undo and rollback: a plan that is shown, and then applied as shown."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from tests.console import Browser, change, field, plain

pytestmark = pytest.mark.usefixtures("past")


def plan_form(page: str) -> dict[str, Any]:
    """The form of a plan, as it is sent where nothing was left out."""
    names = ("etag", "once", "planned")
    boxes = [
        html.unescape(path) for path in re.findall(r'name="path" value="([^"]*)" checked', page)
    ]
    return {name: field(page, name) for name in names} | {"path": boxes}


def test_undo_shows_its_plan_and_then_reverts_one_change_alone(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    before = viewer.get(f"/api/v1{at}").json()
    planned = operator.get(f"{at}/undo/3")
    assert "<del>1.5</del> → <ins>1.0</ins>" in plain(planned)
    assert viewer.get(f"/api/v1{at}").json() == before  # a plan changes nothing
    form = plan_form(planned.text)
    answers = [
        operator.submit(f"{at}/undo/3", form | {"change_description": "Too fast"}) for _ in range(2)
    ]
    assert [one.headers["location"] for one in answers] == [f"{at}/versions/8?saved=8"] * 2
    found = viewer.get(f"/api/v1{at}").json()
    assert found["tts_settings"]["speed"] == 1.0
    assert found["llm_settings"] == before["llm_settings"]
    assert "undone by version 8" in operator.get(f"{at}/history").text


def test_an_undo_reverts_the_chosen_settings_alone(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {"idle_timeout": 9, "llm_settings": {"temperature": 0.9}}
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    form = plan_form(operator.get(f"{at}/undo/8").text)
    assert sorted(form["path"]) == ["/idle_timeout", "/llm_settings/temperature"]
    none = operator.submit(f"{at}/undo/8", form | {"path": []})
    assert none.status_code == 422
    answer = operator.submit(f"{at}/undo/8", form | {"path": ["/llm_settings/temperature"]})
    assert answer.headers["location"] == f"{at}/versions/9?saved=9"
    found = editor.get(f"/api/v1{at}").json()
    assert (found["idle_timeout"], found["llm_settings"]["temperature"]) == (9, 0.2)


def test_an_undo_names_the_later_changes_that_it_would_overwrite_and_keeps_them_unless_told(
    operator: Browser, viewer: httpx.Client, editor: httpx.Client, at: str
) -> None:
    editor.patch(f"/api/v1{at}", json={"tts_settings": {"speed": 1.2}, "idle_timeout": 9})
    body = {"tts_settings": {"speed": 0.8}, "change_description": "Much slower"}
    editor.patch(f"/api/v1{at}", json=body)
    planned = operator.get(f"{at}/undo/8")
    assert "Later changes are kept, except" in planned.text
    assert f'<a href="{at}/versions/9">Version 9</a>' in planned.text
    assert "Much slower" in planned.text
    assert "<del>0.8</del> → <ins>1.5</ins>" in plain(planned)
    assert "already has these values" not in planned.text
    form = plan_form(planned.text)
    assert form["path"] == ["/idle_timeout"]
    assert operator.submit(f"{at}/undo/8", form).status_code == 303
    found = viewer.get(f"/api/v1{at}").json()
    assert (found["idle_timeout"], found["tts_settings"]["speed"]) == (None, 0.8)


def test_a_later_change_that_was_selected_is_undone_as_well(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    planned = operator.get(f"{at}/undo/4")
    form = plan_form(planned.text)
    assert form["path"] == []
    assert "already has these values" not in planned.text
    nothing = operator.submit(f"{at}/undo/4", form)
    assert nothing.status_code == 422
    assert "Nothing is selected" in nothing.text
    chosen = form | {"path": ["/llm_settings/system_prompt"]}
    assert operator.submit(f"{at}/undo/4", chosen).status_code == 303
    assert "helpful" in viewer.get(f"/api/v1{at}").json()["llm_settings"]["system_prompt"]


def test_a_plan_without_later_changes_keeps_them_all_and_says_so(
    operator: Browser, at: str
) -> None:
    planned = operator.get(f"{at}/undo/3").text
    assert "Later changes are kept.</p>" in planned
    assert "Changed again since" not in planned


def test_the_result_of_a_plan_is_edited_in_the_form_before_it_is_saved(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    before = viewer.get(f"/api/v1{at}").json()
    form = plan_form(operator.get(f"{at}/rollback/1").text)
    form["path"] = ["/tts_settings/speed"]
    edited = operator.submit(f"{at}/rollback/1/edit", form | {"change_description": "Slower"})
    assert viewer.get(f"/api/v1{at}").json() == before  # nothing is saved
    assert "Nothing is saved yet" in edited.text
    assert field(edited.text, "/tts_settings/speed") == "1.0"
    assert field(edited.text, "change_description") == "Slower"
    assert edited.text.count(" data-typed>") == 1
    assert "sk-" not in edited.text
    outdated = operator.submit(f"{at}/rollback/1/edit", form | {"etag": '"6"'})
    assert outdated.status_code == 412


def test_a_plan_compares_texts_by_words(operator: Browser, at: str) -> None:
    back, there = plain(operator.get(f"{at}/undo/5")), plain(operator.get(f"{at}/versions/5"))
    for one, other in ((back, "<del>now"), (there, "<del>today")):
        assert other in one
        assert "<del>Greet" not in one


def test_a_rollback_names_the_changes_it_reverts_and_reverts_the_chosen_settings_alone(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    planned = operator.get(f"{at}/rollback/1")
    words = plain(planned)
    for said in ("Later changes", "admin key", "Faster", "Secrets keep their current values"):
        assert said in words
    form: dict[str, Any] = {name: field(planned.text, name) for name in ("etag", "planned")}
    answer = operator.submit(f"{at}/rollback/1", form | {"path": ["/llm_settings/temperature"]})
    assert answer.headers["location"] == f"{at}/versions/8?saved=8"
    found = viewer.get(f"/api/v1{at}").json()
    assert found["llm_settings"]["temperature"] == 0.5
    assert found["tts_settings"]["speed"] == 1.5
    assert found["llm_provider_config"]["api_key"] == "********"


def test_settings_that_only_admins_change_cannot_be_chosen_in_a_rollback(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put("/api/v1/policy", json={"admin_paths": ["/tts_settings"]})
    form = plan_form(operator.get(f"{at}/rollback/1").text)
    assert "/tts_settings/speed" not in form["path"]
    assert (
        operator.submit(f"{at}/rollback/1", form).headers["location"] == f"{at}/versions/8?saved=8"
    )
    found = admin.get(f"/api/v1{at}").json()
    assert (found["tts_settings"]["speed"], found["llm_settings"]["temperature"]) == (1.5, 0.5)
    # The control: nothing is left to choose.
    assert '<button class="primary">' not in operator.get(f"{at}/rollback/1").text


def test_a_renewed_plan_keeps_the_choices_and_selects_nothing_new(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    form = plan_form(operator.get(f"{at}/rollback/1").text)
    form["path"] = ["/llm_settings/temperature"]
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 9})
    again = operator.submit(f"{at}/rollback/1", form)
    assert again.status_code == 412
    assert 'value="/idle_timeout"' in again.text
    assert re.findall(r'value="([^"]*)" checked', again.text) == form["path"]


def test_an_outdated_plan_is_renewed_and_not_applied(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    planned = operator.get(f"{at}/rollback/1")
    form: dict[str, Any] = {name: field(planned.text, name) for name in ("etag", "planned")}
    form["path"] = re.findall(r'name="path" value="([^"]*)"', planned.text)
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 3})
    answer = operator.submit(f"{at}/rollback/1", form)
    assert answer.status_code == 412
    assert "The plan below is up to date" in answer.text
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
def test_a_plan_by_a_label_stays_with_the_version_when_the_label_moves(
    operator: Browser, viewer: httpx.Client, editor: httpx.Client, at: str, name: str
) -> None:
    def label(version: int) -> None:
        said = editor.put(f"/api/v1{at}/versions/{version}/label", json={"label": "stable"})
        assert said.is_success

    label(2)
    version = {"label:stable": 2, "latest": 7, "-1": 6}[name]
    planned = operator.get(f"{at}/rollback/{name}")
    assert f'action="{at}/rollback/{version}"' in planned.text
    assert f"Restore version {version}" in planned.text
    etag = {"etag": field(planned.text, "etag"), "planned": field(planned.text, "planned")}
    editor.delete(f"/api/v1{at}/versions/2/label")
    label(4)
    refused = operator.submit(f"{at}/rollback/{name}", etag)
    assert refused.status_code == 422
    assert viewer.get(f"/api/v1{at}").json()["version"] == 7
    form: dict[str, Any] = etag | {"path": re.findall(r'name="path" value="([^"]*)"', planned.text)}
    applied = operator.submit(f"{at}/rollback/{version}", form)  # the control: a number is taken
    assert applied.status_code == 303


@pytest.mark.parametrize(("etag", "status"), [('"ключ"', 422), ('"é"', 412), ("", 422)])
@pytest.mark.parametrize("kind", ["undo", "rollback"])
def test_an_invalid_tag_reverts_nothing(
    operator: Browser, viewer: httpx.Client, at: str, kind: str, etag: str, status: int
) -> None:
    form = {"etag": etag, "planned": "1", "path": "/idle_timeout"}
    assert operator.submit(f"{at}/{kind}/3", form).status_code == status
    assert viewer.get(f"/api/v1{at}").json()["version"] == 7


def test_a_plan_asks_for_the_reason_that_the_policy_requires(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put("/api/v1/policy", json={"require_reason": True})
    planned = operator.get(f"{at}/undo/3").text
    assert "(required by your policy)" in planned
    form = plan_form(planned)
    answer = operator.submit(f"{at}/undo/3", form)
    assert answer.status_code == 422
    assert "wants a reason" in answer.text
    assert operator.submit(f"{at}/undo/3", form | {"change_description": "x"}).status_code == 303


def test_a_viewer_reads_the_history_and_cannot_revert(
    reader: Browser, operator: Browser, at: str
) -> None:
    for kind in ("undo", "rollback"):
        assert f"{at}/{kind}/3" not in reader.get(f"{at}/versions/3").text
        assert f"{at}/{kind}/3" in operator.get(f"{at}/versions/3").text  # the control
        assert reader.get(f"{at}/{kind}/3").status_code == 403
        assert reader.submit(f"{at}/{kind}/3", {"etag": '"7"'}).status_code == 403


def test_a_plan_in_which_nothing_is_selected_says_so_before_it_is_sent(
    at: str, editor: httpx.Client, operator: Browser
) -> None:
    change(editor, at, {"idle_timeout": 3}, "Patient")
    plan = f"{at}/undo/{editor.get(f'/api/v1{at}').json()['version']}"
    assert "Nothing is selected" not in plain(operator.get(plan))
    change(editor, at, {"idle_timeout": 4}, "Later")
    shown = operator.get(plan)
    assert "Nothing is selected: all of these settings were changed again later." in plain(shown)
