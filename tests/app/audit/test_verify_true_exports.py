"""The offline verifier proves a true export, in parts and with earlier checkpoints."""

from __future__ import annotations

import base64
import random
import tracemalloc
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from app.audit.verify import (
    Log,
    Note,
    Tree,
    Verified,
    leaf_hash,
    read_keys,
    read_lines,
    verify,
)
from tests.app.audit.built_exports import (
    CT_LEAVES,
    CT_ROOTS,
    EVENTS,
    GO_KEY,
    GO_SIGNATURE,
    GO_TEXT,
    KEYS,
    LINES,
    ORIGIN,
    SIGNER,
    STRANGER,
    closing,
    compact,
    earlier,
    event,
    export,
    head,
    judged,
    key_file,
    key_id,
    note,
    root_of,
    row,
    signature,
    tree_over,
)


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
