"""A line of the log has the bytes of the standard encoder, whichever wrote it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.api import methods
from app.log import RequestLine, drop_secrets, json_line, write_request

_TEXTS = st.text(st.characters()) | st.text(st.characters(codec="ascii"))
_SURROGATES = st.text(st.characters(categories=["Cs", "Cc", "Lu"]))
_MILLISECONDS = st.floats(0, 1e9, allow_nan=False).map(lambda taken: round(taken, 2))
_LINES = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", methods.sent_method({"method": "GET", "is_head": True})]),
        "path": _TEXTS | _SURROGATES,
        "status": st.integers(0, 599),
        "ms": _MILLISECONDS,
        "request_id": _TEXTS,
        "organization_id": st.integers(1, 2**63),
        "key_id": st.none() | st.integers(1, 2**31),
    }
)


@given(_LINES)
def test_a_line_has_the_same_bytes_as_by_the_standard_encoder(line: dict[str, Any]) -> None:
    text = json_line(line)
    assert text == json.dumps(line)
    assert text.isascii()
    assert list(json.loads(text)) == list(line)


@pytest.mark.parametrize("code", [*range(0x100), 0x2028, 0x2029, 0xD800, 0xDFFF, 0xFEFF, 0x1F916])
def test_each_character_is_written_the_same(code: int) -> None:
    line = {"path": f'/a{chr(code)}b, "c": '}
    assert json_line(line) == json.dumps(line, default=repr)


class _Odd:
    def __repr__(self) -> str:
        return 'odd "é"'


@given(st.dictionaries(_TEXTS, st.none() | st.booleans() | st.integers() | _TEXTS))
@example({"event": _Odd(), "status": 200})
def test_other_members_are_written_the_same(line: dict[str, Any]) -> None:
    assert json_line(line) == json.dumps(line, default=repr)


_CLIENTS_TEXTS = _TEXTS | _SURROGATES
_CREDENTIALS = "Bearer 9f8e7d6c5b4a39281706", "sk-0123456789abcdef0123456789abcdef"


@given(
    method=_CLIENTS_TEXTS,
    path=_CLIENTS_TEXTS | st.sampled_from(_CREDENTIALS),
    request_id=_CLIENTS_TEXTS | st.sampled_from(_CREDENTIALS),
    key_id=st.none() | st.integers(1, 2**31) | st.just(msgspec.UNSET),
    ms=_MILLISECONDS,
)
@example(method="GET", path=_CREDENTIALS[0], request_id=_CREDENTIALS[1], key_id=1, ms=0.5)
def test_the_line_of_a_request_is_what_the_pipeline_makes_of_it(**members: Any) -> None:
    written: list[str] = []
    line = RequestLine(status=200, **members)
    expected = json.loads(json.dumps(drop_secrets(None, "", msgspec.to_builtins(line))))
    write_request(written.append, line)
    (text,) = written
    assert text.isascii()
    read = json.loads(text)
    assert read.pop("timestamp").endswith("Z")
    assert list(read.items()) == list(expected.items())


def test_control_msgspec_alone_writes_other_bytes() -> None:
    for path in ("/é", "/\x7f"):
        encoded = msgspec.json.format(msgspec.json.encode({"path": path}), indent=0)
        assert encoded.decode() != json.dumps({"path": path})
