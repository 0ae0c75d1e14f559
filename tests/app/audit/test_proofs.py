"""Proofs prove that the log holds an event and that it only grew, and nothing else."""

from __future__ import annotations

import pytest
from pymerkle import InmemoryTree

from tests.app import stored
from tests.app.audit.proof_checker import (
    AUDIT,
    EVENTS,
    Log,
    consistency,
    inclusion,
    proves_consistency,
    proves_inclusion,
    unbase64,
)


def test_the_roots_are_those_that_another_implementation_makes(
    log: Log, roots: list[bytes]
) -> None:
    oracle = InmemoryTree(algorithm="sha256")
    for row in stored.rows(log.server.database, log.organization.id)["events"]:
        oracle.append_entry(row["body"])
    assert [oracle.get_root(size) for size in range(1, EVENTS + 1)] == roots[1:]


def test_every_leaf_is_proven_in_every_tree_that_holds_it(log: Log, roots: list[bytes]) -> None:
    leaves = log.leaves
    for size in range(1, EVENTS + 1):
        for sequence in range(1, size + 1):
            proof = inclusion(log.admin, sequence, size)
            leaf = leaves[sequence - 1]
            assert proof["leaf_index"] == sequence - 1
            assert (proof["sequence"], proof["size"]) == (sequence, size)
            assert unbase64(proof["leaf_hash"], proof["root"]) == [leaf, roots[size]]
            assert proves_inclusion(proof, leaf, roots[size])
    assert inclusion(log.admin, 3) == inclusion(log.admin, 3, EVENTS)


def test_every_tree_is_proven_to_extend_every_smaller_one(log: Log, roots: list[bytes]) -> None:
    for later in range(EVENTS + 1):
        for size in range(later + 1):
            proof = consistency(log.admin, size, later)
            assert (proof["from_size"], proof["to_size"]) == (size, later)
            assert unbase64(proof["from_root"], proof["to_root"]) == [roots[size], roots[later]]
            assert proves_consistency(proof, (roots[size], roots[later]))
    assert consistency(log.admin, 3) == consistency(log.admin, 3, EVENTS)


def test_proofs_prove_nothing_else(log: Log, roots: list[bytes]) -> None:
    """The control of the tests above."""
    leaves = log.leaves
    for size in (2, 7, 8, 33, EVENTS):
        for sequence in range(1, size + 1):
            proof = inclusion(log.admin, sequence, size)
            others = [leaves[one] for one in range(EVENTS) if one != sequence - 1]
            assert not any(proves_inclusion(proof, leaf, roots[size]) for leaf in others)
            assert not proves_inclusion(proof, leaves[sequence - 1], roots[size - 1])
            moved = proof | {"leaf_index": sequence % size}
            assert not proves_inclusion(moved, leaves[sequence - 1], roots[size])
    for size, later in ((1, 2), (3, 7), (8, 40), (33, EVENTS)):
        proof = consistency(log.admin, size, later)
        assert not proves_consistency(proof, (roots[size - 1], roots[later]))
        assert not proves_consistency(proof, (roots[size], roots[later - 1]))
        cut = proof | {"proof": proof["proof"][:-1]}
        assert not proves_consistency(cut, (roots[size], roots[later]))


def test_proofs_are_as_short_as_the_tree_is_high(log: Log) -> None:
    for sequence in range(1, EVENTS + 1):
        assert len(inclusion(log.admin, sequence)["proof"]) <= 6
        assert len(consistency(log.admin, sequence)["proof"]) <= 7


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("inclusion", {"sequence": "0"}, "sequence"),
        ("inclusion", {"sequence": "42"}, "sequence"),
        ("inclusion", {"sequence": "5", "size": "4"}, "sequence"),
        ("inclusion", {"sequence": "1", "size": "0"}, "size"),
        ("inclusion", {"sequence": "1", "size": "42"}, "size"),
        ("inclusion", {"sequence": "1", "size": "-1"}, "size"),
        ("inclusion", {"sequence": "-1"}, "sequence"),
        ("inclusion", {"sequence": "9" * 30}, "sequence"),
        ("inclusion", {"sequence": "x"}, "sequence"),
        ("inclusion", {}, "sequence"),
        ("consistency", {"from": "1", "to": "42"}, "to"),
        ("consistency", {"from": "42"}, "from"),
        ("consistency", {"from": "5", "to": "4"}, "from"),
        ("consistency", {"from": "-1"}, "from"),
        ("consistency", {"from": "x"}, "from"),
        ("consistency", {"from": "9" * 30}, "from"),
        ("consistency", {"from": ""}, "from"),
        ("consistency", {"to": "4"}, "from"),
    ],
)
def test_what_the_log_does_not_hold_is_named(
    log: Log, path: str, query: dict[str, str], name: str
) -> None:
    answer = log.admin.get(f"{AUDIT}/proof/{path}", params=query)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]
