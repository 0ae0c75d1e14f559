"""The Merkle tree (RFC 6962) over an organization's events, in order of sequence.

A tree of n leaves is kept as its frontier: the roots of its perfect subtrees, largest first, one
for each bit of n that is set. Each event keeps its leaf hash and the roots of the subtrees that it
completes. Every other hash of the tree is made from these. Hashes are 32 bytes (SHA-256), one after
another.
"""

from __future__ import annotations

from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Range = tuple[int, int]  # of leaves, counted from 0: the second is excluded

HASH_BYTES = 32


def leaf_hash(body: bytes) -> bytes:
    """The leaf hash of an event's canonical bytes."""
    return sha256(b"\x00" + body).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def add(frontier: bytes, size: int, body: bytes) -> tuple[bytes, bytes]:
    """The frontier after one more leaf, and the hashes that its event keeps.

    ``size`` is the number of leaves before.
    """
    hashes = node = leaf_hash(body)
    while size % 2:
        node = _node_hash(frontier[-HASH_BYTES:], node)
        frontier = frontier[:-HASH_BYTES]
        hashes += node
        size //= 2
    return frontier + node, hashes


def root(frontier: bytes) -> bytes:
    """The root of the tree with this frontier; of an empty tree, the hash of no bytes."""
    nodes = [frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES)]
    if not nodes:
        return sha256().digest()
    return reduce(lambda right, left: _node_hash(left, right), reversed(nodes))


# -- proofs: which ranges of leaves they hash, and the hash of a range


def inclusion(index: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that the tree of ``size`` leaves holds one (2.1.1)."""
    return list(_path(index, 0, size))[::-1]


def _path(index: int, start: int, end: int) -> Iterator[Range]:
    while end - start > 1:
        split = start + _largest_power_below(end - start)
        if index < split:
            yield split, end
            end = split
        else:
            yield start, split
            start = split


def consistency(size: int, later: int) -> list[Range]:
    """The ranges whose hashes prove that a tree of ``later`` leaves extends one of ``size``."""
    # RFC 6962, 2.1.2
    if size in (0, later):  # any tree extends the empty one; a tree extends itself
        return []
    ranges: list[Range] = []
    start, end = 0, later
    while end != size:
        split = start + _largest_power_below(end - start)
        if size <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    if start:  # else it is the old tree, whose root the verifier has
        ranges.append((start, size))
    return ranges[::-1]


def _largest_power_below(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def keepers(ranges: Iterable[Range]) -> set[int]:
    """The sequences of the events whose hashes make those of the ranges."""
    return {last for leaves in ranges for _, last in _subtrees(leaves)}


def range_hash(leaves: Range, kept: Mapping[int, bytes]) -> bytes:
    """The hash of a range; ``kept`` has the hashes of its ``keepers`` by sequence."""
    return root(
        b"".join(
            kept[last][level * HASH_BYTES : (level + 1) * HASH_BYTES]
            for level, last in _subtrees(leaves)
        )
    )


def _subtrees(leaves: Range) -> Iterator[tuple[int, int]]:
    """The perfect subtrees of a range: the level and the last event's sequence of each."""
    last, end = leaves
    for level in reversed(range((end - last).bit_length())):
        if (end - leaves[0]) >> level & 1:
            last += 1 << level
            yield level, last
