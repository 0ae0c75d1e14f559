"""Conflicts: a choice for each setting that others changed too."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from tests.console import Browser, field, now

TEMPERATURE = "/llm_settings/temperature"


def shown_choices(page: str) -> set[str]:
    """The paths that a page asks to choose for."""
    return set(re.findall(r'type="radio" name="choice:([^"]*)"', page))


def sent_back(page: str) -> dict[str, Any]:
    """What the page of a conflict sends by itself."""
    kept = re.findall(r'<textarea name="([^"]*)" hidden>\n(.*?)</textarea>', page, re.DOTALL)
    versions = {name: field(page, name) for name in ("base_version", "over_version")}
    return {name: html.unescape(text) for name, text in kept} | versions


def test_two_edits_of_one_field_ask_for_a_choice_and_overwrite_nothing(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    theirs = {"llm_settings": {"temperature": 0.9}, "change_description": "Livelier"}
    assert admin.patch(f"/api/v1{at}", json=theirs).is_success
    form = {"base_version": 1, TEMPERATURE: "0.1", "/idle_timeout": "9"}
    answer = operator.submit(at, form)
    assert answer.status_code == 409
    for said in ("admin key", "Livelier", "0.9", "0.1", "0.5"):
        assert said in answer.text
    assert now(admin, at)["version"] == 2

    kept = {"base_version": 1, "over_version": field(answer.text, "over_version")} | form
    results = {"theirs": 0.9, "base": 0.5, "yours": 0.1}
    for choice, value in results.items():
        admin.patch(f"/api/v1{at}", json=theirs | {"idle_timeout": None})
        over = {"over_version": now(admin, at)["version"], f"choice:{TEMPERATURE}": choice}
        assert operator.submit(at, kept | over).status_code == 303
        found = now(admin, at)
        assert (found["llm_settings"]["temperature"], found["idle_timeout"]) == (value, 9)


@pytest.mark.parametrize(("choice", "value"), [("theirs", 6), ("base", 10), ("yours", 9)])
def test_a_second_conflict_keeps_what_was_chosen_on_the_first(
    operator: Browser, admin: httpx.Client, at: str, choice: str, value: int
) -> None:
    admin.patch(f"/api/v1{at}", json={"idle_timeout": 10})
    admin.patch(f"/api/v1{at}", json={"idle_timeout": 6})
    form = {"base_version": 2, "/idle_timeout": "9", "/max_idle_messages": "4"}
    first = operator.submit(at, form)
    assert shown_choices(first.text) == {"/idle_timeout"}

    admin.patch(f"/api/v1{at}", json={"max_idle_messages": 5})
    second = operator.submit(at, sent_back(first.text) | {"choice:/idle_timeout": choice})
    assert second.status_code == 409
    assert shown_choices(second.text) == {"/max_idle_messages"}

    last = operator.submit(at, sent_back(second.text) | {"choice:/max_idle_messages": "theirs"})
    assert last.status_code == 303
    found = now(admin, at)
    assert (found["idle_timeout"], found["max_idle_messages"]) == (value, 5)


def test_the_original_of_a_secret_is_neither_offered_nor_accepted(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    for key in ("sk-first", "sk-second"):
        admin.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": key}})
    form = {"base_version": 2, path: "sk-mine"}
    clashed = operator.submit(at, form)
    assert clashed.status_code == 409
    offered = re.findall(rf'name="choice:{path}" value="(\w+)"', clashed.text)
    assert offered == ["theirs", "yours"]
    (again,) = re.findall(rf'<input type="password" name="{path}"[^>]*>', clashed.text)
    assert "required" not in again  # or theirs could not be chosen
    assert 'autocomplete="new-password"' in again
    over = form | {"over_version": 3}
    refused = operator.submit(at, over | {f"choice:{path}": "base"})
    assert refused.status_code == 422
    assert "The original secret cannot be shown" in refused.text
    assert now(admin, at)["version"] == 3
    # The control: the other two are taken.
    assert operator.submit(at, over | {f"choice:{path}": "theirs"}).status_code == 303
    assert now(admin, at)["version"] == 3
    assert operator.submit(at, over | {f"choice:{path}": "yours"}).status_code == 303
    assert now(admin, at)["version"] == 4


def test_theirs_keeps_a_record_removed_that_others_removed(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    path = "/stt_settings/flux_config/eot_threshold"
    body = {"stt_settings": {"flux_config": {"eot_threshold": 0.7}}}
    admin.patch(f"/api/v1{at}", json=body)
    admin.patch(f"/api/v1{at}", json={"stt_settings": {"flux_config": None}})
    form = {"base_version": 2, path: "0.8", "/idle_timeout": "9"}
    clashed = operator.submit(at, form)
    (clash,) = shown_choices(clashed.text)
    over = {"over_version": 3, f"choice:{clash}": "theirs"}
    assert operator.submit(at, form | over).status_code == 303
    found = now(admin, at)
    assert (found["stt_settings"]["flux_config"], found["idle_timeout"]) == (None, 9)
    # The control: yours brings it back.
    assert operator.submit(at, form | over | {f"choice:{clash}": "yours"}).status_code == 303
    assert now(admin, at)["stt_settings"]["flux_config"]["eot_threshold"] == 0.8


@pytest.mark.parametrize("choice", ["theirs", "base"])
@pytest.mark.parametrize("path", ["", "x", "/idle_timeout/x", "/id", "/webhook_headers/x/y", "//"])
def test_a_choice_for_a_path_that_is_no_field_is_ignored(
    operator: Browser, admin: httpx.Client, at: str, path: str, choice: str
) -> None:
    form = {"base_version": 1, "/idle_timeout": "9", f"choice:{path}": choice}
    status = operator.submit(at, form).status_code
    assert status in (303, 422)
    assert now(admin, at)["idle_timeout"] == (9 if status == 303 else None)


def test_choosing_your_secret_requires_typing_it_again(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    admin.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": "sk-theirs"}})
    form = {"base_version": 1, "over_version": 2, f"choice:{path}": "yours"}
    refused = operator.submit(at, form | {path: ""})
    assert refused.status_code == 422
    assert "enter the secret again" in refused.text
    assert operator.submit(at, form | {path: "sk-mine"}).status_code == 303  # the control
