"""What is taken for an address."""

from __future__ import annotations

from typing import Any

import pytest

from events.secrets.addresses import addresses_in, looks_like_address, meaning_of


@pytest.mark.parametrize(
    "value",
    [
        "https://hooks.example/x", "//a.example", "https:/a", "C:\\x", "\\a", "a.example",
        "a-b.c.example:8080", "a.example/b?c", "x.yz",
    ],
)  # fmt: skip
def test_a_secret_in_the_form_of_an_address_is_known_for_one(value: str) -> None:
    assert looks_like_address(value)


@pytest.mark.parametrize(
    "value",
    [
        "sk-live-0123456789",
        "",
        "x",
        "12.5",
        "see https://a.example",
        "a\n//b",
        5,
        None,
        [],
        "a:b",
        "x.y",
    ],
)
def test_any_other_secret_is_not(value: Any) -> None:
    assert not looks_like_address(value)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Call https://A.example/x or b.example", ["https://a.example", "b.example"]),
        (" B.example\n", ["b.example"]),
        ("b.example", ["b.example"]),
        ("no address", []),
        ("", []),
    ],
)
def test_each_word_of_prose_may_be_an_address(text: str, addresses: list[str]) -> None:
    assert list(addresses_in(text, "greeting", providers=False)) == addresses


@pytest.mark.parametrize(
    ("meaning", "names"),
    [
        ("address", "url urls baseUrl callback_uri hosts ip https TLS server proxies webhooks"),
        ("provider", "provider llm_providers Vendor"),
        ("part", "region bucket tenants account domain"),
        ("", "name urls_count server_name host_1x opens 12"),
    ],
)
def test_the_last_word_of_a_name_says_what_its_value_is(meaning: str, names: str) -> None:
    assert {name: meaning_of(name) for name in names.split()} == dict.fromkeys(
        names.split(), meaning
    )
