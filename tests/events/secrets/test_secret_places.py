from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET

from events.errors import InvalidSettings
from events.patching import patched
from events.pointers import MARK, Tree, is_reference, same
from events.secrets.counterparts import counterparts
from events.secrets.credential_names import speaks_of_credential
from events.secrets.masks import ERASED, MASK
from events.secrets.references import URL, changed_secrets, mask, places
from events.secrets.restore import with_secrets_of
from events.secrets.values import KEPT, Kept, Plain, read_text
from events.settings import SETTING_NAMES
from tests.events.given import NAME, Given, at_path, create, created, given, patch, secret
from tests.events.strategies import NAMES, SCALARS, modest, secret_bodies

FALLBACKS = ("llm_fallback_providers", "fallbacks")
TOOLS = ("tools_settings", "custom_tools")


# -- names


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "api-key", "ApiKey", "APIKey", "API_KEY", "apikey", "X-Api-Key",
        "openai_api_key", "apiKeys", "api_key_2", "secret2", "2password",
        "token", "access_token", "accessToken", "authToken", "bearer_token", "AUTH-TOKEN",
        "secret", "clientSecret", "client-secret", "webhook_secret", "secrets",
        "password", "userPassword", "passwords", "passwd", "passphrase",
        "authorization", "Authorization", "Proxy-Authorization",
        "credential", "credentials", "googleCredentials", "private_key", "privateKey",
        "cookie", "Cookie", "subscription_key", "inworld_bearer_token",
    ],
)  # fmt: skip
def test_a_name_that_speaks_of_a_credential(name: str) -> None:
    assert speaks_of_credential(name)


@pytest.mark.parametrize(
    "name",
    [
        "keyterms", "keywords", "keyword", "keyboard", "monkey", "turkey", "max_tokens",
        "maxTokens", "max-tokens", "tokenizer", "tokens", "secretary", "cookiecutter",
        "author", "model", "", "0", "é", "voice_id", "privately", "keys", "key", "accessKeyId",
    ],
)  # fmt: skip
def test_a_name_that_does_not(name: str) -> None:
    assert not speaks_of_credential(name)


@pytest.mark.parametrize("name", ["APIkey", "APIkeys", "OPENAIkey", "DBpassword", "JWTsecret"])
def test_an_acronym_before_the_word_does_not_hide_it(name: str) -> None:
    assert speaks_of_credential(name)


@pytest.mark.parametrize(
    "name",
    ["authtoken", "accesstoken", "bearertoken", "clientsecret", "secretkey", "accesskey",
     "privatekey", "dbpassword"],
)  # fmt: skip
def test_words_that_run_together_still_speak_of_a_credential(name: str) -> None:
    assert speaks_of_credential(name)


# -- a secret on its way


def test_a_plain_secret_does_not_show_itself() -> None:
    plain = Plain("sk-hunter2")
    for shown in (repr(plain), str(plain), f"{plain}", f"{plain!r}", repr({"a": [plain]})):
        assert "hunter2" not in shown
    assert plain.value == "sk-hunter2", "it is there all the same"


def test_a_secret_that_was_never_sealed_cannot_be_written() -> None:
    for encode in (msgspec.json.encode, msgspec.msgpack.encode):
        with suppress(TypeError):
            assert b"hunter2" not in encode({"api_key": Plain("sk-hunter2")})


# -- masks


def test_a_reference_is_shown_as_a_mask_and_nothing_else_is() -> None:
    tree = {"a": secret("1"), "b": [secret("2"), {"c": secret("3")}], "d": "x", "e": {}, "f": None}
    assert mask(tree) == {"a": MASK, "b": [MASK, {"c": MASK}], "d": "x", "e": {}, "f": None}
    assert [place.reference[MARK]["id"] for place in places(tree)] == ["1", "2", "3"]


def test_an_erased_value_is_shown_as_erased_and_a_later_one_as_a_mask() -> None:
    tree = {"a": secret("2.x"), "b": [secret("3.x")], "c": secret("4.x")}
    assert mask(tree, 3) == {"a": ERASED, "b": [ERASED], "c": MASK}
    assert mask(tree) == {"a": MASK, "b": [MASK], "c": MASK}
    url = secret("2.x") | {URL: "https://example.com/"}
    assert ERASED in mask(url, 2)
    assert ERASED not in mask(url, 1)


