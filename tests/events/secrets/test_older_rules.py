"""What was stored under older rules, and what is empty or erased."""

from __future__ import annotations

import json

import pytest

from events.bodies.patch import read_patch
from events.bodies.untouched import untouched
from events.commands import ChangeSettings
from events.pointers import Tree, is_reference
from events.secrets.masks import MASK
from events.secrets.references import AT, URL, mask, places
from events.secrets.restore import with_secrets_of
from tests.events.given import PATCH, create, created, given, patch, sealed, secret
from tests.events.sealing import JWT, RANDOM, REFERENCE, custom, resend, sealed_at, shown

# -- what stood before, and comes back


OLD = {
    "custom_settings": {
        "note": JWT, "pin": "4711", "hook": f"https://h/?api_key={RANDOM}", "stars": "***",
        "headers": [["X-Hub-Signature", "abc"]], "list": [{"a": f"Bearer {RANDOM}", "b": 1}],
        "both": secret("1.u") | {URL: "https://h/?api_key=plain"},
        "key": secret("1.k"), "token_budget": secret("1.n"), "mode": "fast",
        "records": [{"key": secret("1.l"), "x": 1}, {"key": secret("1.m"), "x": 2}],
        "otp": "...",
    },
    "description": f"Bearer {RANDOM}",
}  # fmt: skip


def test_what_stood_before_may_be_sent_back_and_changes_nothing() -> None:
    assistant = given(created(OLD))
    assistant.when(resend(assistant, mask(assistant.state.settings))).then()
    reordered = json.loads(json.dumps(mask(assistant.state.settings), sort_keys=True))
    assistant.when(resend(assistant, reordered)).then()


def test_without_that_rule_what_stood_before_would_be_sealed_or_lost() -> None:
    assistant = given(created(OLD))
    body = {"custom_settings": {"note": JWT, "pin": "4711", "otp": "..."}}
    settings = assistant.after(patch(body)).state.settings["custom_settings"]
    assert is_reference(settings["note"])
    assert is_reference(settings["pin"])
    assert "otp" not in settings


def test_a_new_value_of_what_stood_readable_is_sealed() -> None:
    assistant = given(created(OLD))
    body = {"custom_settings": {"pin": "0815", "note": f"Bearer {RANDOM}"}}
    settings = assistant.after(resend(assistant, body)).state.settings["custom_settings"]
    assert is_reference(settings["pin"])
    assert is_reference(settings["note"])
    assert settings["hook"] == f"https://h/?api_key={RANDOM}", "what is not sent stays"


def test_a_change_beside_what_stood_before_leaves_it_alone() -> None:
    assistant = given(created(OLD))
    body = {"custom_settings": {"mode": "slow"}, "end_call_message": "Bye"}
    event = assistant.when(resend(assistant, body)).decided()
    assert event is not None
    assert set(event.changes) == {"/custom_settings/mode", "/end_call_message"}  # type: ignore[union-attr]


def test_what_was_read_of_an_older_version_and_came_back_is_no_edit_of_ones_own() -> None:
    assistant = given(created(OLD))
    base = assistant.state.settings
    now = assistant.after(resend(assistant, {"custom_settings": {"note": "theirs", "pin": None}}))
    body = mask(base) | {"end_call_message": "mine"}
    merged = now.after(resend(now, body, base=base)).state.settings
    assert merged["end_call_message"] == "mine"
    assert merged["custom_settings"]["note"] == "theirs"
    assert "pin" not in merged["custom_settings"]


def test_a_mask_keeps_what_the_old_rule_sealed_where_the_new_one_would_not() -> None:
    assistant = given(created(OLD))
    records = [{"key": MASK, "x": 3}, {"key": MASK, "x": 2}]
    body = {"custom_settings": {"key": MASK, "records": records}}
    settings = assistant.after(resend(assistant, body)).state.settings["custom_settings"]
    assert settings["key"] == secret("1.k")
    assert settings["records"][1] == {"key": secret("1.m"), "x": 2}
    assert "********" not in repr(settings["key"])


