"""One change of several assistants in the console: picked, planned, applied, and taken back."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from tests.conftest import ASSISTANTS
from tests.console import Browser, field, plain
from tests.html_rules import faults

_NUMBERS = "/tools_settings/transfer_call/transfer_numbers"
_KEY = "/llm_provider_config/api_key"


@pytest.fixture
def twelve(editor: httpx.Client) -> list[int]:
    """Twelve assistants."""
    bodies = [{"name": f"Desk {number:02}"} for number in range(12)]
    return [editor.post(ASSISTANTS, json=body).json()["id"] for body in bodies]


def numbers(client: httpx.Client, ids: list[int]) -> list[Any]:
    found = [client.get(f"{ASSISTANTS}/{one}").json() for one in ids]
    return [one["tools_settings"]["transfer_call"]["transfer_numbers"] for one in found]


def form(ids: list[int], **values: Any) -> dict[str, Any]:
    return {"assistants": " ".join(map(str, ids))} | values


def test_one_number_is_set_for_twelve_assistants_and_taken_back_as_a_whole(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    wanted = form(twelve, setting=_NUMBERS) | {_NUMBERS: "+14155550123"}
    plan = operator.submit("/assistants/change/plan", wanted)
    assert "12 assistants will change" in plain(plan)
    assert numbers(editor, twelve) == [[]] * 12, "a plan changes nothing"
    etag = field(plan.text, "etag")
    sent = wanted | {"etag": etag, "change_description": "One line for all", "once": "a"}
    applied = [operator.submit("/assistants/change/apply", sent) for _ in range(2)]
    assert applied[0].headers["location"] == applied[1].headers["location"], "a double click"
    assert numbers(editor, twelve) == [["+14155550123"]] * 12
    at = applied[0].headers["location"].partition("?")[0]
    shown = plain(operator.get(at))
    assert "Reason: One line for all" in shown
    assert "Desk 00 version 2" in shown
    assert "One line for all" in operator.get("/change-sets").text
    back = operator.get(f"{at}/revert")
    assert "Take back for 12 assistants" in plain(back)
    done = operator.submit(f"{at}/revert", {"etag": field(back.text, "etag"), "once": "b"})
    assert done.status_code == 303
    assert numbers(editor, twelve) == [[]] * 12


def test_the_html_of_each_step_has_no_fault(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    body = {"assistant_ids": twelve[:2], "patch": {"tts_settings": {"speed": 1.2}}}
    made = editor.post("/api/v1/change-sets", json=body).json()["change_set_id"]
    wanted = form(twelve[:2], setting=[_NUMBERS, "/webhook_headers", _KEY])
    pages = {
        "list": operator.get("/assistants").text,
        "set": operator.get(f"/change-sets/{made}?saved=1").text,
        "revert": operator.get(f"/change-sets/{made}/revert").text,
        "choose": operator.submit("/assistants/change", wanted).text,
        "refused": operator.submit("/assistants/change/plan", wanted).text,
        "plan": operator.submit("/assistants/change/plan", form(twelve[:2], setting=_NUMBERS)).text,
    }
    assert {name: found for name, text in pages.items() if (found := faults(text))} == {}


def test_all_that_match_the_filters_are_selected(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    editor.post(ASSISTANTS, json={"name": "Other"})
    page = operator.submit("/assistants/change", {"all": "on", "search": "desk", "status": "all"})
    assert field(page.text, "assistants").split() == [str(one) for one in reversed(twelve)]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "No assistant is selected"),
        ({"assistants": "1", "setting": "Speeed"}, "There is no setting"),
        ({"assistants": "1"}, "Choose a setting first"),
        ({"assistants": "1", "setting": _KEY, _KEY: ""}, "Type the secret"),
        ({"assistants": "999999", "setting": "/tts_settings/speed"}, "999999"),
        ({"assistants": "1", "setting": "/webhook_headers", "/webhook_headers": "{"}, "line 1"),
    ],
)
def test_what_cannot_be_planned_is_said_at_its_place(
    operator: Browser, twelve: list[int], sent: dict[str, str], said: str
) -> None:
    first = {"assistants": str(twelve[0])} if sent.get("assistants") == "1" else {}
    answer = operator.submit("/assistants/change/plan", sent | first)
    assert answer.status_code in (404, 422)
    assert said in html.unescape(answer.text)


def test_a_typed_secret_is_on_no_page_and_has_to_be_typed_again(
    operator: Browser, twelve: list[int]
) -> None:
    wanted = form(twelve[:2], setting=_KEY) | {_KEY: "sk-typed"}
    plan = operator.submit("/assistants/change/plan", wanted)
    assert "2 assistants will change" in plain(plan)
    assert "sk-typed" not in plan.text
    assert field(plan.text, _KEY) == ""
    sent = wanted | {"etag": field(plan.text, "etag"), _KEY: ""}
    assert operator.submit("/assistants/change/apply", sent).status_code == 422
    # The control: typed again, it is applied.
    assert operator.submit("/assistants/change/apply", sent | wanted).status_code == 303


def test_a_plan_over_which_somebody_saved_is_shown_anew(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    wanted = form(twelve[:2], setting=_NUMBERS) | {_NUMBERS: "+14155550123"}
    etag = field(operator.submit("/assistants/change/plan", wanted).text, "etag")
    editor.patch(f"{ASSISTANTS}/{twelve[0]}", json={"description": "New"})
    answer = operator.submit("/assistants/change/apply", wanted | {"etag": etag})
    assert answer.status_code == 412
    assert numbers(editor, twelve[:2]) == [[], []]
    assert field(answer.text, "etag") != etag


def test_a_set_can_be_undone_at_once_and_not_over_what_came_between(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    wanted = form(twelve[:2], setting="/tts_settings/speed") | {"/tts_settings/speed": "1.2"}
    etag = field(operator.submit("/assistants/change/plan", wanted).text, "etag")
    made = operator.submit("/assistants/change/apply", wanted | {"etag": etag}).headers["location"]
    at = made.partition("?")[0]
    assert "data-undo" in operator.get(made).text
    editor.patch(f"{ASSISTANTS}/{twelve[0]}", json={"tts_settings": {"speed": 1.4}})
    refused = operator.submit(f"{at}/revert", {})
    assert refused.status_code == 409
    assert "is now 1.4" in html.unescape(refused.text).replace('<span class="text">', "")
    editor.patch(f"{ASSISTANTS}/{twelve[0]}", json={"tts_settings": {"speed": 1.2}})
    editor.post(f"{ASSISTANTS}/{twelve[0]}/undo", json={"version": 3})
    assert operator.submit(f"{at}/revert", {"on_conflict": "force"}).status_code == 303


def test_taking_back_a_set_that_was_changed_since_asks_what_to_keep(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    body = {"assistant_ids": twelve[:2], "patch": {"tts_settings": {"speed": 1.2}}}
    made = editor.post("/api/v1/change-sets", json=body).json()["change_set_id"]
    editor.patch(f"{ASSISTANTS}/{twelve[0]}", json={"tts_settings": {"speed": 1.4}})
    page = operator.get(f"/change-sets/{made}/revert")
    assert "Speed was changed again since, and is now 1.4" in plain(page)
    kept = operator.get(f"/change-sets/{made}/revert?on_conflict=skip")
    sent = {"etag": field(kept.text, "etag"), "on_conflict": "skip"}
    assert operator.submit(f"/change-sets/{made}/revert", sent).status_code == 303
    speeds = [editor.get(f"{ASSISTANTS}/{one}").json()["tts_settings"] for one in twelve[:2]]
    assert [one["speed"] for one in speeds] == [1.4, 1.0]


def test_two_assistants_are_compared_with_their_differences_first(
    reader: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    left, right = twelve[:2]
    editor.patch(f"{ASSISTANTS}/{left}", json={"tts_settings": {"speed": 1.2}})
    editor.patch(f"{ASSISTANTS}/{right}", json={"llm_provider_config": {"api_key": "sk-1"}})
    editor.patch(f"{ASSISTANTS}/{left}", json={"llm_provider_config": {"api_key": "sk-1"}})
    asked = reader.submit("/assistants/compare-two", {"assistant": [left, right]})
    assert asked.headers["location"] == f"/assistants/compare?left={left}&right={right}"
    shown = plain(reader.get(asked.headers["location"]))
    assert "2 settings differ" in shown
    assert "Before <del>1.2</del> After <ins>1.0</ins>" in shown or "<del>1.2</del>" in shown
    assert "Secrets are hidden and not compared" in shown
    assert reader.submit("/assistants/compare-two", {"assistant": left}).status_code == 303


def test_settings_are_copied_as_a_change_set_and_secrets_are_not(
    operator: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    source, *others = twelve[:3]
    body = {"tts_settings": {"speed": 1.2}, "llm_provider_config": {"api_key": "sk-1"}}
    editor.patch(f"{ASSISTANTS}/{source}", json=body)
    page = operator.get(f"/assistants/copy?source={source}&setting=/tts_settings/speed")
    assert "These settings are copied from version 2" in plain(page)
    wanted = {
        "source": source, "version": 2, "assistant": twelve[:3],
        "setting": ["/tts_settings/speed", _KEY],
    }  # fmt: skip
    plan = operator.submit("/assistants/copy/plan", wanted)
    assert "2 assistants will change" in plain(plan)
    assert "Secrets are not copied, and stay as they are: Model provider" in plain(plan)
    sent = wanted | {"etag": field(plan.text, "etag"), "assistants": field(plan.text, "assistants")}
    assert operator.submit("/assistants/copy/apply", sent).status_code == 303
    found = [editor.get(f"{ASSISTANTS}/{one}").json() for one in others]
    assert [one["tts_settings"]["speed"] for one in found] == [1.2, 1.2]
    assert all(one["llm_provider_config"]["api_key"] is None for one in found)
    only_secrets = wanted | {"setting": [_KEY]}
    assert operator.submit("/assistants/copy/plan", only_secrets).status_code == 422


def test_a_viewer_sees_change_sets_and_can_change_none(
    reader: Browser, editor: httpx.Client, twelve: list[int]
) -> None:
    body = {"assistant_ids": twelve, "patch": {"tts_settings": {"speed": 1.2}}}
    made = editor.post("/api/v1/change-sets", json=body).json()["change_set_id"]
    page = reader.get(f"/change-sets/{made}")
    assert "/revert" not in page.text
    assert reader.get(f"/change-sets/{made}/revert").status_code == 403
    assert reader.submit("/assistants/change", form(twelve)).status_code == 403
    assert "/assistants/change" not in reader.get("/assistants").text


def test_the_list_leads_to_any_page_and_letter(reader: Browser, editor: httpx.Client) -> None:
    for number in range(55):
        editor.post(ASSISTANTS, json={"name": f"{'AZ'[number // 50]} desk {number:02}"})
    page = reader.get("/assistants?sort=name").text
    (letter,) = re.findall(r'<a href="([^"]+)">Z</a>', page)
    assert "Z desk 50" in reader.get(html.unescape(letter)).text
    second = reader.get("/assistants?sort=name&page=2").text
    assert "51 to 55 of 55 assistants" in plain(reader.get("/assistants?sort=name&page=2"))
    assert field(second, "page") == "2"


def _set_and_back(operator: Browser, ids: list[int], why: str) -> tuple[str, str]:
    """The addresses of a change set, and of the one that its banner's undo made."""
    wanted = form(ids, setting=_NUMBERS) | {_NUMBERS: "+14155550123"}
    etag = field(operator.submit("/assistants/change/plan", wanted).text, "etag")
    sent = wanted | {"etag": etag, "change_description": why}
    made = operator.submit("/assistants/change/apply", sent).headers["location"]
    at = made.partition("?")[0]
    done = operator.submit(f"{at}/revert", {"once": "back", "banner": "on"})
    return at, done.headers["location"].partition("?")[0]