def test_a_mask_keeps_the_secret_that_is_stored() -> None:
    assert patched({"a": KEPT}, {"a": secret("1")}) == {"a": secret("1")}


@pytest.mark.parametrize("stored", [{}, {"a": None}, {"a": "x"}, {"a": {"b": secret("1")}}])
def test_a_mask_for_nothing_is_nothing(stored: Tree) -> None:
    assert patched({"a": KEPT, "b": 1}, stored) == {"b": 1}


def test_a_secret_that_is_sent_takes_the_place_of_the_one_that_is_stored() -> None:
    assert patched({"a": secret("2")}, {"a": secret("1")}) == {"a": secret("2")}
    assert patched({"a": secret("2")}, {}) == {"a": secret("2")}


# -- which element of a list continues which


def fallback(provider: str, identity: str | None = None, model: str | None = None) -> Tree:
    element: Tree = {"provider": provider, "model": model}
    return element if identity is None else element | {"api_key": secret(identity)}


def asked(provider: str, model: str | None = None) -> Tree:
    """A fallback as a client sends it back: its key masked."""
    return {"provider": provider, "api_key": KEPT} | ({"model": model} if model else {})


def kept_ids(news: list[Any], olds: list[Any]) -> list[str]:
    tree = {"llm_fallback_providers": {"fallbacks": news}}
    current = {"llm_fallback_providers": {"fallbacks": olds}}
    settled = patched(tree, current)["llm_fallback_providers"]["fallbacks"]
    return [element["api_key"]["$secret"]["id"] for element in settled]


OLDS = [fallback("openai", "A"), fallback("groq", "B"), fallback("xai", "C")]


@pytest.mark.parametrize(
    ("news", "ids"),
    [
        ([asked("openai"), asked("groq"), asked("xai")], ["A", "B", "C"]),
        ([asked("xai"), asked("openai"), asked("groq")], ["C", "A", "B"]),
        ([asked("groq"), asked("xai")], ["B", "C"]),
        ([asked("xai")], ["C"]),
        ([asked("openai"), asked("groq", "new-model"), asked("xai")], ["A", "B", "C"]),
    ],
    ids=["unchanged", "reordered", "first removed", "only the last left", "key edited in place"],
)
def test_a_secret_moves_with_its_fallback(news: list[Any], ids: list[str]) -> None:
    assert kept_ids(news, OLDS) == ids


def test_the_position_alone_would_give_a_reordered_fallback_anothers_secret() -> None:
    news = [asked("xai", "x"), asked("openai", "x"), asked("groq", "x")]
    by_position = counterparts(news, OLDS, ("no", "natural", "key"))
    assert [old["api_key"]["$secret"]["id"] for old in by_position] == ["A", "B", "C"]
    assert counterparts(news, OLDS, FALLBACKS) == [None, None, None]


def test_an_inserted_fallback_brings_its_own_secret() -> None:
    news = [{"provider": "azure", "api_key": secret("N")}, asked("openai"), asked("groq")]
    assert kept_ids(news, OLDS[:2]) == ["N", "A", "B"]


def test_the_model_tells_two_fallbacks_of_one_provider_apart() -> None:
    olds = [fallback("openai", "A", "small"), fallback("openai", "B", "large")]
    assert kept_ids([asked("openai", "large"), asked("openai", "small")], olds) == ["B", "A"]


def test_fallbacks_with_one_key_are_taken_in_their_order() -> None:
    olds = [fallback("openai", "A"), fallback("openai", "B")]
    assert kept_ids([asked("openai"), asked("openai")], olds) == ["A", "B"]


def test_a_custom_tool_is_known_by_its_id() -> None:
    olds = [{"tool_id": n, "headers": {"authorization": secret(str(n))}} for n in (1, 2)]
    news = [{"tool_id": n, "headers": {"authorization": KEPT}} for n in (2, 1)]
    settled = patched(news, olds, at=TOOLS)
    assert settled == list(reversed(olds))


def test_a_key_is_not_given_to_another_provider_that_takes_its_place() -> None:
    with pytest.raises(InvalidSettings):
        patched([asked("openai"), asked("elsewhere"), asked("xai")], OLDS, at=FALLBACKS)


