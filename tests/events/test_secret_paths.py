"""The paths of a policy that decide about secrets, and the laws of all rules together."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.errors import InvalidSettings
from events.pointers import Tree
from events.policy import Policy
from events.secret_paths import can_be_secret, fault_of_plain, fault_of_secret
from events.secrets.masks import MASK
from events.secrets.references import mask, places
from tests.events.given import Given, create, created, given
from tests.events.sealing import ADDRESS, JWT, MASKED, RANDOM, custom, resend
from tests.events.strategies import modest

# -- the policy


def policy(*, secret: tuple[str, ...] = (), plain: tuple[str, ...] = ()) -> Policy:
    return Policy(secret_paths=list(secret), plain_paths=list(plain))


def sealed_under(rules: Policy, body: Tree, assistant: Given | None = None) -> list[str]:
    story = assistant or given(created())
    settings = story.after(resend(story, body, rules)).state.settings
    return ["/".join(one.at) for one in places(settings)]


@pytest.mark.parametrize(
    ("path", "sealed_ones"),
    [
        ("/custom_settings/crm/*/account", ["custom_settings/crm/a/account"]),
        ("/custom_settings/crm/a", ["custom_settings/crm/a/account"]),
        ("/custom_settings/*/a/n", []),
        ("/custom_settings/crm/list/*/x", ["custom_settings/crm/list/0/x"]),
        ("/custom_settings/crm/list/1", []),
        ("/end_call_message", ["end_call_message"]),
        ("/llm_settings", ["llm_settings/system_prompt"]),
        ("/custom_settings/elsewhere", []),
    ],
)
def test_a_secret_path_seals_what_is_set_below_it(path: str, sealed_ones: list[str]) -> None:
    body = custom({"a": {"account": "4711", "n": 5, "is": True}, "list": [{"x": "y"}, 3]})
    body |= {"end_call_message": "Bye", "llm_settings": {"system_prompt": "Hi", "temperature": 0.5}}
    found = sealed_under(policy(secret=(path,)), body)
    assert [one for one in found if one != "custom_settings/crm/list/1"] == sealed_ones
    assert sealed_under(policy(), body) == []


def test_a_plain_path_leaves_readable_what_only_its_name_would_hide() -> None:
    rules = policy(plain=("/custom_settings/crm/*", "/api_keys", "/webhook_url"))
    body = custom({"password": "x", "deep": {"token": "y"}, "jwt": JWT}) | {
        "api_keys": {"a": "k"},
        "webhook_url": "https://u:p@h/",
    }
    assert sealed_under(rules, body) == ["webhook_url", "custom_settings/crm/jwt", "api_keys/a"]
    assert len(sealed_under(policy(), body)) == 5


def test_a_path_that_becomes_plain_unseals_nothing() -> None:
    assistant = given().after(create(custom({"password": "x"})))
    rules = policy(plain=("/custom_settings/crm/password",))
    assistant.when(resend(assistant, mask(assistant.state.settings), rules)).then()
    settings = assistant.after(resend(assistant, custom({"password": "y"}), rules)).state.settings
    assert settings["custom_settings"] == custom({"password": "y"})["custom_settings"]
    assert sealed_under(policy(), custom({"password": "y"}), assistant), "the control"


def test_a_path_that_becomes_secret_leaves_what_came_back_as_it_was() -> None:
    assistant = given().after(create(custom({"account": "4711"})))
    rules = policy(secret=("/custom_settings/crm/account",))
    assistant.when(resend(assistant, mask(assistant.state.settings), rules)).then()
    assert sealed_under(rules, custom({"account": "0815"}), assistant)


def test_a_secret_path_seals_no_empty_text_and_no_switch() -> None:
    rules = policy(secret=("/custom_settings/crm",))
    assert sealed_under(rules, custom({"account": "", "is": True, "none": None})) == []
    assert sealed_under(rules, custom({"account": "4711"})), "the control"


def test_a_secret_path_seals_no_choice_among_words() -> None:
    rules = policy(secret=("/tools_settings", "/llm_settings"))
    body = {
        "tools_settings": {"transfer_call": {"transfer_type": "cold"}},
        "llm_settings": {"system_prompt": "Be kind"},
    }
    assert sealed_under(rules, body) == ["llm_settings/system_prompt"]
    assert not can_be_secret(("tools_settings", "transfer_call", "transfer_type"))


def test_a_place_that_is_both_is_secret() -> None:
    path = "/custom_settings/crm/account"
    assert sealed_under(policy(secret=(path,), plain=(path,)), custom({"account": "4711"}))


@pytest.mark.parametrize(
    ("path", "of_secret", "of_plain"),
    [
        ("custom_settings/*/x", None, None),
        ("tools_settings/custom_tools/*/key", None, None),
        ("llm_settings", None, None),
        ("llm_settings/system_prompt", None, None),
        ("llm_fallback_providers/fallbacks/*", None, None),
        ("llm_settings/temperature", "cannot_be_secret", None),
        ("tools_settings/transfer_call/transfer_type", "cannot_be_secret", None),
        ("name", "never_secret", None),
        ("bypass_numbers/*", "never_secret", None),
        ("api_keys/a", None, "secret_by_definition"),
        ("webhook_headers/*", None, "secret_by_definition"),
        ("webhook_headers", None, "secret_by_definition"),
        ("api_keys", None, "secret_by_definition"),
        ("llm_provider_config", None, None),
        ("llm_fallback_providers/fallbacks/*/api_key", None, "secret_by_definition"),
        ("llm_settings/nothing", "no_such_path", "no_such_path"),
        ("*/*/*/*/*/*", None, None),
    ],
)
def test_a_path_of_the_policy_must_be_able_to_mean_something(
    path: str, of_secret: str | None, of_plain: str | None
) -> None:
    assert fault_of_secret(tuple(path.split("/"))) == of_secret
    assert fault_of_plain(tuple(path.split("/"))) == of_plain


# -- the law of them all


ANY_NAMES = st.sampled_from(
    ["a", "key", "name", "value", "token", "password", "pin", "parameters", "properties", "type",
     "default", "secrets", "0"],
)  # fmt: skip
ANY_TEXTS = st.sampled_from(
    ["x", "", MASK, "*", "erased", JWT, f"Bearer {RANDOM}", RANDOM, "Cookie", "object", ADDRESS,
     MASKED, "https://u:p@h/", f"https://{MASK}@h/", f"https://h/?x={JWT}&token=erased", "string"],
)  # fmt: skip
ANY_VALUES = st.recursive(
    ANY_TEXTS | st.sampled_from([None, 1, True, 0.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_NAMES, inner, max_size=3),
    max_leaves=6,
)
ANY_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "custom_settings": st.dictionaries(ANY_NAMES, ANY_VALUES, max_size=3),
        "llm_provider_config": st.fixed_dictionaries(
            {"custom_config": st.dictionaries(ANY_NAMES, ANY_VALUES, max_size=3)}
        ),
        "tools_settings": st.fixed_dictionaries(
            {"custom_tools": st.lists(st.dictionaries(ANY_NAMES, ANY_VALUES), max_size=3)}
        ),
        "webhook_url": ANY_TEXTS,
        "api_keys": st.dictionaries(ANY_NAMES, ANY_TEXTS, max_size=2),
        "llm_settings": st.fixed_dictionaries({"stop_sequences": st.lists(ANY_TEXTS, max_size=3)}),
    },
)
ANY_PATHS = st.lists(
    st.sampled_from(
        ["/custom_settings", "/custom_settings/*/token", "/tools_settings/custom_tools/*",
         "/llm_provider_config/custom_config/a", "/webhook_url", "/llm_settings", "/api_keys"]
    ),
    max_size=3,
).map(tuple)  # fmt: skip
ANY_POLICIES = st.builds(lambda s, p: policy(secret=s, plain=p), ANY_PATHS, ANY_PATHS)


@modest
@for_all(st.lists(st.tuples(ANY_BODIES, ANY_POLICIES), max_size=3), ANY_POLICIES)
def test_what_is_shown_may_come_back_under_any_policy_and_changes_nothing(
    sent: list[tuple[Tree, Policy]], now: Policy
) -> None:
    assistant = given(created())
    for body, rules in sent:
        with suppress(InvalidSettings):
            assistant = assistant.after(resend(assistant, body, rules))
    settings = assistant.state.settings
    assert json.loads(json.dumps(settings)) == settings
    assistant.when(resend(assistant, mask(settings), now)).then()


@modest
@for_all(ANY_BODIES, ANY_POLICIES)
def test_no_credential_by_its_form_is_in_the_settings_under_any_policy(
    body: Tree, rules: Policy
) -> None:
    assistant = given(created())
    with suppress(InvalidSettings):
        assistant = assistant.after(resend(assistant, body, rules))
    assert JWT not in repr(assistant.state.settings)
    assert "u:p" not in repr(assistant.state.settings)
    assert f"Bearer {RANDOM}" not in repr(assistant.state.settings)