def test_a_set_that_was_taken_back_says_so_and_by_which_with_its_reason(
    operator: Browser, twelve: list[int]
) -> None:
    at, back = _set_and_back(operator, twelve, "One line for all")
    number = at.rpartition("/")[2]
    words = f"Taken back by change set {back.rpartition('/')[2]}"
    assert words in plain(operator.get(at))
    assert plain(operator.get("/change-sets")).count(words) == 1
    assert "Taken back by" not in plain(operator.get(back))
    assert f"Reason: Undo of change set {number}: One line for all" in plain(operator.get(back))


@pytest.mark.parametrize("name", [_NUMBERS, "Transfer numbers", "transfer numbers "])
def test_a_setting_is_picked_by_its_path_or_its_label_alone(
    operator: Browser, twelve: list[int], name: str
) -> None:
    shown = operator.submit("/assistants/change", form(twelve, setting=name))
    assert field(shown.text, "setting") == _NUMBERS


def test_a_label_of_several_settings_names_them(operator: Browser, twelve: list[int]) -> None:
    shown = operator.submit("/assistants/change", form(twelve, setting="Enabled"))
    assert shown.status_code == 422
    assert "Several settings are called “Enabled”. Choose one: " in html.unescape(shown.text)


@pytest.mark.parametrize(
    ("address", "count", "note"),
    [
        ("/assistants/compare-two", 0, "Select two assistants to compare them."),
        ("/assistants/compare-two", 1, "Select two assistants to compare them."),
        ("/assistants/compare-two", 3, "Select two assistants to compare them."),
        ("/assistants/change", 0, "Select the assistants to change."),
    ],
)
def test_the_list_says_what_is_missing_and_keeps_the_selection(
    operator: Browser, twelve: list[int], address: str, count: int, note: str
) -> None:
    chosen = twelve[:count]
    answer = operator.submit(address, {"assistant": chosen, "sort": "name", "search": "Desk"})
    assert answer.status_code == 303
    shown = operator.get(answer.headers["location"])
    assert note in plain(shown)
    assert 'value="Desk"' in shown.text
    checked = re.findall(r'name="assistant" value="(\d+)" checked', shown.text)
    assert [int(one) for one in checked] == chosen
    assert faults(shown.text) == []
