"""The offline verifier against exports that an independent builder makes, and forges.

The long form flips every byte of an export of 1,000 events, in some ten seconds:
``pytest -m long tests/app/audit/test_audit_verify.py``.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from app.audit.verify import (
    Failed,
    Keys,
    Log,
    Malformed,
    Note,
    Tree,
    Verified,
    leaf_hash,
    read_keys,
    read_lines,
    read_note,
    verify,
)

ORIGIN = "backstory/organizations/1/5f0c"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
EVENTS = 1000
ANCHOR_EVERY = 100  # events 100, 200, ... hold checkpoints of 99, 199, ... events

# The tree heads of Certificate Transparency's reference tests, for sizes 0 to 8.
CT_LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


# The builder.


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def public(signer: Ed25519PrivateKey) -> bytes:
    return b"\x01" + signer.public_key().public_bytes_raw()


def key_id(signer: Ed25519PrivateKey, name: str = ORIGIN) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + public(signer)).digest()[:4]


def signature(
    text: str, signer: Ed25519PrivateKey, name: str = ORIGIN, identity: bytes | None = None
) -> str:
    blob = (identity or key_id(signer, name)) + signer.sign(text.encode())
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def head(size: int, root: bytes, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def note(size: int, root: bytes, signer: Ed25519PrivateKey = SIGNER, origin: str = ORIGIN) -> str:
    text = head(size, root, origin)
    return f"{text}\n{signature(text, signer, origin)}"


def key_file(*signers: Ed25519PrivateKey, origin: str = ORIGIN) -> bytes:
    keys = [
        {
            "key_id": key_id(signer, origin).hex(),
            "public_key": base64.b64encode(public(signer)[1:]).decode(),
            "verifier_key": f"{origin}+{key_id(signer, origin).hex()}+"
            f"{base64.b64encode(public(signer)).decode()}",
            "current": signer is signers[0],
        }
        for signer in signers
    ]
    return compact({"origin": origin, "keys": keys})


def event(sequence: int, organization: int = 1, /, **members: Any) -> bytes:
    return compact(
        {"type": "assistant_settings_changed.v1", "organization_id": organization}
        | {"sequence": sequence, "assistant_id": sequence % 7, "reason": f"Grüße {sequence}"}
        | {"changes": {"/llm_settings/temperature": {"before": 0.5, "after": 0.7}}}
        | members
    )


def row(index: int, body: bytes, leaf: str | None = None) -> bytes:
    leaf = leaf or hashlib.sha256(b"\x00" + body).hexdigest()
    return b'{"leaf_index":%d,"leaf_hash":"%s","event":%s}\n' % (index, leaf.encode(), body)


def closing(size: int, text: str) -> bytes:
    return compact({"last_sequence": size, "checkpoint": text}) + b"\n"


def export(
    count: int,
    organization: int = 1,
    *,
    every: int = ANCHOR_EVERY,
    signer: Ed25519PrivateKey = SIGNER,
    origin: str = ORIGIN,
    edits: dict[int, bytes] | None = None,
) -> list[bytes]:
    """The lines of an export; ``edits`` are other bodies, by sequence."""
    tree, lines = InmemoryTree(algorithm="sha256"), []
    for sequence in range(1, count + 1):
        body = event(sequence, organization)
        if sequence % every == 0:
            anchor = note(sequence - 1, tree.get_root(), signer, origin)
            body = event(sequence, organization, type="checkpoint_recorded.v1", checkpoint=anchor)
        body = (edits or {}).get(sequence, body)
        tree.append_entry(body)
        lines.append(row(sequence - 1, body))
    return [*lines, closing(count, note(count, tree.get_root(), signer, origin))]


def tree_over(lines: Iterable[bytes]) -> Any:
    """Another tree of the events in the lines."""
    tree = InmemoryTree(algorithm="sha256")
    for line in lines:
        if line.startswith(b'{"leaf_index"'):
            tree.append_entry(line[line.index(b'"event":') + 8 : -2])
    return tree


def earlier(lines: list[bytes], size: int, signer: Ed25519PrivateKey = SIGNER) -> Note:
    return read_note(note(size, tree_over(lines).get_root(size), signer))


def judged(lines: Iterable[bytes], keys: Keys | None = None, kept: Note | None = None) -> str:
    """Whether the lines are verified, or the sequence and the word of the failure."""
    try:
        verify(lines, keys, kept)
    except Failed as failed:
        return f"{failed.sequence} {failed.what}"
    return "verified"


KEYS = read_keys(key_file(SIGNER))
LINES = export(EVENTS)
OTHERS = export(EVENTS, organization=2, origin="backstory/organizations/2/77aa")
SMALL = export(12, every=5)


# Many forgeries of one long file share what stands before them: each is judged from there on.


def states(lines: list[bytes], keys: Keys | None) -> list[Log]:
    """What was known before each line, and at the end."""
    log, known = Log(keys), []
    for line in lines:
        known.append(twin(log))
        log.read(line, iter(()))
    return [*known, log]


def twin(log: Log) -> Log:
    other = copy.copy(log)
    other.tree = Tree()
    other.tree.size, other.tree.frontier = log.tree.size, log.tree.frontier.copy()
    return other


def resumed(log: Log, lines: Iterable[bytes]) -> str:
    """As ``judged``, from what the log knows on."""
    log, rest = twin(log), iter(lines)
    try:
        for line in rest:
            log.read(line, rest)
        log.verified()
    except Failed as failed:
        return f"{failed.sequence} {failed.what}"
    return "verified"


def split(data: bytes) -> list[bytes]:
    return io.BytesIO(data).readlines()


def flipped(lines: list[bytes], number: int, place: int, byte: int) -> Iterator[bytes]:
    """The lines from one on, with another byte in it. A lost newline joins it with the next."""
    line = bytearray(lines[number])
    line[place] = byte
    return chain(
        split(bytes(line) + b"".join(lines[number + 1 : number + 2])),
        islice(lines, number + 2, None),
    )


def other_byte(dice: random.Random, byte: int) -> int:
    return (byte + dice.randrange(1, 256)) % 256


@pytest.fixture(scope="module")
def known() -> list[Log]:
    return states(LINES, KEYS)


# The tree.


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree.root()


@pytest.mark.parametrize("size", range(len(CT_ROOTS)))
def test_roots_are_those_that_certificate_transparency_published(size: int) -> None:
    assert root_of(map(bytes.fromhex, CT_LEAVES[:size])).hex() == CT_ROOTS[size]


def test_roots_are_those_of_another_implementation() -> None:
    sizes = {*range(65), *random.Random(6962).sample(range(65, 3000), 20)}
    tree, other = Tree(), InmemoryTree(algorithm="sha256")
    for size in range(max(sizes) + 1):
        if size in sizes:
            assert tree.root() == other.get_root(), size
        tree.append(leaf_hash(b"%d" % size))
        other.append_entry(b"%d" % size)


def test_a_signature_of_gos_note_package_is_good() -> None:
    keys = read_keys(compact({"origin": "PeterNeumann", "keys": [{"verifier_key": GO_KEY}]}))
    signatures = (("PeterNeumann", base64.b64decode(GO_SIGNATURE)),)
    signed = Note(origin="", size=0, root=b"", signed=GO_TEXT, signatures=signatures)
    assert keys.signers(signed) == ("c74f20a3",)


# What is true.


def test_an_untouched_export_is_verified() -> None:
    root = base64.b64encode(tree_over(LINES).get_root()).decode()
    assert verify(LINES, KEYS) == Verified(
        events=EVENTS, origin=ORIGIN, root=root, signed_by=(key_id(SIGNER).hex(),)
    )


def test_without_keys_the_result_says_that_no_signature_was_checked() -> None:
    verified = verify(LINES)
    assert verified.signed_by == ()
    assert str(verified).endswith("no keys were given: nobody's signature was checked")


def test_an_empty_log_is_verified() -> None:
    assert verify(export(0), KEYS, earlier([], 0)).events == 0


@pytest.mark.parametrize("size", [0, 1, 2, 99, 100, 512, 777, EVENTS - 1, EVENTS])
def test_an_export_extends_its_checkpoint_of_any_size(size: int) -> None:
    assert verify(LINES, KEYS, earlier(LINES, size)).events == EVENTS
    assert verify(LINES, None, earlier(LINES, size)).events == EVENTS


def test_parts_are_verified_together_with_a_checkpoint_after_each(tmp_path: Path) -> None:
    tree, parts = tree_over(LINES), list[Path]()
    for start, end in ((0, 1), (1, 400), (400, 400), (400, 999), (999, EVENTS)):
        parts.append(tmp_path / f"part-{len(parts)}.ndjson")
        last = closing(end, note(end, tree.get_root(end)))
        parts[-1].write_bytes(b"".join([*LINES[start:end], last]))
    assert verify(read_lines(parts), KEYS).events == EVENTS
    assert judged(read_lines(reversed(parts)), KEYS) == "1 reordered"
    assert judged(read_lines(parts[1:]), KEYS) == "1 missing"
    assert judged(read_lines(parts[:1] + parts[3:]), KEYS) == "2 missing"


def test_a_note_may_carry_signatures_of_other_keys() -> None:
    text = head(EVENTS, tree_over(LINES).get_root())
    witnesses = [
        signature(text, STRANGER),
        signature(text, SIGNER, name="witness.example"),
        f"— cosigner {base64.b64encode(bytes(76)).decode()}\n",
    ]
    cosigned = "".join([text, "\n", *witnesses, signature(text, SIGNER)])
    verified = verify([*LINES[:-1], closing(EVENTS, cosigned)], KEYS)
    assert verified.signed_by == (key_id(SIGNER).hex(),)


def test_checkpoints_of_an_old_and_a_new_key_are_verified_together() -> None:
    keys = read_keys(key_file(STRANGER, SIGNER))
    last = closing(EVENTS, note(EVENTS, tree_over(LINES).get_root(), STRANGER))
    assert verify([*LINES[:-1], last], keys).signed_by == (key_id(STRANGER).hex(),)


def test_progress_hears_the_count_of_events() -> None:
    heard: list[int] = []
    verify(export(2500), KEYS, None, heard.append)
    assert heard == [1000, 2000]


def test_memory_does_not_grow_with_the_file() -> None:
    log = Log()
    lines = [row(index, event(index + 1)) for index in range(10_000)]
    tracemalloc.start()
    for line in lines:
        log.read(line, iter(()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


# Flipped bytes.


def missed_flips(known: list[Log], places: Iterable[tuple[int, int, int]]) -> list[Any]:
    return [
        (number, place, byte)
        for number, place, byte in places
        if resumed(known[number], flipped(LINES, number, place, byte)) == "verified"
    ]


def sampled(dice: random.Random, count: int) -> Iterator[tuple[int, int, int]]:
    """Random places of the export, each with the byte to write there."""
    for number in dice.choices(range(len(LINES)), weights=list(map(len, LINES)), k=count):
        place = dice.randrange(len(LINES[number]))
        yield number, place, other_byte(dice, LINES[number][place])


def test_of_20000_flipped_bytes_and_more_none_is_missed(known: list[Log]) -> None:
    dice = random.Random(1)
    assert missed_flips(known, sampled(dice, 20_000)) == []
    closing_line = [(EVENTS, place, other_byte(dice, byte)) for place, byte in enumerate(LINES[-1])]
    assert missed_flips(known, closing_line) == []


@pytest.mark.long
def test_of_all_bytes_flipped_none_is_missed(known: list[Log]) -> None:
    """The long form: ``pytest -m long tests/app/audit/test_audit_verify.py``."""
    dice = random.Random(2)
    places = (
        (number, place, other_byte(dice, byte))
        for number, line in enumerate(LINES)
        for place, byte in enumerate(line)
    )
    assert missed_flips(known, places) == []


def test_the_short_way_to_judge_flips_says_what_the_whole_file_says(known: list[Log]) -> None:
    for number, place, byte in sampled(random.Random(3), 100):
        whole = chain(LINES[:number], flipped(LINES, number, place, byte))
        assert judged(whole, KEYS) == resumed(known[number], flipped(LINES, number, place, byte))


def test_without_keys_a_flip_is_missed_in_the_last_signature_only() -> None:
    dice, data = random.Random(4), b"".join(SMALL)
    missed = [
        place
        for place, byte in enumerate(data)
        if judged(split(with_byte(data, place, other_byte(dice, byte)))) == "verified"
    ]
    assert missed
    assert min(missed) > data.rindex("\\n\\n— ".encode())


def test_every_value_of_every_byte_of_the_closing_line_matters() -> None:
    known = states(SMALL, KEYS)
    missed = [
        (place, byte)
        for place, right in enumerate(SMALL[-1])
        for byte in range(256)
        if byte != right
        and resumed(known[-2], flipped(SMALL, len(SMALL) - 1, place, byte)) == "verified"
    ]
    assert missed == []


def with_byte(data: bytes, place: int, byte: int) -> bytes:
    return data[:place] + bytes([byte]) + data[place + 1 :]


# Lines dropped, swapped, repeated, cut off, replaced.


def test_every_dropped_event_is_missing(known: list[Log]) -> None:
    for number in range(EVENTS - 1):
        assert resumed(known[number], LINES[number + 1 :]) == f"{number + 1} missing"


def test_a_log_without_its_last_events_is_truncated(known: list[Log]) -> None:
    for left in (0, 1, 99, 100, 500, EVENTS - 1):
        assert resumed(known[left], LINES[-1:]) == f"{left + 1} truncated"


def test_every_swapped_pair_is_reordered(known: list[Log]) -> None:
    for number in range(EVENTS):
        swapped = [LINES[number + 1], LINES[number], *LINES[number + 2 :]]
        assert resumed(known[number], swapped) == f"{number + 1} reordered"


def test_every_repeated_event_is_reordered(known: list[Log]) -> None:
    for number in range(EVENTS):
        assert resumed(known[number + 1], LINES[number:]) == f"{number + 2} reordered"


def test_a_repeated_closing_line_is_an_empty_part() -> None:
    assert judged([*LINES, LINES[-1]], KEYS) == "verified"


def test_a_file_is_truncated_wherever_it_is_cut() -> None:
    data = b"".join(SMALL)
    for end in range(len(data)):
        assert judged(split(data[:end]), KEYS) == f"{len(split(data[:end] + b'x'))} truncated"


def test_a_file_is_truncated_after_whichever_event_it_ends(known: list[Log]) -> None:
    for number in range(len(LINES)):
        assert resumed(known[number], []) == f"{number + 1} truncated"


def test_a_part_that_goes_on_after_a_checkpoint_must_end_with_another() -> None:
    middle = closing(5, note(5, tree_over(SMALL).get_root(5)))
    assert judged([*SMALL[:5], middle, *SMALL[5:9]], KEYS) == "10 truncated"
    assert judged([*SMALL[:5], middle, *SMALL[5:]], KEYS) == "verified"


def test_every_line_of_another_organization_is_foreign(known: list[Log]) -> None:
    for number in range(EVENTS):
        replaced = [OTHERS[number], *LINES[number + 1 :]]
        assert resumed(known[number], replaced) == f"{number + 1} foreign"
    for number in range(1, EVENTS):
        assert resumed(known[number], [OTHERS[7], *LINES[number:]]) == f"{number + 1} foreign"


def test_a_checkpoint_that_comes_too_late_is_reordered() -> None:
    late = closing(5, note(5, tree_over(SMALL).get_root(5)))
    assert judged([*SMALL, late], KEYS) == "13 reordered"


def test_a_filtered_export_is_not_proven_and_says_why() -> None:
    members = {"last_sequence": 12, "filter": {"type": "x"}, "checkpoint": json.loads(SMALL[-1])}
    filtered = compact(members) + b"\n"
    for rows in (SMALL[:-1], SMALL[3:-1], [*SMALL[:2], *SMALL[5:7]], []):
        with pytest.raises(Failed, match="missing: a filtered export cannot be proven as a whole"):
            verify([*rows, filtered], KEYS)


# Edits, with and without the hashes put right.


def test_an_edited_event_without_its_hash_is_found_where_it_is(known: list[Log]) -> None:
    for number in range(0, EVENTS, 7):
        edited = LINES[number].replace("Grüße".encode(), b"Hallo")
        assert resumed(known[number], [edited, *LINES[number + 1 :]]) == f"{number + 1} edited"


@pytest.mark.parametrize(
    ("sequence", "first", "last"),
    [(1, 1, 99), (417, 400, 499), (499, 400, 499), (501, 500, 599), (999, 900, 999)],
)
def test_an_edited_event_with_its_hash_lies_between_two_anchors(
    sequence: int, first: int, last: int
) -> None:
    edited = LINES.copy()
    edited[sequence - 1] = row(sequence - 1, event(sequence, reason="nothing happened"))
    with pytest.raises(Failed, match=f"edited: .* somewhere from {first} to {last}$") as failed:
        verify(edited, KEYS)
    assert failed.value.sequence == first


def test_without_keys_the_anchor_itself_is_suspected_too() -> None:
    edited = LINES.copy()
    edited[416] = row(416, event(417, reason="nothing happened"))
    with pytest.raises(Failed, match=r"somewhere from 400 to 500$"):
        verify(edited)


def test_a_whole_log_made_anew_is_foreign_with_keys_and_passes_without() -> None:
    forged = export(EVENTS, signer=STRANGER, edits={417: event(417, reason="nothing happened")})
    assert judged(forged, KEYS) == "1 foreign"
    assert judged(forged) == "verified"
    # The first anchor, event 100, has another signature: a checkpoint from then on tells.
    assert judged(forged, None, earlier(LINES, 99)) == "verified"
    assert judged(forged, None, earlier(LINES, 100)) == "1 edited"


def test_a_closing_note_of_another_key_is_foreign() -> None:
    last = closing(EVENTS, note(EVENTS, tree_over(LINES).get_root(), STRANGER))
    assert judged([*LINES[:-1], last], KEYS) == "1000 foreign"


def test_a_known_keys_id_with_another_signature_is_edited() -> None:
    text = head(EVENTS, tree_over(LINES).get_root())
    forged = signature(text, STRANGER, identity=key_id(SIGNER))
    assert judged([*LINES[:-1], closing(EVENTS, f"{text}\n{forged}")], KEYS) == "1000 edited"
    both = f"{text}\n{signature(text, SIGNER)}{forged}"
    assert judged([*LINES[:-1], closing(EVENTS, both)], KEYS) == "1000 edited"


def test_a_checkpoint_of_another_origin_is_foreign() -> None:
    root = tree_over(LINES).get_root()
    last = closing(EVENTS, note(EVENTS, root, origin="backstory/organizations/2/77aa"))
    assert judged([*LINES[:-1], last]) == "1000 foreign"
    assert judged(OTHERS, KEYS) == "1 foreign"
    assert judged(OTHERS, None, earlier(LINES, 3)) == "1 foreign"
    assert judged(OTHERS, None, earlier(LINES, EVENTS)) == "1 foreign"


def test_an_earlier_checkpoint_must_be_signed_and_reached_and_of_these_events() -> None:
    assert judged(LINES, KEYS, earlier(LINES, 9, STRANGER)) == "1 foreign"
    assert judged(SMALL, KEYS, earlier(LINES, 13)) == "13 truncated"
    assert judged(LINES, KEYS, read_note(note(9, bytes(32)))) == "1 edited"
    assert judged(LINES, KEYS, read_note(note(0, bytes(32)))) == "1 edited"


def test_a_log_that_was_cut_back_is_true_but_does_not_extend_what_was_kept() -> None:
    assert judged(export(5), KEYS) == "verified"
    assert judged(export(5), KEYS, earlier(LINES, 6)) == "6 truncated"


def test_an_anchor_must_be_of_the_events_before_it() -> None:
    old = note(3, tree_over(SMALL).get_root(3))
    moved = event(7, type="checkpoint_recorded.v1", checkpoint=old)
    assert judged(export(12, every=50, edits={7: moved}), KEYS) == "7 edited"


def test_an_event_must_say_the_sequence_of_its_leaf() -> None:
    renumbered = [*SMALL[:4], row(4, event(6)), *SMALL[5:]]
    assert judged(renumbered, KEYS) == "5 edited"


# The control.


def naive(lines: Iterable[bytes]) -> bool:
    """A verifier without the tree: lines parse, and indexes follow each other."""
    try:
        *events, last = [json.loads(line) for line in lines]
        in_order = [each["leaf_index"] for each in events] == list(range(len(events)))
        return in_order and bool(last["last_sequence"] == len(events))
    except (ValueError, KeyError, TypeError):
        return False


def test_control_a_verifier_without_the_tree_misses_forgeries() -> None:
    edited = LINES.copy()
    edited[416] = edited[416].replace("Grüße".encode(), b"Hallo")
    rehashed = LINES.copy()
    rehashed[416] = row(416, event(417, reason="nothing happened"))
    foreign = [*LINES[:416], OTHERS[416], *LINES[417:]]
    for forged in (edited, rehashed, foreign):
        assert naive(forged)
        assert judged(forged, KEYS) != "verified"
    missed = [
        place
        for number, place, byte in sampled(random.Random(5), 200)
        if naive(chain(LINES[:number], flipped(LINES, number, place, byte)))
    ]
    assert len(missed) > 20


# Hostile input.


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


# The command.


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.audit.verify", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "export.ndjson").write_bytes(b"".join(SMALL))
    (tmp_path / "cut.ndjson").write_bytes(b"".join(SMALL)[:-1])
    (tmp_path / "keys.json").write_bytes(key_file(SIGNER))
    kept = note(6, tree_over(SMALL).get_root(6))
    (tmp_path / "kept.txt").write_bytes(kept.encode())
    return tmp_path


def test_the_command_prints_what_it_proved_and_ends_with_0(folder: Path) -> None:
    root = base64.b64encode(tree_over(SMALL).get_root()).decode()
    proven = f"verified: 12 events of {ORIGIN}, root {root}, "
    keys, kept = folder / "keys.json", folder / "kept.txt"
    signed = run(folder / "export.ndjson", "--key", keys, "--checkpoint", kept)
    assert (signed.returncode, signed.stderr) == (0, "")
    assert signed.stdout == f"{proven}signed by {key_id(SIGNER).hex()}\n"
    unsigned = run(folder / "export.ndjson")
    assert unsigned.returncode == 0
    assert unsigned.stdout.startswith(f"{proven}but no keys were given")


def test_the_command_names_the_sequence_and_ends_with_1(folder: Path) -> None:
    cut = run(folder / "cut.ndjson", "--key", folder / "keys.json")
    assert (cut.returncode, cut.stdout) == (1, "")
    assert cut.stderr == "sequence 13: truncated: the line is cut off\n"


def test_a_wrong_call_ends_with_2(folder: Path) -> None:
    file, bad = folder / "export.ndjson", folder / "export.ndjson"
    for words in (
        (),
        ("--nothing",),
        (folder / "none.ndjson",),
        (folder,),
        (file, "--key", folder / "none.json"),
        (file, "--key", bad),
        (file, "--checkpoint", bad),
    ):
        ended = run(*words)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Traceback" not in ended.stderr


def imported(*words: str) -> set[str]:
    """The packages that a Python process imports."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True
    )
    modules = [line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()]
    return {module.partition(".")[0] for module in modules} | set(modules)


def test_the_verifier_imports_nothing_of_the_server() -> None:
    server = {"litestar", "sqlalchemy", "msgspec", "structlog", "events", "projections"}
    loaded = imported("-m", "app.audit.verify", "--help")
    assert not loaded & server
    assert {module for module in loaded if module.startswith("app.")} == set()
    # The control: the server's own modules do show.
    assert imported("-c", "import events.codec") & server
