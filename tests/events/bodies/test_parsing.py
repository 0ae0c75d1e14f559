from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.parsing import MAX_DEPTH, MAX_SAFE_INTEGER, parse
from events.errors import MalformedJSON
from events.pointers import same
from tests.events.strategies import VALUES, modest

# What Python's own parser takes, each with a word of the rule that refuses it here.
TAKEN_BY_PYTHON = [
    (b'{"a": 1, "a": 2}', "twice"),
    (b'{"a": 1, "\\u0061": 2}', "twice"),
    (b'[{"b": {"a": 1, "a": 1}}]', "twice"),
    (b"NaN", "NaN"),
    (b"[Infinity]", "Infinity"),
    (b'{"a": -Infinity}', "-Infinity"),
    (b"1e999", "out of range"),
    (b"[-1e999]", "out of range"),
    (b"9007199254740993", "2^53"),
    (b'{"a": [-9007199254740993]}', "2^53"),
    (b"1" + b"0" * 4000, "2^53"),
    (b'"\\u0000"', "NUL"),
    (b'{"a\\u0000": 1}', "NUL"),
    (b'["\\ud800"]', "surrogate"),
    (b'["\\udc00\\ud800"]', "surrogate"),
    (b'{"\\udfff": 1}', "surrogate"),
    (b"[" * 33 + b"]" * 33, "deeper than 32"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
    (b"[" + b"[]," * 49_999 + b"0]", "more than 50000 values"),
]

BROKEN = [
    (b"", "JSON decode error"),
    (b" ", "JSON decode error"),
    (b"{", "JSON decode error"),
    (b'{"a": 1,}', "JSON decode error"),
    (b"[1] [2]", "JSON decode error"),
    (b"{'a': 1}", "JSON decode error"),
    (b"01", "JSON decode error"),
    (b'"\x01"', "JSON decode error"),
    (b"\xef\xbb\xbf{}", "JSON decode error"),
    (b'"\xff"', "UTF-8"),
    (b'"\xed\xa0\x80"', "UTF-8"),  # a surrogate in the clothes of UTF-8
    (b'"\xc0\x80"', "UTF-8"),  # NUL in an overlong form
    ("[1]".encode("utf-16"), "UTF-8"),
    (b"1" * 5000, "2^53"),
    (b"[" * 50_000 + b"]" * 50_000, "deeper than 32"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deeper than 32"),
    (b"[" * 50_000, "deeper than 32"),
]


@pytest.mark.parametrize(("text", "rule"), TAKEN_BY_PYTHON + BROKEN)
def test_what_is_ambiguous_or_unstorable_is_refused_with_the_rule(text: bytes, rule: str) -> None:
    with pytest.raises(MalformedJSON) as refusal:
        parse(text)
    assert rule in refusal.value.rule


@pytest.mark.parametrize("text", [text for text, _ in TAKEN_BY_PYTHON])
def test_pythons_own_parser_would_have_taken_it(text: bytes) -> None:
    json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[" * 31 + b"1" + b"]" * 31, None),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b"[" + b"[]," * 49_998 + b"0]", None),
        (str(MAX_SAFE_INTEGER).encode(), MAX_SAFE_INTEGER),
        (str(-MAX_SAFE_INTEGER).encode(), -MAX_SAFE_INTEGER),
        (b'"\\ud834\\udd1e"', "\U0001d11e"),
        (b"1e308", 1e308),
        (b"1.0", 1.0),
        (b"-0.0", -0.0),
        (b" null\n", None),
        (b'{"a": {"a": 1}, "b": [{"a": 1}]}', {"a": {"a": 1}, "b": [{"a": 1}]}),
    ],
)
def test_what_stands_just_inside_the_rules_is_taken(text: bytes, value: Any) -> None:
    parsed = parse(text)
    assert value is None or same(parsed, value)


def test_the_position_of_what_is_broken_is_said() -> None:
    for text, position in ((b'{"a": x}', 6), (b'"ab\xff"', 3)):
        with pytest.raises(MalformedJSON) as refusal:
            parse(text)
        assert refusal.value.position == position


def test_the_refusal_does_not_repeat_what_was_sent() -> None:
    for text in (b'{"key": "sk-hunter2", "key": 1}', b'{"key": "sk-hunter2" x', b'"sk-hunter2\\q"'):
        with pytest.raises(MalformedJSON) as refusal:
            parse(text)
        assert "hunter2" not in repr(refusal.value)


@modest
@for_all(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_valid_json_means_what_it_says(value: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 (drawn by position)
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert same(parse(text), value)
    assert same(parse(text), json.loads(text))


@modest
@for_all(
    st.binary(max_size=40)
    | st.text(st.sampled_from('{}[]",:\\u0de8a19.-+eE \n'), max_size=40).map(str.encode)
)
@example(b'"\\ud800\\udc00\\udc00"')
def test_any_bytes_are_parsed_or_refused_and_nothing_else(text: bytes) -> None:
    with suppress(MalformedJSON):
        assert same(parse(text), json.loads(text))
