"""The tree against RFC 6962 as its text has it, against pymerkle, and against a verifier.

Published trees and proofs are in tests/suites/rfc6962.

The definitions below are the RFC's own, written over lists of bodies; the verifier is that of
RFC 9162, which sees nothing but hashes. Neither shares a line with the code under test.
"""

from __future__ import annotations

import random
from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from pymerkle import InmemoryTree

from events import merkle
from events.merkle import HASH_BYTES
from tests.events.strategies import few

SMALL = 64
BODIES = tuple(b'{"event":%d}' % number for number in range(5000))


# -- the log, kept as the store keeps it


class Grown(Struct, frozen=True):
    """A log's frontier after each event, from none, and what each event keeps, by sequence."""

    frontiers: list[bytes]
    kept: dict[int, bytes]

    def hashes(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The hashes of ranges, from nothing but what their keepers keep."""
        kept = {sequence: self.kept[sequence] for sequence in merkle.keepers(ranges)}
        return [merkle.range_hash(one, kept) for one in ranges]


def grown(bodies: tuple[bytes, ...]) -> Grown:
    frontiers, kept = [b""], {}
    for size, body in enumerate(bodies):
        frontier, kept[size + 1] = merkle.add(frontiers[-1], size, body)
        frontiers.append(frontier)
    return Grown(frontiers, kept)


@pytest.fixture(scope="module")
def log() -> Grown:
    return grown(BODIES)


# -- the definitions of RFC 6962, section 2.1


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])"""
    if end == start:
        return sha256().digest()
    if end - start == 1:
        return sha256(b"\x00" + BODIES[start]).digest()
    k = split(end - start)
    return node(mth(start, start + k), mth(start + k, end))


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])"""
    if end - start == 1:
        return []
    k = split(end - start)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b)"""
    if m == end - start:
        return [] if whole else [mth(start, end)]
    k = split(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, whole=whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, whole=False), mth(start, start + k)]


# -- the verifier of RFC 9162, sections 2.1.3.2 and 2.1.4.2


def is_included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            r = node(p, r)
            while not fn % 2 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def is_consistent(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: list[bytes]
) -> bool:
    """For 0 < first < second, as the RFC has it."""
    if not proof:
        return False
    if first & (first - 1) == 0:
        proof = [first_root, *proof]
    fn, sn = first - 1, second - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn % 2 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == first_root and sr == second_root and sn == 0


# -- roots


def test_the_root_of_every_small_tree_is_that_of_the_rfc_and_of_pymerkle(log: Grown) -> None:
    independent = InmemoryTree(algorithm="sha256")
    for size in range(SMALL + 1):
        root = merkle.root(log.frontiers[size])
        assert root == mth(0, size) == independent.get_root()
        assert log.hashes([(0, size)]) == [root]
        independent.append_entry(BODIES[size])


def test_the_roots_of_large_trees_are_those_of_the_rfc_and_of_pymerkle(log: Grown) -> None:
    independent = InmemoryTree.init_from_entries(BODIES, algorithm="sha256")
    for size in [*random.Random(1).sample(range(SMALL, len(BODIES)), 60), len(BODIES)]:
        assert merkle.root(log.frontiers[size]) == mth(0, size) == independent.get_root(size)
        assert log.hashes([(0, size)]) == [mth(0, size)]


def test_a_frontier_holds_one_root_for_each_power_of_two_in_the_size(log: Grown) -> None:
    for size, frontier in enumerate(log.frontiers):
        assert len(frontier) == size.bit_count() * HASH_BYTES


def test_an_event_keeps_its_leaf_and_the_roots_of_the_subtrees_that_it_is_the_last_leaf_of(
    log: Grown,
) -> None:
    for sequence in range(1, SMALL + 1):
        widths = [width for width in (1, 2, 4, 8, 16, 32, 64) if sequence % width == 0]
        expected = [mth(sequence - width, sequence) for width in widths]
        assert log.kept[sequence] == b"".join(expected)


def test_events_keep_two_hashes_each_on_average(log: Grown) -> None:
    assert sum(map(len, log.kept.values())) < 2 * HASH_BYTES * len(BODIES)


@few
@given(st.lists(st.binary(max_size=40), max_size=40))
def test_a_tree_over_any_bytes_has_the_root_of_pymerkle(bodies: list[bytes]) -> None:
    independent = InmemoryTree.init_from_entries(bodies, algorithm="sha256")
    assert merkle.root(grown(tuple(bodies)).frontiers[-1]) == independent.get_root()


# -- proofs of inclusion


def test_every_inclusion_proof_of_a_small_tree_is_that_of_the_rfc_and_verifies(log: Grown) -> None:
    for size in range(1, SMALL + 1):
        for index in range(size):
            proof = log.hashes(merkle.inclusion(index, size))
            assert proof == path(index, 0, size)
            assert is_included(mth(index, index + 1), index, size, proof, mth(0, size))


def test_every_inclusion_proof_of_a_small_tree_is_that_of_pymerkle(log: Grown) -> None:
    independent = InmemoryTree.init_from_entries(BODIES[:SMALL], algorithm="sha256")
    for size in range(1, SMALL + 1):
        for index in range(size):
            leaf, *siblings = independent.prove_inclusion(index + 1, size).path
            assert leaf == merkle.leaf_hash(BODIES[index])
            assert log.hashes(merkle.inclusion(index, size)) == siblings


