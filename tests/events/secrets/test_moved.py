"""A kept secret is not sent to another address."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from events import pointers, shape
from events.commands import ChangeSettings
from events.decider import decide
from events.errors import InvalidSettings
from events.pointers import MARK, Tree, split
from events.secrets.addresses import origin
from events.secrets.masks import MASK
from events.secrets.references import places
from events.settings import SECRET_RECORDS, SETTING_NAMES
from tests.events.given import PATCH, Given, create, created, envelope, given, patch, secret

GOOD, EVIL = "https://good.example", "https://evil.example"


def with_fallback(**members: Any) -> Tree:
    return {"llm_fallback_providers": {"fallbacks": [{"provider": "openai"} | members]}}


def with_tool(**members: Any) -> Tree:
    return {"tools_settings": {"custom_tools": [{"tool_id": "crm"} | members]}}


# What is stored, and what an editor sends who may not read the secret in it.
ATTACKS: dict[str, tuple[Tree, Tree]] = {
    "the provider's base URL": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": EVIL}},
    ),
    "a base URL where there was none": (
        {"llm_provider_config": {"api_key": "sk"}},
        {"llm_provider_config": {"base_url": EVIL}},
    ),
    "no base URL where there was one": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": None}},
    ),
    "another port": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": f"{GOOD}:8443"}},
    ),
    "another scheme": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": "http://good.example"}},
    ),
    "a host behind user information": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": "https://good.example@evil.example"}},
    ),
    "an address without a scheme": (
        {"custom_settings": {"crm": {"token": "t", "to": "//good.example/a"}}},
        {"custom_settings": {"crm": {"token": MASK, "to": "//evil.example/a"}}},
    ),
    "the provider": (
        {"llm_provider": "openai", "llm_provider_config": {"api_key": "sk"}},
        {"llm_provider": "elsewhere"},
    ),
    "an address in the provider's own configuration": (
        {
            "llm_provider_config": {
                "api_key": "sk",
                "custom_config": {"ws_url": "wss://good.example"},
            }
        },
        {"llm_provider_config": {"custom_config": {"ws_url": "wss://evil.example"}}},
    ),
    "a host without a scheme": (
        {"llm_provider_config": {"api_key": "sk", "custom_config": {"host": "good.example"}}},
        {"llm_provider_config": {"custom_config": {"host": "evil.example"}}},
    ),
    "a proxy": (
        {"llm_provider_config": {"api_key": "sk"}},
        {"llm_provider_config": {"custom_config": {"proxy": "evil.example:3128"}}},
    ),
    "a region that ends the host's name": (
        {"stt_settings": {"provider_config": {"token": "t", "region": "westus"}}},
        {"stt_settings": {"provider_config": {"region": "evil.example/?"}}},
    ),
    "the webhook beside its headers": (
        {"webhook_url": GOOD, "webhook_headers": {"Authorization": "Bearer x"}},
        {"webhook_url": EVIL},
    ),
    "the webhook of texts": (
        {"webhook_url": GOOD, "webhook_headers": {"Authorization": "Bearer x"}},
        {"sms_webhook_url": EVIL},
    ),
    "the provider of voices": (
        {"tts_settings": {"provider": "a", "provider_config": {"api_key": "k"}}},
        {"tts_settings": {"provider": "b"}},
    ),
    "the URL of one fallback": (
        with_fallback(api_key="sk", base_url=GOOD),
        with_fallback(api_key=MASK, base_url=EVIL),
    ),
    "a URL in a fallback's config": (
        with_fallback(config={"api_key": "sk"}),
        with_fallback(config={"api_key": MASK, "base_url": EVIL}),
    ),
    "the URL of one tool": (
        with_tool(url=GOOD, headers={"Authorization": "Bearer x"}),
        with_tool(url=EVIL, headers={"Authorization": MASK}),
    ),
    "the URL of a tool whose headers are pairs": (
        with_tool(server={"url": GOOD}, headers=[{"name": "Authorization", "value": "Bearer x"}]),
        with_tool(server={"url": EVIL}, headers=[{"name": "Authorization", "value": MASK}]),
    ),
    "a URL in one record of custom settings": (
        {"custom_settings": {"crm": {"url": GOOD, "token": "t"}}},
        {"custom_settings": {"crm": {"url": EVIL, "token": MASK}}},
    ),
    "a URL in a branch of the record": (
        {"custom_settings": {"crm": {"endpoint": {"url": GOOD}, "auth": {"token": "t"}}}},
        {"custom_settings": {"crm": {"endpoint": {"url": EVIL}, "auth": {"token": MASK}}}},
    ),
    "a plain member beside the record": (
        {"custom_settings": {"crm_url": GOOD, "crm": {"token": "t"}}},
        {"custom_settings": {"crm_url": EVIL}},
    ),
    "a record beside a plain secret": (
        {"custom_settings": {"token": "t", "crm": {"url": GOOD}}},
        {"custom_settings": {"crm": {"url": EVIL}}},
    ),
    "the host of a variable": (
        {"custom_settings": {"crm": {"url": "https://{{where}}/v1", "where": "a.b", "token": "t"}}},
        {
            "custom_settings": {
                "crm": {"url": "https://{{where}}/v1", "where": "e.f", "token": MASK}
            }
        },
    ),
    "credentials in a URL": (
        {"webhook_url": "https://user:pass@good.example/a"},
        {"webhook_url": f"https://{MASK}@evil.example/a"},
    ),
    "a recording's store": (
        {"recording_settings": {"s3_secret": "s", "endpoint": "s3.good.example"}},
        {"recording_settings": {"endpoint": "s3.evil.example"}},
    ),
    "the key of a provider that is said to be elsewhere": (
        {"api_keys": {"openai_api_key": "sk"}},
        {"llm_provider_config": {"base_url": EVIL}},
    ),
    "the key of a voice's provider": (
        {"api_keys": {"elevenlabs_api_key": "sk"}},
        {"tts_settings": {"provider_config": {"api_url": EVIL}}},
    ),
    "the key of a fallback without one of its own": (
        {"api_keys": {"openai_api_key": "sk"}},
        with_fallback(base_url=EVIL),
    ),
}


def crm(members: Tree) -> Tree:
    return {"custom_settings": {"crm": members}}


def base_url(url: Any, **custom: Any) -> Tree:
    return {"llm_provider_config": {"base_url": url, "custom_config": custom}}


# Ways to write an address that a review found unseen: (name of the member, before, after).
_WRITTEN: tuple[tuple[str, Any, Any], ...] = (
    ("base_url", "https://a.example/v1", "https://a.example\t.evil.example/v1"),
    ("base_url", "https://a.example/v1", "https://a.example'.evil.example/"),
    ("base_url", "https://a.example/v1", "https://a.example\u00a0.evil.example/"),
    ("base_url", "https://a.example/v1", "https:\t//evil.example/v1"),
    ("base_url", "https://a.example/v1", "evil.example\t/v1"),
    ("base_url", "https://a.example/v1", "https:/evil.example"),
    ("url", "https:/a.example", "https:/evil.example"),
    ("link", "x", "https:\\\\evil.example"),
    ("link", "x", "https:/evil.example"),
    ("link", "x", "/\\evil.example"),
    ("webhooks", "x", "evil"),
    ("target", "a.example", "evil.example"),
    ("brokers", "a.example, b.example", "a.example, evil.example"),
    ("connection", "host=a.example dbname=x", "host=evil.example dbname=x"),
    ("connection", "Server=a.example;Database=x", "Server=evil.example;Database=x"),
    ("trunk", "sip:u@a.example", "sip:u@evil.example"),
    ("\uff55\uff52\uff4c", "intern", "evil"),
    ("ssl", True, False),
    ("port", 443, 8443),
    ("server", {"a.example": {}}, {"evil.example": {}}),
    ("options", [["host", "a"]], [["host", "evil"]]),
    ("servers", [{"url": GOOD}, {"url": EVIL}], [{"url": EVIL}, {"url": GOOD}]),
    ("urls", {"url": GOOD, "docs": EVIL}, {"url": EVIL, "docs": GOOD}),
    ("to", ["https://{{crm.at}}/", {"at": "a"}], ["https://{{crm.at}}/", {"at": "evil"}]),
    ("to", ["https://%(h)s/", {"h": "a"}], ["https://%(h)s/", {"h": "evil"}]),
    ("to", ["https://${AT}/", {"at": "a"}], ["https://${AT}/", {"at": "evil"}]),
    ("region", "us", "evil.example/?"),
)


ATTACKS |= {
    f"{name}: {before!r} to {after!r}": (
        crm({"token": "t", name: before}),
        crm({"token": MASK, name: after}),
    )
    for name, before, after in _WRITTEN
}


ATTACKS |= {
    "a sealed address": (
        crm({"password": "p", "credentials": {"webhook": GOOD}}),
        crm({"password": MASK, "credentials": {"webhook": EVIL}}),
    ),
    "an address beside its own decoy": (
        {"custom_settings": {"crm": [{"name": "endpoint", "value": GOOD}, {"token": "t"}]}},
        {
            "custom_settings": {
                "crm": [{"name": "endpoint", "value": GOOD}, {"token": MASK, "x": GOOD}]
            }
        },
    ),
    "the speech provider's region": (
        {"stt_settings": {"provider_config": {"api_key": "k"}, "speechmatics_config": {}}},
        {"stt_settings": {"speechmatics_config": {"region": "evil.example/?"}}},
    ),
}


cases = pytest.mark.parametrize("name", ATTACKS)


def attack(name: str) -> tuple[Given, Tree]:
    stored, sent = ATTACKS[name]
    return given().after(create(stored)), sent


def ids_of(story: Given) -> set[str]:
    return {place.reference[MARK]["id"] for place in places(story.state.settings)}


@cases
def test_a_kept_secret_is_not_sent_elsewhere(name: str) -> None:
    story, sent = attack(name)
    errors = story.when(patch(sent, itertools.count(50))).errors()
    assert {kind for _, kind in errors} == {"secret_address_changed"}
    places_now = [pointers.join(tuple(map(str, at[1:]))) for at, _ in errors]
    assert set(places_now) <= {pointers.join(one.at) for one in places(story.state.settings)}


@cases
def test_control_a_caller_who_may_reveal_it_sends_it_anywhere(name: str) -> None:
    story, sent = attack(name)
    event = decide(patch(sent, itertools.count(50)), story.state, envelope(2), may_reveal=True)
    assert event is not None
    assert ids_of(story) & ids_of(Given((*story.events, event)))


def test_a_refusal_names_the_secrets_in_the_order_of_the_settings() -> None:
    """Whatever the process: the order of a set of texts is another one in each."""
    stored: Tree = {
        "llm_provider_config": {"api_key": "k", "base_url": GOOD},
        "webhook_url": GOOD,
        "webhook_headers": {"A": "t"},
        "tts_settings": {"provider_config": {"api_key": "k", "base_url": GOOD}},
        "stt_settings": {"provider_config": {"api_key": "k", "base_url": GOOD}},
        "api_keys": {"openai": "k"},
    }
    sent: Tree = {
        "llm_provider_config": {"base_url": EVIL},
        "webhook_url": EVIL,
        "tts_settings": {"provider_config": {"base_url": EVIL}},
        "stt_settings": {"provider_config": {"base_url": EVIL}},
    }
    errors = given().after(create(stored)).when(patch(sent)).errors()
    holders = [at[1] for at, _ in errors]
    assert holders == [name for name in SETTING_NAMES if name in holders]
    assert len(holders) == 5


def test_a_refusal_names_the_addresses_and_what_to_do() -> None:
    story, sent = attack("the provider's base URL")
    (error,) = story.when(patch(sent)).refused(InvalidSettings).errors
    for said in ("https://good.example", "https://evil.example", "/llm_provider_config/base_url"):
        assert said in error.msg
    assert "Send the secret again with it, or remove the secret" in error.msg


@pytest.mark.parametrize(
    "url", ["https://evil.example\\@good.example", "https://evil.example:a/@good.example"]
)
def test_a_url_whose_host_is_another_one_to_some_programs_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        patch({"llm_provider_config": {"base_url": url}})
    (error,) = refused.value.errors
    assert (error.loc[-1], error.type) == ("base_url", "ambiguous_url")


def test_an_address_that_the_policy_makes_secret_is_an_address_all_the_same() -> None:
    stored = {"llm_provider_config": {"api_key": secret("1"), "base_url": secret("2")}}
    story = given(created(stored))
    sealed_again = ChangeSettings(
        patch={"llm_provider_config": {"base_url": secret("3")}}, cause=PATCH
    )
    assert story.when(sealed_again).errors() == [
        (("body", "llm_provider_config", "api_key"), "secret_address_changed")
    ]


@pytest.mark.parametrize(("mark", "is_refused"), [({"address": True}, True), ({}, False)])
def test_a_secret_that_was_stored_as_an_address_is_one_under_any_name(
    mark: Tree, *, is_refused: bool
) -> None:
    def config(number: str) -> Tree:
        return {"custom_config": {"pin": {MARK: {"id": number} | mark}}}

    stored = {"llm_provider_config": {"api_key": secret("1")} | config("2")}
    change = ChangeSettings(patch={"llm_provider_config": config("3")}, cause=PATCH)
    when = given(created(stored)).when(change)
    if is_refused:
        assert ("body", "llm_provider_config", "api_key") in dict(when.errors())
    else:
        assert when.decided()


# What an editor does each day, near a secret that stays: (name of the member, before, after).
_EVERYDAY: tuple[tuple[str, Any, Any], ...] = (
    ("opens", "09:00", "10:00"),
    ("base_prompt", "Be kind", "Be brief: two lines."),
    ("account_name", "Acme Inc.", "Acme & Co."),
    ("domain_knowledge", "cars", "boats"),
    ("address", "Berlin", "Rome"),
    ("country_of_origin", "France", "Spain"),
    ("is_server_side", True, False),
    ("server_name", "Anna", "Ben"),
    ("greeting", "Hello. World", "Good morning! How are you?"),
    ("path", "/v1/a", "/v2/b"),
    ("url", f"{GOOD}/users/@me?a=1", f"{GOOD}/users/{{{{id}}}}?b=2#c"),
    ("temperature", 0.5, 0.75),
    ("region", "westus", "northeurope"),
    ("template", "hello.txt", "goodbye.txt"),
)
ALLOWED: dict[str, tuple[Tree, Tree]] = {
    f"{name}: {before!r} to {after!r}": (
        crm({"token": "t", "base_url": GOOD, name: before}),
        crm({"token": MASK, "base_url": GOOD, name: after}),
    )
    for name, before, after in _EVERYDAY
} | {
    "a webhook that is taken away": (
        {"webhook_url": GOOD, "sms_webhook_url": EVIL, "webhook_headers": {"X": "x"}},
        {"sms_webhook_url": None},
    ),
    "a fallback that is taken away, and others in another order": (
        {
            "api_keys": {"openai_api_key": "k"},
            "llm_fallback_providers": {
                "fallbacks": [{"provider": n, "base_url": f"https://{n}.example"} for n in "abc"]
            },
        },
        {
            "llm_fallback_providers": {
                "fallbacks": [{"provider": n, "base_url": f"https://{n}.example"} for n in "ca"]
            }
        },
    ),
    "the value is sent along": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"api_key": "sk", "base_url": EVIL}},
    ),
    "the secret is dropped": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"api_key": None, "base_url": EVIL}},
    ),
    "another path on the same host": (
        {"llm_provider_config": {"api_key": "sk", "base_url": f"{GOOD}/v1"}},
        {"llm_provider_config": {"base_url": f"{GOOD}:443/v2?a=b"}},
    ),
    "the host in another spelling": (
        {"llm_provider_config": {"api_key": "sk", "base_url": GOOD}},
        {"llm_provider_config": {"base_url": "HTTPS://Good.Example./"}},
    ),
    "a prompt with an address": (
        {"llm_provider_config": {"api_key": "sk"}},
        {"llm_settings": {"system_prompt": f"See {EVIL}"}},
    ),
    "another voice": (
        {"api_keys": {"elevenlabs_api_key": "k"}, "tts_settings": {"provider": "elevenlabs"}},
        {"tts_settings": {"provider": "cartesia", "voice_id": "x"}},
    ),
    "another region of the provider": (
        {"stt_settings": {"provider_config": {"token": "t", "region": "westus"}}},
        {"stt_settings": {"provider_config": {"region": "northeurope"}}},
    ),
    "another record of custom settings": (
        {"custom_settings": {"crm": {"url": GOOD, "token": "t"}, "erp": {"url": GOOD}}},
        {"custom_settings": {"erp": {"url": EVIL}}},
    ),
    "another fallback": (
        {
            "llm_fallback_providers": {
                "fallbacks": [{"provider": "a", "api_key": "k"}, {"provider": "b"}]
            }
        },
        {
            "llm_fallback_providers": {
                "fallbacks": [
                    {"provider": "a", "api_key": MASK},
                    {"provider": "b", "base_url": EVIL},
                ]
            }
        },
    ),
    "another element of a list in a record": (
        {"custom_settings": {"hooks": [{"url": GOOD, "token": "t"}, {"url": GOOD}]}},
        {"custom_settings": {"hooks": [{"url": GOOD, "token": MASK}, {"url": EVIL}]}},
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_sends_no_kept_secret_elsewhere_is_allowed(name: str) -> None:
    stored, sent = ALLOWED[name]
    assert given().after(create(stored)).when(patch(sent, itertools.count(50))).decided()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.b", "https://a.b:443/"),
        ("http://a.b:80", "HTTP://A.B."),
        ("https://user:pass@a.b/c", "https://a.b?d#e"),
        ("https://[::1]/", "https://[::1]:443"),
        ("wss://a.b", "wss://a.b:443"),
    ],
)
def test_two_spellings_of_one_address(one: str, other: str) -> None:
    assert origin(one) == origin(other)


@pytest.mark.parametrize(
    "other",
    [
        "http://a.b", "https://a.b:8443", "https://a.c", "https://sub.a.b", "https://a.b@c.d",
        "https://c.d\\@a.b", "https://a.b\\@c.d", "https://a.b%2ec.d", "https://a.b%00", "//a.b",
        "https:\\\\a.b", "https://\u0430.b", "https://a.b,c.d",
    ],
)  # fmt: skip
def test_an_address_that_some_program_may_read_otherwise_is_another_one(other: str) -> None:
    assert origin(other) != origin("https://a.b")


def test_every_setting_that_holds_secrets_has_a_record() -> None:
    """One that is added without a record is its own: its top-level setting."""
    covered = {split(record.secrets)[0] for record in SECRET_RECORDS}
    holding = {
        name for name, member in shape.SETTINGS.members.items() if _holds_secrets(member.shape)
    }
    assert holding - covered == {"recording_settings"}


def _holds_secrets(kind: shape.Shape) -> bool:
    match kind:
        case shape.Scalar(secret=secret):
            return secret
        case shape.Record(members=members, open=is_open):
            return is_open or any(_holds_secrets(member.shape) for member in members.values())
        case shape.Listing(item=inner) | shape.Mapping(value=inner):
            return _holds_secrets(inner)
        case shape.FreeForm():
            return True