# -- nothing, and what was erased


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (custom({"password": ""}), {"crm": {"password": ""}}),
        (custom({"passwords": ["", "x"]}), None),
        ({"llm_provider_config": {"api_key": ""}}, None),
        ({"api_keys": {"a": ""}}, None),
        ({"webhook_headers": {"A": ""}}, None),
    ],
)
def test_an_empty_text_is_no_secret(body: Tree, left: Tree | None) -> None:
    settings = given().after(create(body)).state.settings
    found = ["/".join(one.at) for one in places(settings)]
    assert found == (["custom_settings/crm/passwords/1"] if "passwords" in repr(body) else [])
    if left is not None:
        assert settings["custom_settings"] == left
    assert settings["llm_provider_config"]["api_key"] is None


def test_a_new_value_of_what_an_older_rule_sealed_is_sealed_and_an_empty_one_is_empty() -> None:
    assistant = given(
        created({"llm_provider_config": {"custom_config": {"budget": secret("1.b")}}})
    )
    for value, is_sealed in (("new", True), ("", False)):
        body = {"llm_provider_config": {"custom_config": {"budget": value}}}
        settings = assistant.after(resend(assistant, body)).state.settings
        assert is_reference(settings["llm_provider_config"]["custom_config"]["budget"]) == is_sealed


def test_what_is_restored_of_a_url_gets_no_credential_of_another_parameter() -> None:
    now = secret("2.a") | {URL: "https://h/?token=", AT: [17]}
    same_one = secret("1.a") | {URL: "https://h/old?token=", AT: [20]}
    other = secret("1.a") | {URL: "https://h/?api_key=", AT: [19]}
    assert with_secrets_of(same_one, now) == same_one | {"$secret": now["$secret"]}
    assert with_secrets_of(other, now) == "https://h/?api_key="


def test_an_empty_text_in_a_list_of_secrets_keeps_its_place() -> None:
    found = shown(custom({"passwords": ["x", "", "y"], "pairs": [["Cookie", ""]]}))
    assert found["custom_settings"]["crm"] == {
        "passwords": [MASK, "", MASK],
        "pairs": [["Cookie", ""]],
    }


def test_an_absent_member_and_a_null_one_are_no_secrets() -> None:
    assert sealed_at(custom({"password": None, "pairs": [{"key": "Cookie"}, {"value": "x"}]})) == []
    assert sealed_at({"llm_fallback_providers": {"fallbacks": [{"provider": "a"}]}}) == []
    assistant = given().after(create(custom({"a": 1})))
    assistant.when(resend(assistant, custom({"a": 1}) | {"api_keys": {"gone": MASK}})).then()
    nulls = {"api_keys": {"a": None}, "webhook_headers": {"a": None}}
    settings = given().after(create(nulls)).state.settings
    assert (settings["api_keys"], settings["webhook_headers"]) == ({}, {})


@pytest.mark.parametrize(("version", "seen"), [(0, MASK), (1, MASK), (2, "erased"), (3, "erased")])
def test_a_value_is_shown_as_erased_from_the_version_of_its_erasure(
    version: int, seen: str
) -> None:
    tree = {"a": [secret("2.x")], "b": {"c": secret("2.y")}, "d": secret("2.z") | {URL: "s://h"}}
    assert mask(tree, version) == {"a": [seen], "b": {"c": seen}, "d": f"s://{seen}@h"}


def test_what_is_shown_as_erased_may_be_sent_back() -> None:
    assistant = given(
        created({"custom_settings": {"note": secret("1.x"), "hook": REFERENCE | {AT: [13, 16]}}})
    )
    body = mask(assistant.state.settings, 1)
    assert body["custom_settings"] == {"note": "erased", "hook": "https://h/?a=erased&b=erased"}
    tree = untouched(read_patch(body).tree, body, assistant.state.settings, 1)
    assistant.when(ChangeSettings(patch=sealed(tree), cause=PATCH)).then()