def test_inclusion_proofs_of_large_trees_verify(log: Grown) -> None:
    chosen = random.Random(2)
    for _ in range(300):
        size = chosen.randint(SMALL, len(BODIES))
        index = chosen.choice((0, size - 1, chosen.randrange(size)))
        proof = log.hashes(merkle.inclusion(index, size))
        assert proof == path(index, 0, size)
        assert is_included(mth(index, index + 1), index, size, proof, mth(0, size))


# -- proofs of consistency


def test_every_consistency_proof_of_a_small_tree_is_that_of_the_rfc_and_verifies(
    log: Grown,
) -> None:
    for later in range(1, SMALL + 1):
        for size in range(1, later):
            proof = log.hashes(merkle.consistency(size, later))
            assert proof == subproof(size, 0, later, whole=True)
            assert is_consistent(size, later, mth(0, size), mth(0, later), proof)


def test_our_roots_resolve_every_consistency_proof_of_pymerkle(log: Grown) -> None:
    """Its proofs are cut otherwise than the RFC's, but they prove the same."""
    independent = InmemoryTree.init_from_entries(BODIES[:SMALL], algorithm="sha256")
    for later in range(1, SMALL + 1):
        for size in range(1, later):
            old, new = merkle.root(log.frontiers[size]), merkle.root(log.frontiers[later])
            proof = independent.prove_consistency(size, later)
            proof.verify(old, new, prior_size=size, later_size=later)


def test_consistency_proofs_of_large_trees_verify(log: Grown) -> None:
    chosen = random.Random(3)
    for _ in range(300):
        later = chosen.randint(SMALL, len(BODIES))
        size = chosen.choice((1, later - 1, split(later), chosen.randint(1, later - 1)))
        proof = log.hashes(merkle.consistency(size, later))
        assert proof == subproof(size, 0, later, whole=True)
        assert is_consistent(size, later, mth(0, size), mth(0, later), proof)


@pytest.mark.parametrize("later", [0, 1, 2, 7, 64])
def test_any_tree_extends_the_empty_one_and_itself_without_a_proof(later: int) -> None:
    assert merkle.consistency(0, later) == []
    assert merkle.consistency(later, later) == []


def test_a_proof_reads_only_as_many_events_as_the_tree_is_high(log: Grown) -> None:
    size = len(BODIES)
    for index in random.Random(4).sample(range(size), 100):
        proof = [*merkle.inclusion(index, size), *merkle.consistency(index, size)]
        assert len(merkle.keepers(proof)) <= 4 * size.bit_length()
        log.hashes(proof)


# -- controls: what the verifier must not believe


def flipped(digest: bytes) -> bytes:
    return bytes([digest[0] ^ 1]) + digest[1:]


def test_control_a_proof_with_a_wrong_leaf_sibling_size_or_root_does_not_verify(
    log: Grown,
) -> None:
    chosen = random.Random(5)
    for size in range(2, SMALL + 1):
        index = chosen.randrange(size)
        leaf, root = mth(index, index + 1), mth(0, size)
        proof = log.hashes(merkle.inclusion(index, size))
        assert is_included(leaf, index, size, proof, root)
        assert not is_included(flipped(leaf), index, size, proof, root)
        assert not is_included(leaf, index, size, proof, flipped(root))
        assert not is_included(leaf, size, size, proof, root)
        assert not is_included(leaf, index, size, proof[:-1], root)
        assert not is_included(leaf, index, size, [*proof, root], root)
        for at in range(len(proof)):
            wrong = [*proof[:at], flipped(proof[at]), *proof[at + 1 :]]
            assert not is_included(leaf, index, size, wrong, root)


def test_control_a_proof_for_another_leaf_does_not_verify(log: Grown) -> None:
    for (index, other), size in zip(pairwise(range(SMALL)), range(2, SMALL), strict=False):
        proof = log.hashes(merkle.inclusion(index, size))
        assert not is_included(mth(other, other + 1), other, size, proof, mth(0, size))


def test_control_a_consistency_proof_of_other_sizes_or_hashes_does_not_verify(log: Grown) -> None:
    chosen = random.Random(6)
    for later in range(3, SMALL + 1):
        size = chosen.randrange(2, later)
        old, new = mth(0, size), mth(0, later)
        proof = log.hashes(merkle.consistency(size, later))
        assert is_consistent(size, later, old, new, proof)
        assert not is_consistent(size, later, flipped(old), new, proof)
        assert not is_consistent(size, later, old, flipped(new), proof)
        assert not is_consistent(size - 1, later, old, new, proof)
        assert not is_consistent(size, later, mth(0, size - 1), new, proof)
        for at in range(len(proof)):
            wrong = [*proof[:at], flipped(proof[at]), *proof[at + 1 :]]
            assert not is_consistent(size, later, old, new, wrong)


def test_control_a_log_that_was_rewritten_has_no_consistency_proof_with_its_past(
    log: Grown,
) -> None:
    rewritten = grown((*BODIES[:9], b"forged", *BODIES[10:SMALL]))
    size, later = 20, SMALL
    proof = rewritten.hashes(merkle.consistency(size, later))
    old, new = merkle.root(log.frontiers[size]), merkle.root(rewritten.frontiers[later])
    assert not is_consistent(size, later, old, new, proof)
    honest = log.hashes(merkle.consistency(size, later))
    assert is_consistent(size, later, old, merkle.root(log.frontiers[later]), honest)


def test_control_leaves_and_nodes_are_hashed_apart() -> None:
    """Else the two hashes under a node would pass for an event with the node's hash."""
    left, right = map(merkle.leaf_hash, BODIES[:2])
    frontier, _ = merkle.add(b"", 0, left + right)
    assert merkle.root(frontier) != node(left, right)