def test_of_two_fallbacks_with_one_key_each_keeps_its_own() -> None:
    olds = [
        fallback("custom", identity, "m") | {"base_url": f"https://{identity}"}
        for identity in ("one", "two")
    ]
    (kept,) = patched([olds[1] | {"api_key": KEPT}], olds, at=FALLBACKS)
    assert kept == olds[1]
    with pytest.raises(InvalidSettings):  # which of the two this is, nobody can tell
        patched([asked("custom", "m") | {"base_url": "https://three"}], olds, at=FALLBACKS)


def test_a_rollback_gives_nobodys_key_to_an_older_provider() -> None:
    restored = with_secrets_of([fallback("openai", "old")], [fallback("anthropic", "N")], FALLBACKS)
    assert "api_key" not in restored[0]


def test_a_url_in_a_list_keeps_its_own_credentials() -> None:
    urls = [secret(name) | {"url": f"https://{name}.example/"} for name in ("a", "b")]
    assert patched([Kept(url="https://b.example/")], urls, at=("custom_settings", "hooks")) == [
        urls[1]
    ]


@pytest.mark.parametrize("text", ["a://" + "@" * 400_000 + " x", "a://" + "@" * 400_000])
def test_a_long_text_is_no_url_that_takes_long_to_read(text: str) -> None:
    # With a pattern that backtracks this does not end while anybody waits.
    assert isinstance(read_text(text), Plain | None)


SERVERS = [{"url": "https://a", "token": secret("A")}, {"url": "https://b", "token": secret("B")}]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1,)])
def test_a_secret_never_moves_to_another_elements_place(order: tuple[int, ...]) -> None:
    """A token that is sent to the other server has been given away."""
    news = [SERVERS[i] | {"token": KEPT} for i in order]
    try:
        settled = patched({"servers": news}, {"servers": SERVERS}, at=("custom_settings",))
    except InvalidSettings:
        return
    token_of = {server["url"]: server["token"] for server in SERVERS}
    for server in settled["servers"]:
        assert server["token"] == token_of[server["url"]]


