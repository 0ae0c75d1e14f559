"""The offline verifier ends well on files that are no export, no note and no key file."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit.verify import (
    Keys,
    Malformed,
    read_keys,
    read_lines,
    read_note,
    verify,
)
from tests.app.audit.built_exports import (
    KEYS,
    ORIGIN,
    SIGNER,
    SMALL,
    compact,
    event,
    export,
    judged,
    key_file,
    key_id,
    row,
    split,
)


def bodies_of_the_first_event() -> dict[str, bytes]:
    """JSON that no event is, each with the hash that its bytes have."""
    inside = b'{"type":"x","organization_id":1,"sequence":1,"more":%s}'
    return {
        "no members": b"{}",
        "no JSON": b"{x}",
        "two objects": b'{},"x":{}',
        "not UTF-8": inside % b'"\xff"',
        "UTF-16": "{}".encode("utf-16-le") + b"}",
        "nested deeply": inside % (b"[" * 100_000 + b"]" * 100_000),
        "nested objects": inside % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "NaN": inside % b"NaN",
        "Infinity": inside % b"-Infinity",
        "a huge number": inside % (b"9" * 5000),
        "a member twice": inside % b'{"a":1,"a":1}',
        "a huge sequence": event(1).replace(b'"sequence":1', b'"sequence":1' + b"0" * 5000),
        "sequence true": event(1, sequence=True),
        "sequence 1.0": event(1, sequence=1.0),
        "sequence text": event(1, sequence="1"),
        "sequence null": event(1, sequence=None),
        "sequence list": event(1, sequence=[[1]]),
        "organization true": event(1, organization_id=True),
        "organization object": event(1, organization_id={}),
        "anchor without note": event(1, type="checkpoint_recorded.v1"),
        "anchor of a list": event(1, type="checkpoint_recorded.v1", checkpoint=[[]]),
        "anchor of nonsense": event(1, type="checkpoint_recorded.v1", checkpoint="\n\n\n"),
        "anchor of surrogates": inside.replace(b'"x"', b'"checkpoint_recorded.v1"').replace(
            b"more", b"checkpoint"
        )
        % rb'"\ud800\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 \ud800 AAAAAAAA\n"',
    }


@pytest.mark.parametrize("body", bodies_of_the_first_event().values())
def test_an_event_that_is_none_is_edited(body: bytes) -> None:
    assert judged([row(0, body)]) == "1 edited"


def test_nesting_around_the_limit_of_python_ends_in_no_traceback() -> None:
    verdicts = set()
    for depth in range(800, 1010):
        body = event(1, type="checkpoint_recorded.v1", checkpoint="deep")
        verdicts.add(judged([row(0, body.replace(b'"deep"', b"[" * depth + b"]" * depth))]))
    assert verdicts == {"1 edited"}


def lines_of_no_closing() -> dict[str, bytes]:
    """Closing lines of an empty log that are nearly right."""
    right, root = export(0)[0], base64.b64encode(hashlib.sha256().digest())
    spare = root[:-2] + bytes([root[-2] + 1]) + b"="
    return {
        "empty": b"\n",
        "spaces": right.replace(b'0,"', b'0, "'),
        "carriage return": right.replace(b"}\n", b"}\r\n"),
        "a leading zero": right.replace(b":0", b":00"),
        "a sign": right.replace(b":0", b":-0"),
        "true": right.replace(b":0", b":true"),
        "a fraction": right.replace(b":0", b":0.0"),
        "a huge number": right.replace(b":0", b":1" + b"0" * 5000),
        "other digits": right.replace(b":0", ":\u0660".encode()),
        "another size": right.replace(b":0", b":1"),
        "a huge size": right.replace(rb"\n0\n", rb"\n1" + b"0" * 5000 + rb"\n"),
        "a size with zeros": right.replace(rb"\n0\n", rb"\n00\n"),
        "spare bits": right.replace(root, spare),
        "no padding": right.replace(root, root.rstrip(b"=")),
        "an escaped dash": right.replace("—".encode(), rb"\u2014"),
        "an escaped slash": right.replace(b"/", rb"\/"),
        "a broken escape": right.replace(rb"\n0\n", rb"\q0\n"),
        "a control character": right.replace(b"backstory", rb"back\u001bstory"),
        "a surrogate": right.replace(b"backstory", rb"back\ud800story"),
        "not UTF-8": right.replace(b"backstory", b"back\xffstory"),
        "no signature": right[: right.index("— ".encode())] + b'"}\n',
        "one more line in the note": right.replace(b"\\n\\n", b"\\nmore\\n\\n"),
        "one more newline": right.replace(b'\\n"}', b'\\n\\n"}'),
        "no note": b'{"last_sequence":0,"checkpoint":null}\n',
        "a member more": right.replace(b"}\n", b',"x":1}\n'),
        "a member twice": right.replace(b'"}\n', b'","checkpoint":""}\n'),
    }


@pytest.mark.parametrize("line", lines_of_no_closing().values())
@pytest.mark.parametrize("keys", [KEYS, None], ids=["keys", "no keys"])
def test_a_closing_line_that_is_none_is_edited(line: bytes, keys: Keys | None) -> None:
    assert line != export(0)[0]
    assert judged([line], keys) == "1 edited"


def test_a_huge_line_is_fine_and_an_endless_one_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = export(3, edits={2: event(2, reason="x" * 5_000_000)})
    assert verify(huge, KEYS).events == 3
    path = tmp_path / "huge.ndjson"
    path.write_bytes(b"".join(huge))
    assert verify(read_lines([path]), KEYS).events == 3
    monkeypatch.setattr("app.audit.verify._LONGEST_LINE", 4_000_000)
    assert judged(read_lines([path]), KEYS) == "2 truncated"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_no_export(data: bytes) -> None:
    assert judged(split(data)) != "verified"


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """A valid export whose lines were shuffled, repeated or lost, and then overwritten."""
    lines = draw(st.lists(st.sampled_from(SMALL), max_size=16) | st.permutations(SMALL))
    data = b"".join(lines)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 30))
        word = draw(st.binary(max_size=8) | st.sampled_from([b'"', b"{", b"\\u", b"\n", b"NaN"]))
        data = data[:start] + word + data[end:]
    return split(data)


@given(mutated(), st.sampled_from([KEYS, None]))
@settings(max_examples=300)
def test_a_mutated_export_is_verified_only_if_it_is_the_true_one(
    lines: list[bytes], keys: Keys | None
) -> None:
    verdict = judged(lines, keys)
    # A repeated closing line, or without keys another signature, leaves the events as they were.
    assert verdict != "verified" or lines[: len(SMALL) - 1] == SMALL[:-1]


@given(mutated(), st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=60)), max_size=3))
def test_events_with_hostile_bodies_and_right_hashes_are_refused(
    lines: list[bytes], hostile: list[tuple[int, bytes]]
) -> None:
    for index, body in hostile:
        lines.insert(min(index, len(lines)), row(index, b"{" + body + b"}"))
    assert not hostile or judged(lines) != "verified"


@given(st.text() | st.text(alphabet="\n— +/=0aA").map(lambda text: f"o\n0\n{text}"))
def test_arbitrary_text_is_no_note(text: str) -> None:
    with pytest.raises(Malformed):
        read_note(text)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some),
    max_leaves=5,
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda origin, keys: json.dumps({"origin": origin, "keys": keys}).encode(),
        JSON,
        JSON | st.lists(st.fixed_dictionaries({"verifier_key": JSON | st.text("+aA=\ud800")})),
    )
)
def test_arbitrary_json_is_no_key_file(text: bytes) -> None:
    with pytest.raises(Malformed):
        read_keys(text)


def test_a_key_file_must_have_keys_with_the_right_ids_of_its_origin() -> None:
    right, name = key_file(SIGNER), ORIGIN.encode()
    short = b"\x01short"
    short_id = hashlib.sha256(b"o\n" + short).hexdigest()[:8]
    short_key = f"o+{short_id}+{base64.b64encode(short).decode()}"
    for wrong in (
        key_file(),
        right.replace(name, b"elsewhere", 1),
        right.replace(key_id(SIGNER).hex().encode() + b"+", b"00000000+"),
        right.replace(b"+AQ", b"+Ag"),
        right.replace(b'"verifier_key"', b'"public"'),
        compact({"origin": "o", "keys": [{"verifier_key": short_key}]}),
    ):
        assert wrong != right
        with pytest.raises(Malformed):
            read_keys(wrong)
