"""Tokens: each names its organization, and junk is known without a query."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.tokens import PREFIX_LENGTH, make_token, organization_of
from app.storage.tables import MAX_ID

# As they were made by the first release: what a customer has in a configuration stays a token.
MADE = {
    "bks_QQQQQQQQQQQQQQQQQQQQQQQQ0000004WTUJ3": 0,
    "bks_QQQQQQQQQQQQQQQQQQQQQQQQ0000071veVDy": 7,
    "bks_QQQQQQQQQQQQQQQQQQQQQQQQ2LKcb138sLAi": MAX_ID,
}


@pytest.mark.parametrize("token", MADE)
def test_a_token_of_an_earlier_release_names_its_organization(token: str) -> None:
    assert organization_of(token) == MADE[token]


@given(st.integers(0, MAX_ID))
def test_a_token_names_the_organization_that_it_was_made_for(organization_id: int) -> None:
    token = make_token(organization_id)
    assert organization_of(token) == organization_id
    assert len(token) == len(next(iter(MADE)))


def test_two_tokens_of_an_organization_are_never_the_same() -> None:
    assert len({make_token(7) for _ in range(100)}) == 100


@pytest.mark.parametrize("token", MADE)
def test_a_token_with_one_wrong_character_names_nothing(token: str) -> None:
    for at, character in enumerate(token):
        for other in "0Zz_é \x00":
            if other != character:
                assert organization_of(token[:at] + other + token[at + 1 :]) is None


@pytest.mark.parametrize("token", MADE)
def test_a_token_with_a_character_more_or_less_names_nothing(token: str) -> None:
    for text in ("", token[:-1], token[1:], token + "0", "b" + token):
        assert organization_of(text) is None


def test_an_organization_that_no_column_holds_is_none() -> None:
    assert organization_of(make_token(MAX_ID + 1)) is None


def test_what_is_stored_of_a_token_in_clear_leaves_more_unknown_than_can_be_guessed() -> None:
    unknown = 24 - (PREFIX_LENGTH - len("bks_"))  # of the random characters
    assert unknown * math.log2(62) > 95  # bits
