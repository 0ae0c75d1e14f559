"""Small bodies, and errors that repeat no value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import SettingsPatch
from events.bodies.validation import read_struct
from events.errors import InvalidSettings
from events.pointers import Tree
from events.settings import SETTING_NAMES
from tests.events.sent import HUNTER, body_at, read_or_errors
from tests.events.strategies import modest

# -- small bodies


class Key(msgspec.Struct, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    role: Literal["viewer", "editor"] = "viewer"
    permissions: dict[str, bool] = {}
    uses: int | None = None


def test_a_small_body_is_read_as_its_struct() -> None:
    read = read_struct(Key, {"name": "a", "uses": "5", "unknown": 1})
    assert read == Key(name="a", uses=5)


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        ({}, ("name",), "missing"),
        ({"name": ""}, ("name",), "string_too_short"),
        ({"name": 5}, ("name",), "string_type"),
        ({"name": "a", "role": HUNTER}, ("role",), "literal_error"),
        ({"name": "a", "uses": HUNTER}, ("uses",), "int_parsing"),
        ({"name": "a", "uses": 1.5}, ("uses",), "int_from_float"),
    ],
)
def test_a_broken_rule_of_a_small_body_is_named_at_its_place(
    body: Tree, loc: tuple[str, ...], kind: str
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_struct(Key, body)
    assert [(e.loc, e.type) for e in refusal.value.errors] == [(("body", *loc), kind)]
    assert HUNTER not in repr(refusal.value)


# -- what an error may say


TYPED_WRONG = st.sampled_from(
    [
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: {"provider": value},
        lambda value: value,
        lambda value: [{"provider": value, "api_key": [value]}],
        lambda value: {"$secret": value},
        lambda value: {"api_key": {"a": value}, "model": [value]},
    ]
)


@modest
@for_all(
    st.lists(
        st.tuples(st.sampled_from([*SETTING_NAMES, "change_description", "unknown"]), TYPED_WRONG),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_value_that_was_sent_is_in_any_error(wrongs: list[Any], strict: bool) -> None:  # noqa: FBT001 (drawn by position)
    read = read_or_errors({name: wrong(HUNTER) for name, wrong in wrongs}, strict=strict)
    said = read.ignored if isinstance(read, SettingsPatch) else read
    assert HUNTER not in repr(said)
    assert HUNTER.encode() not in msgspec.json.encode(said)


def test_the_decoders_own_words_would_have_repeated_it() -> None:
    with pytest.raises(msgspec.ValidationError, match=HUNTER):
        msgspec.convert(HUNTER, Literal["cold", "warm"])
    body = body_at("tools_settings.transfer_call.transfer_type", HUNTER)
    assert HUNTER not in repr(read_or_errors(body))
