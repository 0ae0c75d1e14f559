"""Of a URL, the credentials are sealed, and the rest stays readable."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import read_patch
from events.errors import InvalidSettings
from events.secrets.credential_urls import in_url, read_url
from events.secrets.masks import MASK
from events.secrets.references import AT, URL, mask, revealed
from tests.events.given import create, created, given, patch, secret
from tests.events.sealing import (
    ADDRESS,
    JWT,
    MASKED,
    RANDOM,
    REFERENCE,
    custom,
    resend,
    sealed_at,
    shown,
    with_url,
)
from tests.events.strategies import modest


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://u:p@h/x?y=1#z", "https://*@h/x?y=1#z"),
        ("https://u@h", "https://*@h"),
        ("//u:p@h/x", "//*@h/x"),
        ("postgresql+asyncpg://u:p%40@[::1]:5432/db", "postgresql+asyncpg://*@[::1]:5432/db"),
        ("jdbc:postgresql://u:p@h/db", "jdbc:postgresql://*@h/db"),
        ("postgres://u:p/w@h/db", "postgres://*@h/db"),
        ("redis://:p#w?@h:1/0", "redis://*@h:1/0"),
        ("mongodb://u:p@h1:1,h2:2/db", "mongodb://*@h1:1,h2:2/db"),
        ("https://h/?api_key=k&x=1", "https://h/?api_key=*&x=1"),
        ("https://h/?x=1&access_token=k&y=2&sig=s", "https://h/?x=1&access_token=*&y=2&sig=*"),
        ("https://h/?api%5Fkey=k", "https://h/?api%5Fkey=*"),
        ("https://h/cb#access_token=k&state=1", "https://h/cb#access_token=*&state=1"),
        ("https://h/#/cb?token=k", "https://h/#/cb?token=*"),
        ("https://u:p@h/?token=k", "https://*@h/?token=*"),
        (f"https://h/?key={RANDOM}", "https://h/?key=*"),
        (f"https://h/?x={JWT}", "https://h/?x=*"),
        ("https://a.blob.example/f?sv=2024&sig=a%2Fb%3D", "https://a.blob.example/f?sv=2024&sig=*"),
        ("https://b.example/f?X-Amz-Date=1&X-Amz-Signature=ab",
         "https://b.example/f?X-Amz-Date=1&X-Amz-Signature=*"),
        ("jdbc:sqlserver://h:1;user=a;password=b", "jdbc:sqlserver://h:1;user=a;password=*"),
        ("https://hooks.slack.com/services/T0AA/B0BB/c1", "https://hooks.slack.com/services/*"),
        ("https://api.telegram.org/bot1:ab/send", "https://api.telegram.org/bot*/send"),
        ("wss://h/?token=a=b", "wss://h/?token=*"),
    ],
)  # fmt: skip
def test_of_a_url_only_its_credentials_are_sealed(url: str, seen: str) -> None:
    address = read_url(url)
    assert address is not None
    assert in_url(address.url, ["*"] * len(address.at), address.at) == seen
    assert in_url(address.url, address.parts, address.at) == url
    found = shown(custom({"url": url}) | {"webhook_url": url})
    masked = seen.replace("*", MASK)
    assert found["custom_settings"]["crm"]["url"] == found["webhook_url"] == masked


@pytest.mark.parametrize(
    "url",
    [
        "https://{{host}}/users/@me", "https://{{host}}:{{port}}/users/@me", "https://h:443/@me",
        "https://${HOST}:${PORT}/@me", "https://h/?mail=a@b.example", "https://h/#a@b",
        "https://[::1]:80/@me", "mongodb://h1:1,h2:2/?x=a@b", "https://h/?token={{token}}",
        "https://h/?max_tokens=5&key=city&page_token=", "mailto:a@b.example", "a@b.example",
        "https://h/password/reset", "https://token.example/secret", "// a comment @home",
        "See https://u:p@h for more", "https://h/?api_key=", "https://h/?x=api_key",
    ],
)  # fmt: skip
def test_a_url_without_credentials_stays_as_it_is(url: str) -> None:
    assert read_url(url) is None
    assert sealed_at(custom({"url": url}) | {"webhook_url": url}) == []


@pytest.mark.parametrize("scheme", ["https", "ws"])
@pytest.mark.parametrize(
    "rest", ["user:2024#Spring@h/x", "user:2024?Spring@h", "user:2024?a=b@h", "u#p@h", "u?p@h"]
)
def test_what_may_be_a_password_or_a_port_is_refused(scheme: str, rest: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read_patch({"webhook_url": f"{scheme}://{rest}"})
    assert [one.type for one in refused.value.errors] == ["ambiguous_url"]


@pytest.mark.parametrize("rest", ["h:443/@me", "h?email=a@b.example", "h:1/?x@y", "h:1/#x@y"])
def test_an_at_in_a_path_or_a_query_is_none_of_a_user(rest: str) -> None:
    assert sealed_at({"webhook_url": f"https://{rest}"}) == []


PIECES = st.text("ab0:/?#@[]%&=;{}.-_~", max_size=12)
URLS = st.builds("{}//{}{}".format, st.sampled_from(["https:", "a+b:", ""]), PIECES, PIECES)


@modest
@for_all(URLS | st.builds("{}?{}={}&token={}".format, URLS, PIECES, PIECES, PIECES))
def test_a_url_is_its_readable_rest_and_its_credentials(url: str) -> None:
    address = read_url(url)
    if address is None:
        return
    assert in_url(address.url, address.parts, address.at) == url
    assert list(address.at) == sorted(address.at)
    masked = in_url(address.url, [MASK] * len(address.at), address.at)
    again = read_url(masked)
    assert again is not None, "what is shown is read as a URL with masks"


@modest
@for_all(URLS)
def test_the_user_information_is_what_the_standard_library_says(url: str) -> None:
    try:
        said = urlsplit(url)
    except ValueError:  # brackets
        return
    user, at, _ = said.netloc.rpartition("@")
    if at and user:
        address = read_url(url)
        assert address is not None
        assert address.parts[0] == user


@pytest.mark.parametrize("at", [[13, 16], None])
def test_what_is_revealed_of_a_url_is_the_whole_of_it(at: list[int] | None) -> None:
    if at is None:  # as older releases stored it: the user information alone
        assert revealed(REFERENCE, "u:p") == "https://u:p@h/?a=&b="
        assert mask(REFERENCE) == f"https://{MASK}@h/?a=&b="
    else:
        assert revealed(REFERENCE | {AT: at}, ["1", "2"]) == "https://h/?a=1&b=2"
        assert mask(REFERENCE | {AT: at}) == f"https://h/?a={MASK}&b={MASK}"
        assert mask(REFERENCE | {AT: at}, 1) == "https://h/?a=erased&b=erased"


def test_a_masked_url_that_comes_back_changes_nothing() -> None:
    assistant = given().after(create(with_url(ADDRESS)))
    assert assistant.state.settings["webhook_url"][AT] == [8, 19]
    assert mask(assistant.state.settings)["webhook_url"] == MASKED
    assistant.when(patch(with_url(MASKED))).then()


def test_the_readable_part_of_a_url_may_be_edited_around_its_masks() -> None:
    assistant = given().after(create(with_url(ADDRESS)))
    edited = MASKED.replace("/?", "/v2?y=long&")
    settings = assistant.after(patch(with_url(edited))).state.settings
    assert mask(settings)["webhook_url"] == edited
    assert revealed(settings["webhook_url"], ["u:p", RANDOM]) == edited.replace(
        f"{MASK}@", "u:p@"
    ).replace(MASK, RANDOM)


@pytest.mark.parametrize(
    "url",
    [
        MASKED.replace("api_key", "token"),
        MASKED.replace(f"{MASK}@", ""),
        f"https://{MASK}@h/?api_key=new",
        f"https://new@h/?api_key={MASK}",
        f"{MASKED}&token={MASK}",
    ],
    ids=["parameter", "one less", "one new", "another new", "one more"],
)
def test_masks_of_other_credentials_than_the_stored_ones_are_refused(url: str) -> None:
    assistant = given().after(create(with_url(ADDRESS)))
    with pytest.raises(InvalidSettings) as refusal:
        assistant.when(patch(with_url(url))).decided()
    assert [error.type for error in refusal.value.errors] == ["secret_mask_unmatched"]


@pytest.mark.parametrize(
    "stored", [secret("1.a") | {URL: "https://h/?api_key=old"}, "https://h/?api_key=old"]
)
def test_a_mask_brings_no_other_credential_in_clear(stored: Any) -> None:
    assistant = given(created({"webhook_url": stored}))
    with pytest.raises(InvalidSettings):
        assistant.when(resend(assistant, with_url(f"https://{MASK}@h/?api_key={RANDOM}"))).decided()


def test_a_mask_where_nothing_is_sealed_is_an_ordinary_text() -> None:
    assistant = given(created({"custom_settings": {"list": ["a"]}}))
    body = {"custom_settings": {"stars": "***", "list": ["...", MASK]}, "description": "*"}
    settings = assistant.after(resend(assistant, body)).state.settings
    assert settings["custom_settings"] == body["custom_settings"]
    assert settings["description"] == "*"
