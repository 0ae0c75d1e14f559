from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from app.console import fields
from events.policy import Policy
from events.settings import SETTING_NAMES
from tests.conftest import ASSISTANTS, Organization, Server
from tests.console import Browser, field

POLICY = "/api/v1/policy"
TEMPERATURE = "/llm_settings/temperature"


@pytest.fixture
def at(assistant: dict[str, Any]) -> str:
    return f"/assistants/{assistant['id']}"


def now(client: httpx.Client, at: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1{at}").json()
    return found


def shown_choices(page: str) -> set[str]:
    """The paths that a page asks to choose for."""
    return set(re.findall(r'type="radio" name="choice:([^"]*)"', page))


def sent_back(page: str) -> dict[str, Any]:
    """What the page of a conflict sends by itself."""
    kept = re.findall(r'<textarea name="([^"]*)" hidden>\n(.*?)</textarea>', page, re.DOTALL)
    versions = {name: field(page, name) for name in ("base_version", "over_version")}
    return {name: html.unescape(text) for name, text in kept} | versions


def test_every_setting_is_on_the_page_in_one_group(assistant: dict[str, Any]) -> None:
    groups = fields.groups(assistant)
    shown = [one.path.split("/")[1] for group in groups for one in group.fields]
    assert set(shown) == set(SETTING_NAMES) - {"is_active"}
    paths = [one.path for group in groups for one in group.fields]
    assert len(paths) == len(set(paths))
    assert all(group.fields for group in groups)


def test_a_saved_field_is_one_change_with_its_reason(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    form = {"base_version": 1, TEMPERATURE: "0.3", "change_description": "Calmer"}
    answer = operator.submit(at, form)
    assert (answer.status_code, answer.headers["location"]) == (303, at)
    (entry,) = viewer.get(f"/api/v1{at}/settings-history").json()
    assert entry["changes"] == [{"path": TEMPERATURE, "before": 0.5, "after": 0.3}]
    assert entry["change_description"] == "Calmer"
    assert "<bdi>editor key</bdi>, v2" in operator.get(at).text


def test_a_form_sent_as_it_was_shown_changes_nothing(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {
        "llm_settings": {"system_prompt": "\n\nTwo\r\nlines\n", "stop_sequences": ["a", "b"]},
        "webhook_headers": {"authorization": "sk-hidden"},
        "custom_settings": {"x": [1, {"y": None}]},
        "stt_settings": {"flux_config": {"eot_threshold": 0.7}},
    }
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    shown = now(editor, at)
    everything = {one.path: one.text for group in fields.groups(shown) for one in group.fields}
    answer = operator.submit(at, {"base_version": shown["version"]} | everything)
    assert answer.status_code == 303
    assert now(editor, at) == shown
    # The control: one of them changed is a change.
    everything["/custom_settings"] = "{}"
    operator.submit(at, {"base_version": shown["version"]} | everything)
    assert now(editor, at) == shown | {
        "custom_settings": {}, "version": 3, "updated_at": now(editor, at)["updated_at"],
    }  # fmt: skip


def test_line_ends_of_any_kind_stay_while_a_text_is_left_as_it_was(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    body = {
        "llm_settings": {"system_prompt": "a\rb\r\nc\nd", "stop_sequences": ["e\rf", "g"]},
        "end_call_message": "Good\rbye",
        "webhook_url": "https://example.com/\rx",
    }
    assert editor.patch(f"/api/v1{at}", json=body).is_success
    shown = now(editor, at)
    found = [one for group in fields.groups(shown) for one in group.fields]
    for ends in ("\r\n", "\n", "\r"):
        everything = {one.path: one.text.replace("\n", ends) for one in found}
        assert operator.submit(at, {"base_version": 2} | everything).status_code == 303
        assert now(editor, at) == shown
    everything["/end_call_message"] = "Good\r\nbye!"
    operator.submit(at, {"base_version": 2} | everything)
    assert now(editor, at)["end_call_message"] == "Good\rbye!"  # the control


def test_a_number_needs_no_digit_before_its_point(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    assert operator.submit(at, {"base_version": 1, TEMPERATURE: ".25"}).status_code == 303
    assert now(editor, at)["llm_settings"]["temperature"] == 0.25
    assert operator.submit(at, {"base_version": 2, TEMPERATURE: "."}).status_code == 422


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("/stt_settings/utterance_end_ms", "5", "greater than or equal to 100"),
        ("/llm_settings/max_tokens", "many", "valid integer"),
        ("/webhook_headers", "{", "This is no JSON"),
        ("/name", "", "at least 1 character"),
        ("/tools_settings/custom_tools", '"none"', "valid list"),
    ],
)
def test_what_the_server_refuses_is_said_beside_the_field_and_what_was_typed_is_kept(
    operator: Browser, editor: httpx.Client, at: str, path: str, text: str, said: str
) -> None:
    form = {"base_version": 1, path: text, "/description": "Kept <b>", "change_description": "Why"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    name = "f" + path.replace("/", "-")
    assert f'aria-describedby="{name}-error"' in answer.text
    (error,) = re.findall(rf'id="{name}-error">([^<]*)</p>', answer.text)
    assert said in error
    assert "Kept &lt;b&gt;</textarea>" in answer.text
    assert now(editor, at)["version"] == 1


def test_two_who_change_one_field_are_asked_and_never_overwrite(
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


def test_a_secret_that_was_is_not_offered_and_not_taken(
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
    assert "required" not in again  # or nobody could choose theirs
    assert 'autocomplete="new-password"' in again
    over = form | {"over_version": 3}
    refused = operator.submit(at, over | {f"choice:{path}": "base"})
    assert refused.status_code == 422
    assert "No page holds the secret" in refused.text
    assert now(admin, at)["version"] == 3
    # The control: the other two are taken.
    assert operator.submit(at, over | {f"choice:{path}": "theirs"}).status_code == 303
    assert now(admin, at)["version"] == 3
    assert operator.submit(at, over | {f"choice:{path}": "yours"}).status_code == 303
    assert now(admin, at)["version"] == 4


def test_theirs_leaves_a_record_away_that_others_took_away(
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
def test_a_choice_for_what_is_no_field_is_none(
    operator: Browser, admin: httpx.Client, at: str, path: str, choice: str
) -> None:
    form = {"base_version": 1, "/idle_timeout": "9", f"choice:{path}": choice}
    status = operator.submit(at, form).status_code
    assert status in (303, 422)
    assert now(admin, at)["idle_timeout"] == (9 if status == 303 else None)


def test_a_secret_is_never_shown_and_kept_unless_it_is_changed(
    operator: Browser, editor: httpx.Client, runtime: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    reveal = f"/api/v1{at}/secrets/reveal"
    editor.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": "sk-first"}})
    page = operator.get(at).text
    assert "sk-first" not in page
    assert f'name="clear:{path}"' in page
    operator.submit(at, {"base_version": 2, path: "", "/llm_provider_config/model": "gpt-4o"})
    assert "sk-first" in runtime.post(reveal, json={"paths": [path]}).text
    operator.submit(at, {"base_version": 3, path: "sk-second"})
    assert "sk-second" in runtime.post(reveal, json={"paths": [path]}).text
    operator.submit(at, {"base_version": 4, path: "", f"clear:{path}": "on"})
    assert now(editor, at)["llm_provider_config"]["api_key"] is None


def test_a_secret_that_was_typed_is_in_no_page_that_asks_again(
    operator: Browser, admin: httpx.Client, runtime: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    form = {"base_version": 1, path: "sk-typed", "/llm_settings/max_tokens": "9"}
    refused = operator.submit(at, form | {"/llm_settings/max_tokens": "many"})
    admin.patch(f"/api/v1{at}", json={"llm_settings": {"max_tokens": 7}})
    clashed = operator.submit(at, form)
    assert (refused.status_code, clashed.status_code) == (422, 409)
    for page in (refused.text, clashed.text):
        assert "sk-typed" not in page
        assert "type it again" in page
    over = {"over_version": 2, "choice:/llm_settings/max_tokens": "yours"}
    assert operator.submit(at, form | over).status_code == 303
    revealed = runtime.post(f"/api/v1{at}/secrets/reveal", json={"paths": [path]})
    assert "sk-typed" in revealed.text  # the control: typed again, it is saved


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/webhook_headers", '{"Authorization": "Bearer sk-typed"}'),
        ("/webhook_headers", '{"Authorization": "Bearer sk-typed",}'),
        ("/custom_settings", '{"pair": {"key": "Authorization", "value": "sk-typed"}}'),
        ("/custom_settings", '{"at": "https://me:sk-typed@example.com/"'),
        ("/webhook_url", "https://me:sk-typed@example.com/hook"),
        ("/webhook_headers", '{"x": "sk-typed"}'),
    ],
)
def test_a_secret_that_was_typed_into_an_ordinary_field_is_in_no_page_that_asks_again(
    operator: Browser, admin: httpx.Client, at: str, path: str, text: str
) -> None:
    before = {"webhook_headers": {"x": "********"}} if '"x"' in text else {}
    read = now(admin, at) | before
    found = [one for group in fields.groups(read) for one in group.fields]
    assert [one.path for one in fields.typed_secrets(found, {path: [text]}, Policy())] == [path]
    plain = text.replace("sk-typed@", "").replace("me:", "").replace("sk-typed", "")
    if "Authorization" not in text:  # the control: without its secret it is kept
        assert not fields.typed_secrets(found, {path: [plain]}, Policy())
    if before:
        return
    form = {"base_version": 1, path: text, "/llm_settings/max_tokens": "9"}
    refused = operator.submit(at, form | {"/llm_settings/max_tokens": "many"})
    assert refused.status_code == 422
    admin.patch(f"/api/v1{at}", json={"llm_settings": {"max_tokens": 7}})
    clashed = operator.submit(at, form)
    assert clashed.status_code in (409, 422)
    for page in (refused.text, clashed.text):
        assert "sk-typed" not in page
        assert "type it again" in page


@pytest.mark.parametrize("text", ['{"account": "4711"}', '{"account": "4711",}'])
def test_what_the_policy_makes_secret_is_in_no_page_that_asks_again(
    admin: httpx.Client, at: str, text: str
) -> None:
    found = [one for group in fields.groups(now(admin, at)) for one in group.fields]
    form = {"/custom_settings": [text]}
    rules = Policy(secret_paths=["/custom_settings/*"])
    assert [one.path for one in fields.typed_secrets(found, form, rules)] == ["/custom_settings"]
    assert not fields.typed_secrets(found, form, Policy()), "the control"


def test_yours_needs_a_secret_to_be_typed_again(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    admin.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": "sk-theirs"}})
    form = {"base_version": 1, "over_version": 2, f"choice:{path}": "yours"}
    refused = operator.submit(at, form | {path: ""})
    assert refused.status_code == 422
    assert "type it again" in refused.text
    assert operator.submit(at, form | {path: "sk-mine"}).status_code == 303  # the control


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1, "a": 2}', "NaN", "9" * 5000])
def test_json_that_the_api_would_not_read_is_said_beside_its_field(
    operator: Browser, editor: httpx.Client, at: str, text: str
) -> None:
    answer = operator.submit(at, {"base_version": 1, "/custom_settings": text})
    assert answer.status_code == 422
    assert "This is no JSON" in answer.text
    assert now(editor, at)["version"] == 1


def test_a_reason_is_wanted_where_the_policy_wants_one(
    server: Server, organization: Organization, admin: httpx.Client, at: str, operator: Browser
) -> None:
    form = {"base_version": 1, TEMPERATURE: "0.3"}
    admin.put(POLICY, json={"require_reason": True})
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "wants a reason" in answer.text
    with Browser(server.url) as boss:
        boss.sign_in(organization.admin)
        assert 'maxlength="500" value="" required' in boss.get(at).text
    assert operator.submit(at, form | {"change_description": "Asked"}).status_code == 303


def test_an_assistant_is_switched_duplicated_and_deleted(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    off = {"is_active": "false", "change_description": "Holiday", "etag": '"1"'}
    operator.submit(f"{at}/status", off)
    assert now(editor, at)["is_active"] is False
    copied = operator.submit(f"{at}/duplicate", {})
    assert now(editor, copied.headers["location"])["name"] == "Front desk (Copy)"
    assert operator.submit(f"{at}/delete", {"etag": '"2"'}).headers["location"] == "/"
    assert operator.get(at).status_code == 404


def test_a_warning_of_the_policy_is_shown(operator: Browser, at: str) -> None:
    answer = operator.submit(at, {"base_version": 1, "/recording_settings/enabled": "off"})
    assert answer.status_code == 200
    assert "Saved as version 2" in answer.text
    assert 'role="alert"' in answer.text


def test_a_viewer_reads_and_may_not_change(
    reader: Browser, operator: Browser, editor: httpx.Client, at: str
) -> None:
    page = reader.get(at).text
    assert "<textarea" not in page
    main = page[page.index("<main") : page.index("</main>")]
    assert "<button" not in main
    assert "helpful assistant" in page
    assert operator.get(at).text.count("<button") > 5  # the control
    for address, form in (
        (at, {"base_version": "1", TEMPERATURE: "0.3"}), (f"{at}/status", {"is_active": "false"}),
        (f"{at}/duplicate", {}), (f"{at}/delete", {}),
    ):  # fmt: skip
        assert reader.submit(address, form).status_code == 403
    assert now(editor, at)["version"] == 1


@pytest.mark.parametrize("below", ["", "/status", "/duplicate", "/delete"])
def test_another_organizations_assistant_is_missing(
    server: Server, operator: Browser, at: str, below: str
) -> None:
    form = {"base_version": 1, "is_active": "false", "/description": "Ours", "etag": '"1"'}
    with Browser(server.url) as stranger:
        stranger.sign_in(server.organization().admin)
        assert stranger.get(at).status_code == 404
        assert stranger.submit(at + below, form).status_code == 404
    assert operator.submit(at + below, form).status_code == 303  # the control


@pytest.mark.parametrize("number", ["0", "x", "-1", "99999999999", "%00"])
def test_what_is_no_assistant_is_said_on_a_page(operator: Browser, number: str) -> None:
    answer = operator.get(f"/assistants/{number}")
    assert answer.status_code in (404, 422)
    assert "message bad" in answer.text


def test_what_somebody_wrote_into_any_text_is_shown_as_text(
    reader: Browser, operator: Browser, editor: httpx.Client
) -> None:
    script = "</textarea></title><script>alert(1)</script>\u202e"
    body = {
        "name": script, "description": script, "webhook_url": script, "idle_message": script,
        "llm_settings": {"system_prompt": script, "stop_sequences": [script]},
        "custom_settings": {script: script}, "change_description": script,
    }  # fmt: skip
    made = editor.post(ASSISTANTS, json=body).json()
    for browser in (reader, operator):
        text = browser.get(f"/assistants/{made['id']}").text
        assert "<script>alert" not in text
        assert re.findall(r"<script(.)", text) == [" ", " ", " "]  # the layout's, by address
        assert text.count("&lt;script&gt;") > 5


@pytest.mark.parametrize("below", ["/status", "/delete"])
def test_what_was_changed_since_it_was_seen_is_neither_switched_nor_deleted(
    operator: Browser, editor: httpx.Client, at: str, below: str
) -> None:
    form = {"is_active": "false", "etag": field(operator.get(at).text, "etag")}
    editor.patch(f"/api/v1{at}", json={"idle_timeout": 9})
    refused = operator.submit(at + below, form)
    assert refused.status_code == 412
    assert 'role="alert"' in refused.text
    assert editor.get(f"/api/v1{at}").json()["is_active"] is True
    form["etag"] = field(refused.text, "etag")  # the control: over what is there by now
    assert operator.submit(at + below, form).status_code == 303


def test_a_policy_that_wants_conditions_is_met_by_every_form(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put(POLICY, json={"require_condition": True})
    for below in ("/status", "/delete"):
        form = {"is_active": "false", "etag": field(operator.get(at).text, "etag")}
        assert operator.submit(at + below, form).status_code == 303


def test_a_setting_that_was_kept_for_admins_meanwhile_is_said_beside_what_was_typed(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    admin.put(POLICY, json={"admin_paths": [TEMPERATURE]})
    answer = operator.submit(at, {"base_version": 1, TEMPERATURE: "0.3", "/idle_timeout": "9"})
    assert answer.status_code == 422
    assert "Only admins change this" in answer.text
    assert field(answer.text, "/idle_timeout") == "9"


def test_a_slip_in_json_does_not_hide_what_was_typed_beside_a_name_that_stood(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    free = {"key": "blue", "pin": 4, "size": 1}
    assert editor.patch(f"/api/v1{at}", json={"custom_settings": free}).is_success
    shown = now(editor, at)
    (one,) = (found for found in fields.every(shown) if found.path == "/custom_settings")
    slip = one.text.replace('"size": 1', '"size": 2,')
    answer = operator.submit(at, {"base_version": 2, one.path: slip})
    assert answer.status_code == 422
    assert "type it again" not in answer.text
    assert html.escape('"size": 2,').replace("&quot;", "&#34;") in answer.text
    # The control: what is typed anew under such a name is in no page.
    slip = one.text.replace('"blue"', '"hunter2",')
    answer = operator.submit(at, {"base_version": 2, one.path: slip})
    assert "type it again" in answer.text
    assert "hunter2" not in answer.text


def test_a_secret_that_was_to_be_taken_away_is_so_in_the_form_that_asks_again(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    editor.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": "sk-first"}})
    form = {"base_version": 2, f"clear:{path}": "on", "/llm_settings/max_tokens": "many"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert f'name="clear:{path}" checked' in answer.text
    assert f'name="clear:{path}" checked' not in operator.get(at).text, "the control"


def test_what_nobody_knows_is_said_instead_of_dropped(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    form = {"base_version": 1, "/stt_settings/keywords": '[{"keyword": "a", "intensitty": 2}]'}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "did you mean" in html.unescape(answer.text)
    assert now(editor, at)["version"] == 1


def test_a_setting_that_is_there_no_longer_is_said_instead_of_dropped(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    """As when a page was opened before an upgrade."""
    form = {"base_version": 1, "/of_before/x": "typed", TEMPERATURE: "0.3"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert "This setting is there no longer" in answer.text
    assert now(editor, at)["version"] == 1
