"""Secrets: never shown, kept unless changed, and in no page that asks again."""

from __future__ import annotations

import html

import httpx
import pytest

from app.console import fields
from app.console.typed_secrets import typed_secrets
from events.policy import Policy
from tests.console import Browser, now


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


def test_a_typed_secret_is_in_no_page_that_asks_again(
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
        assert "enter the secret again" in page.lower()
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
def test_a_secret_typed_into_an_ordinary_field_is_in_no_page_that_asks_again(
    operator: Browser, admin: httpx.Client, at: str, path: str, text: str
) -> None:
    before = {"webhook_headers": {"x": "********"}} if '"x"' in text else {}
    read = now(admin, at) | before
    found = [one for group in fields.groups(read) for one in group.fields]
    assert [one.path for one in typed_secrets(found, {path: [text]}, Policy())] == [path]
    plain = text.replace("sk-typed@", "").replace("me:", "").replace("sk-typed", "")
    if "Authorization" not in text:  # the control: without its secret it is kept
        assert not typed_secrets(found, {path: [plain]}, Policy())
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
        assert "enter the secret again" in page.lower()


@pytest.mark.parametrize("text", ['{"account": "4711"}', '{"account": "4711",}'])
def test_a_value_that_the_policy_makes_secret_is_in_no_page_that_asks_again(
    admin: httpx.Client, at: str, text: str
) -> None:
    found = [one for group in fields.groups(now(admin, at)) for one in group.fields]
    form = {"/custom_settings": [text]}
    rules = Policy(secret_paths=["/custom_settings/*"])
    assert [one.path for one in typed_secrets(found, form, rules)] == ["/custom_settings"]
    assert not typed_secrets(found, form, Policy()), "the control"


def test_a_json_error_does_not_hide_text_beside_a_name_that_was_shown(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    free = {"key": "blue", "pin": 4, "size": 1}
    assert editor.patch(f"/api/v1{at}", json={"custom_settings": free}).is_success
    shown = now(editor, at)
    (one,) = (found for found in fields.all_fields(shown) if found.path == "/custom_settings")
    slip = one.text.replace('"size": 1', '"size": 2,')
    answer = operator.submit(at, {"base_version": 2, one.path: slip})
    assert answer.status_code == 422
    assert "enter the secret again" not in answer.text.lower()
    assert html.escape('"size": 2,').replace("&quot;", "&#34;") in answer.text
    # The control: what is typed anew under such a name is in no page.
    slip = one.text.replace('"blue"', '"hunter2",')
    answer = operator.submit(at, {"base_version": 2, one.path: slip})
    assert "enter the secret again" in answer.text.lower()
    assert "hunter2" not in answer.text


def test_the_removal_of_a_secret_stays_checked_in_the_form_that_asks_again(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    path = "/llm_provider_config/api_key"
    editor.patch(f"/api/v1{at}", json={"llm_provider_config": {"api_key": "sk-first"}})
    form = {"base_version": 2, f"clear:{path}": "on", "/llm_settings/max_tokens": "many"}
    answer = operator.submit(at, form)
    assert answer.status_code == 422
    assert f'name="clear:{path}" checked' in answer.text
    assert f'name="clear:{path}" checked' not in operator.get(at).text, "the control"
