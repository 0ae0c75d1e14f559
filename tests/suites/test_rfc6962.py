"""The tree of transparency-dev's tests (RFC 6962): its roots, its proofs, and wrong proofs."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from typing import Any

import pytest

from app.audit import verify
from events import merkle
from events.merkle import HASH_BYTES
from tests.events.test_merkle import grown, is_consistent, is_included
from tests.suites.suite import SUITES, counts

SUITE = "rfc6962"
_CONSTANTS = (SUITES / SUITE / "constants.go").read_text()


def _hashes(function: str) -> list[bytes]:
    """The byte strings of a function of ``constants.go``, in order."""
    body = re.search(rf"func {function}\(\).*?\n}}", _CONSTANTS, re.DOTALL)
    assert body
    return [bytes.fromhex(text) for text in re.findall(r'hd\("([0-9a-f]*)"\)', body[0])]


LEAVES = tuple(_hashes("LeafInputs"))
ROOTS = [*_hashes("EmptyRootHash"), *_hashes("RootHashes")]  # the second calls the first
LOG = grown(LEAVES)


def nodes() -> dict[tuple[int, int], bytes]:
    """The hash of each perfect subtree, by its level and its place there."""
    hashes = iter(_hashes("NodeHashes"))
    return {(level, at): next(hashes) for level in range(4) for at in range(8 >> level)}


def proofs(kind: str) -> list[dict[str, Any]]:
    """The right proofs of a kind; each binary member as bytes."""
    files = sorted((SUITES / SUITE / "testdata" / kind).glob("*/happy-path.json"))
    return [_binary(json.loads(file.read_bytes())) for file in files]


def _binary(case: dict[str, Any]) -> dict[str, Any]:
    binary = {
        name: base64.b64decode(value, validate=True)
        for name, value in case.items()
        if name in ("root", "root1", "root2", "leafHash")
    }
    return case | binary | {"proof": [base64.b64decode(one) for one in case["proof"] or ()]}


INCLUSIONS, CONSISTENCIES = proofs("inclusion"), proofs("consistency")


# -- roots


@pytest.mark.parametrize("size", range(9))
def test_the_server_and_the_verifier_find_the_published_roots(size: int) -> None:
    tree = verify.Tree()
    for leaf in LEAVES[:size]:
        tree.append(verify.leaf_hash(leaf))
    assert merkle.root(LOG.frontiers[size]) == tree.root() == ROOTS[size]


def test_every_subtree_has_its_published_hash() -> None:
    for (level, at), published in nodes().items():
        leaves = (at << level, (at + 1) << level)
        assert LOG.hashes([leaves]) == [published]


def test_frontiers_are_the_published_compact_trees() -> None:
    published = nodes()
    _, _, text = _CONSTANTS.partition("func CompactTrees")
    rows = re.findall(r"^\t\t\{(nh.*)\},$", text, re.MULTILINE)
    for size, row in enumerate(rows, 1):
        places = [(int(level), int(at)) for level, at in re.findall(r"nh\[(\d)\]\[(\d)\]", row)]
        assert LOG.frontiers[size] == b"".join(published[place] for place in places)
    assert len(rows) == len(LEAVES)


# -- proofs


def test_inclusion_proofs_are_the_published_ones() -> None:
    for case in INCLUSIONS:
        assert LOG.hashes(merkle.inclusion(case["leafIdx"], case["treeSize"])) == case["proof"]
        assert merkle.leaf_hash(LEAVES[case["leafIdx"]]) == case["leafHash"]
        assert includes(case)


def test_consistency_proofs_are_the_published_ones() -> None:
    for case in CONSISTENCIES:
        assert LOG.hashes(merkle.consistency(case["size1"], case["size2"])) == case["proof"]
        assert [ROOTS[case["size1"]], ROOTS[case["size2"]]] == [case["root1"], case["root2"]]
        assert extends(case)


def includes(case: dict[str, Any]) -> bool:
    members = ("leafHash", "leafIdx", "treeSize", "proof", "root")
    return is_included(*[case[name] for name in members])


def extends(case: dict[str, Any]) -> bool:
    if case["size1"] == case["size2"]:
        return not case["proof"] and case["root1"] == case["root2"]
    if not 0 < case["size1"] < case["size2"]:
        return False
    return is_consistent(*[case[name] for name in ("size1", "size2", "root1", "root2", "proof")])


# -- the wrong ones that its tests make of the right ones, by the names that they have there

SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


def garbled(proof: list[bytes], bit: int) -> list[list[bytes]]:
    """A proof with one bit of each of its hashes flipped."""
    return [
        [*proof[:at], bytes([proof[at][0] ^ bit]) + proof[at][1:], *proof[at + 1 :]]
        for at in range(len(proof))
    ]


def wrong_inclusions(case: dict[str, Any]) -> list[dict[str, Any]]:
    index, size, root, proof = (case[name] for name in ("leafIdx", "treeSize", "root", "proof"))
    wrong: dict[str, dict[str, Any]] = {
        "leafIdx - 1": {"leafIdx": (index - 1) % 2**64},  # there, they are unsigned
        "leafIdx + 1": {"leafIdx": index + 1},
        "leafIdx ^ 2": {"leafIdx": index ^ 2},
        "treeSize * 2": {"treeSize": size * 2},
        "treeSize / 2": {"treeSize": size // 2},
        "wrong leaf": {"leafHash": b"WrongLeaf"},
        "empty root": {"root": sha256().digest()},
        "random root": {"root": SOME_HASH},
        "trailing garbage": {"proof": [*proof, b""]},
        "trailing root": {"proof": [*proof, root]},
        "preceding garbage": {"proof": [b"", *proof]},
        "preceding root": {"proof": [root, *proof]},
    }
    wrong |= {f"modified {n}": {"proof": one} for n, one in enumerate(garbled(proof, 8))}
    if proof:
        wrong["removed component"] = {"proof": proof[:-1]}
        wrong["inserted component"] = {"proof": [proof[0], SOME_HASH, *proof[1:]]}
    return [case | one | {"desc": name} for name, one in wrong.items()]


def wrong_consistencies(case: dict[str, Any]) -> list[dict[str, Any]]:
    first, second, proof = case["size1"], case["size2"], case["proof"]
    root1, root2 = case["root1"], case["root2"]
    wrong: dict[str, dict[str, Any]] = {
        "size1 - 1": {"size1": first - 1},
        "size1 + 1": {"size1": first + 1},
        "size1 ^ 2": {"size1": first ^ 2},
        "size2 * 2": {"size2": second * 2},
        "size2 / 2": {"size2": second // 2},
        "wrong root1": {"root1": b"WrongRoot"},
        "wrong root2": {"root2": b"WrongRoot"},
        "swapped roots": {"root1": root2, "root2": root1},
        "empty proof": {"proof": []},
        "trailing garbage": {"proof": [*proof, b""]},
        "trailing root1": {"proof": [*proof, root1]},
        "trailing root2": {"proof": [*proof, root2]},
        "preceding garbage": {"proof": [b"", *proof]},
        "preceding root1": {"proof": [root1, *proof]},
        "preceding root2": {"proof": [root2, *proof]},
        "preceding proof[0]": {"proof": [proof[0], *proof]},
        "truncated proof": {"proof": proof[:-1]},
    }
    wrong |= {f"modified {n}": {"proof": one} for n, one in enumerate(garbled(proof, 16))}
    return [case | one | {"desc": name} for name, one in wrong.items()]


WRONG_INCLUSIONS = [one for case in INCLUSIONS for one in wrong_inclusions(case)]
WRONG_CONSISTENCIES = [
    one for case in CONSISTENCIES if case["proof"] for one in wrong_consistencies(case)
]


def test_our_proofs_verify_where_the_wrong_ones_do_not() -> None:
    """The verifier that ours are held against believes none that the suite calls wrong."""
    assert [case for case in WRONG_INCLUSIONS if includes(case)] == []
    assert [case for case in WRONG_CONSISTENCIES if extends(case)] == []


def test_the_table_counts_the_cases() -> None:
    right = len(ROOTS) + len(nodes()) + len(LEAVES) + len(INCLUSIONS) + len(CONSISTENCIES)
    assert all(len(root) == HASH_BYTES for root in ROOTS)
    assert counts(SUITE) == (right + len(WRONG_INCLUSIONS) + len(WRONG_CONSISTENCIES), 0)