@pytest.mark.parametrize(
    ("news", "loc"),
    [
        ([asked("openai"), asked("azure")], (1, "api_key")),
        ([asked("new"), asked("openai")], (0, "api_key")),
        ([{"provider": "openai", "config": {"api_key": KEPT}}], (0, "config", "api_key")),
        ([{"provider": "new", "config": {"deep": {"api_key": KEPT}}}, asked("openai")],
         (0, "config", "deep", "api_key")),
    ],
)  # fmt: skip
def test_a_mask_for_an_element_that_had_no_secret_is_refused(
    news: list[Any], loc: tuple[str | int, ...]
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        kept_ids(news, OLDS[:1])
    (error,) = refusal.value.errors
    assert error.type == "secret_mask_unmatched"
    assert error.loc == ("body", *FALLBACKS, *loc)


def test_a_mask_for_a_listed_secret_that_is_not_stored_is_refused() -> None:
    story = given().after(create({"custom_settings": {"api_keys": ["one"]}}))
    story.when(patch({"custom_settings": {"api_keys": [MASK]}})).then()
    assert story.when(patch({"custom_settings": {"api_keys": [MASK, MASK]}})).errors() == [
        (("body", "custom_settings", "api_keys", 1), "secret_mask_unmatched")
    ]


@pytest.mark.parametrize("name", ["0", "²", "٣", "-1"])
def test_a_member_named_like_a_number_is_still_a_name(name: str) -> None:
    tools = {"tools_settings": {"custom_tools": [{"tool_id": 1, name: {"api_key": MASK}}]}}
    assert given(created()).when(patch(tools)).errors() == [
        (("body", *TOOLS, 0, name, "api_key"), "secret_mask_unmatched")
    ]


def headers(pairs: list[Tree]) -> Tree:
    return {"tools_settings": {"custom_tools": [{"tool_id": "t", "headers": pairs}]}}


@pytest.mark.parametrize("naming", ["key", "Key", "name", "header", "id"])
def test_a_masked_pair_that_is_sent_back_keeps_its_secret(naming: str) -> None:
    pairs = [{naming: "Authorization", "value": "Bearer x"}, {naming: "Accept", "value": "text"}]
    story = given().after(create(headers(pairs)))
    (secret_of_pair,) = [one for one in places(story.state.settings) if one.at[-1] == "value"]
    assert secret_of_pair.at[-2] == "0"
    (tool,) = mask(story.state.settings)["tools_settings"]["custom_tools"]
    assert tool["headers"][0] == {naming: "Authorization", "value": "********"}
    assert tool["headers"][1]["value"] == "text"
    story.when(patch(headers(tool["headers"]))).then()
    rotated = [{naming: "Authorization", "value": "Bearer y"}, tool["headers"][1]]
    settings = story.after(patch(headers(rotated), itertools.count(7))).state.settings
    assert "Bearer" not in every_string(settings)
    assert len(list(places(settings))) == len(list(places(story.state.settings)))


def test_a_member_without_a_name_names_no_credential() -> None:
    pair = {"": "token", "value": "x"}
    story = given().after(create(headers([pair])))
    assert not list(places(story.state.settings))


def test_a_key_beside_no_value_is_a_secret_if_it_looks_like_one() -> None:
    key = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
    tool = {"tool_id": "t", "key": key, "other": {"key": "Authorization"}}
    story = given().after(create({"tools_settings": {"custom_tools": [tool]}}))
    assert [one.at[-2:] for one in places(story.state.settings)] == [("0", "key")]


# -- the secrets of now, the rest of then


@pytest.mark.parametrize(
    ("then", "now", "restored"),
    [
        ({"a": 1, "k": secret("1")}, {"a": 2, "k": secret("2")}, {"a": 1, "k": secret("2")}),
        ({"a": 1}, {"a": 2, "k": secret("2")}, {"a": 1, "k": secret("2")}),
        ({"a": 1, "k": secret("1")}, {"a": 2}, {"a": 1}),
        ({"k": None}, {"k": secret("2")}, {"k": secret("2")}),
        ({"x": {"a": 1}}, {"x": {"a": 2, "k": secret("2")}}, {"x": {"a": 1, "k": secret("2")}}),
        ({"x": None}, {"x": {"a": 2, "k": secret("2")}}, {"x": {"k": secret("2")}}),
        ({}, {"x": {"a": 2, "y": {"k": secret("2")}}}, {"x": {"y": {"k": secret("2")}}}),
        ({"x": {"k": secret("1")}}, {"x": {}}, {"x": {}}),
        ({"x": {"k": secret("1")}}, {}, {"x": {}}),
        ({"x": {"k": secret("1")}}, {"x": None}, {"x": None}),
        ({"x": {"k": secret("1"), "a": 1}}, {"x": None}, {"x": {"a": 1}}),
        ({"x": {}}, {"x": None}, {"x": {}}),
        ({"l": [{"k": secret("1")}]}, {"l": [{"k": secret("2")}]}, {"l": [{"k": secret("2")}]}),
        ({"l": [secret("1")]}, {"l": [secret("2")]}, {"l": [secret("2")]}),
        ({"l": []}, {"l": [{"k": secret("2")}]}, {"l": []}),
    ],
)  # fmt: skip
def test_what_is_restored_has_the_secrets_of_now(then: Tree, now: Tree, restored: Tree) -> None:
    assert with_secrets_of(then, now) == restored


@pytest.mark.parametrize("now", [{}, {"l": []}, {"l": None}, {"l": "x"}, {"l": [secret("2")]}])
def test_a_listed_secret_that_is_gone_leaves_no_hole(now: Tree) -> None:
    restored = with_secrets_of({"l": [secret("1"), secret("3")], "a": 1}, now)
    assert UNSET not in restored.get("l", [])
    msgspec.json.encode(restored)


def test_a_restored_fallback_has_the_secret_of_its_provider() -> None:
    then = [fallback("groq", "old B"), fallback("openai", "old A")]
    restored = with_secrets_of(then, OLDS[:2], FALLBACKS)
    assert restored == [fallback("groq", "B"), fallback("openai", "A")]


def test_a_restored_element_gets_no_secret_of_another_one_at_its_position() -> None:
    then = {"hooks": [{"label": "a", "token": secret("1")}]}
    now = {"hooks": [{"label": "b", "token": secret("2")}]}
    restored = with_secrets_of(then, now, ("custom_settings",))
    assert restored == {"hooks": [{"label": "a"}]}


def test_the_secrets_that_two_settings_do_not_share_are_named() -> None:
    before = {"a": secret("1"), "b": secret("2"), "c": [secret("3")], "d": "plain"}
    after = {"a": secret("1"), "b": secret("4"), "c": [], "d": "other", "e": secret("5")}
    assert sorted(changed_secrets(before, after)) == ["/b", "/c/0", "/e"]
    assert changed_secrets(before, before) == []


# -- laws


def story_of(bodies: list[Tree]) -> Given:
    story = given().after(create({}))
    numbers = itertools.count()
    for body in bodies:
        with suppress(InvalidSettings):
            story = story.after(patch(body, numbers))
    return story


def every_string(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(every_string, value.values()))
    if isinstance(value, list):
        return set().union(*map(every_string, value))
    return {value} if isinstance(value, str) else set()


@modest
@for_all(st.lists(secret_bodies(), max_size=4))
def test_no_secret_and_no_mask_is_ever_in_the_settings(sent: list[Tree]) -> None:
    said = {s for s in every_string(story_of(sent).state.settings) if s.startswith("sk-")}
    assert not said
    assert MASK not in every_string(story_of(sent).state.settings)


@modest
@for_all(st.lists(secret_bodies(), max_size=4))
def test_what_was_shown_may_be_sent_back_and_changes_nothing(sent: list[Tree]) -> None:
    story = story_of(sent)
    shown = mask(story.state.settings)
    assert "sk-" not in repr(shown)
    story.when(patch(shown)).then()
    again = given().after(create({"name": NAME}))
    assert "$secret" not in repr(mask(again.state.settings))


@modest
@for_all(st.lists(secret_bodies(), max_size=4), secret_bodies())
def test_every_reference_is_an_old_one_or_belongs_to_a_value_just_sent(
    sent: list[Tree], last: Tree
) -> None:
    story = story_of(sent)
    old = {place.reference[MARK]["id"] for place in places(story.state.settings)}
    numbers = (n for n in itertools.count(10_000))
    with suppress(InvalidSettings):
        new = story.after(patch(last, numbers)).state.settings
        for place in places(new):
            secret_id = place.reference[MARK]["id"]
            assert secret_id in old or int(secret_id.removeprefix("id-")) >= 10_000


ODD_NAMES = NAMES | st.sampled_from(["api_key", "token", "²", "٣", "keys", "tool_id", "provider"])
ODD_VALUES = st.recursive(
    SCALARS | st.sampled_from(["********", "...", "", "sk-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_NAMES, inner, max_size=3),
    max_leaves=10,
)
ODD_BODIES = st.one_of(
    st.dictionaries(ODD_NAMES, ODD_VALUES, max_size=3).map(lambda free: {"custom_settings": free}),
    st.lists(st.dictionaries(ODD_NAMES, ODD_VALUES, max_size=3), max_size=2).map(
        lambda tools: {"tools_settings": {"custom_tools": tools}}
    ),
    st.dictionaries(ODD_NAMES, ODD_VALUES, max_size=3).map(
        lambda free: {"llm_provider_config": {"custom_config": free}}
    ),
    st.dictionaries(st.sampled_from(SETTING_NAMES), ODD_VALUES, max_size=2),
)


@modest
@for_all(st.lists(ODD_BODIES, max_size=4))
@example([{"custom_settings": {"api_keys": ["a"]}}, {"custom_settings": {"api_keys": []}}])
def test_any_bodies_leave_settings_that_can_be_written_and_sent_back(sent: list[Tree]) -> None:
    story = story_of(sent)
    settings = story.state.settings
    assert same(msgspec.json.decode(msgspec.json.encode(settings)), settings)
    story.when(patch(mask(settings))).then()


def test_a_reference_is_told_from_any_other_object() -> None:
    assert is_reference(secret("1"))
    for other in ({}, {"secret": 1}, [secret("1")], "$secret", None):
        assert not is_reference(other)


def test_the_settings_hold_a_reference_where_the_secret_stood() -> None:
    settings = given().after(create({"llm_provider_config": {"api_key": "sk-1"}})).state.settings
    assert is_reference(at_path(settings, "/llm_provider_config/api_key"))
