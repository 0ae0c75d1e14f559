"""RFC 6962 Merkle trees: one for each organization, a leaf for each event.

The leaf of an event is SHA-256(0x00 | its stored bytes), its index is ``sequence - 1``. A
``Frontier`` is all that appending needs: the roots of the complete subtrees, largest first,
one for each bit of the size. Proofs need the roots of older complete subtrees; who asks for
a proof gives a function that finds them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    # (level, index) -> root of the complete subtree over leaves index*2^level ...
    Subtrees = Callable[[int, int], bytes]

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier(Struct, frozen=True, kw_only=True):
    """A tree of ``size`` leaves, as far as appending needs it."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The tree with one more leaf, given by its hash."""
        roots = list(self.roots)
        size = self.size
        while size & 1:
            leaf = node_hash(roots.pop(), leaf)
            size >>= 1
        return Frontier(size=self.size + 1, roots=(*roots, leaf))

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self.roots:
            return EMPTY_ROOT
        *lefts, root = self.roots
        for left in reversed(lefts):
            root = node_hash(left, root)
        return root

    def encode(self) -> bytes:
        """The roots, one after the other."""
        return b"".join(self.roots)


def decode_frontier(size: int, data: bytes) -> Frontier:
    """The frontier that ``encode`` wrote for a tree of this size."""
    if len(data) != size.bit_count() * HASH_BYTES:
        raise ValueError("a frontier has one root for each bit of the size")
    roots = tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
    return Frontier(size=size, roots=roots)


def root_of(start: int, end: int, subtrees: Subtrees) -> bytes:
    """The root over leaves ``start`` to ``end`` (excluded); ``start`` is a subtree's beginning."""
    size = end - start
    if size.bit_count() == 1 and start % size == 0:
        level = size.bit_length() - 1
        return subtrees(level, start >> level)
    middle = start + _left_size(size)
    return node_hash(root_of(start, middle, subtrees), root_of(middle, end, subtrees))


def inclusion_proof(index: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 2.1.1, lowest node first."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in a tree of this size")
    return _path(index, 0, size, subtrees)


def consistency_proof(old: int, new: int, subtrees: Subtrees) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 2.1.2."""
    if not 0 < old <= new:
        raise ValueError("the old tree is empty or larger than the new one")
    return [] if old == new else _subproof(old, 0, new, subtrees, whole=True)


def _left_size(size: int) -> int:
    """The largest power of two that is smaller than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _path(index: int, start: int, end: int, subtrees: Subtrees) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _left_size(end - start)
    if index < middle:
        return [*_path(index, start, middle, subtrees), root_of(middle, end, subtrees)]
    return [*_path(index, middle, end, subtrees), root_of(start, middle, subtrees)]


def _subproof(old: int, start: int, end: int, subtrees: Subtrees, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [root_of(start, end, subtrees)]
    middle = start + _left_size(end - start)
    if old <= middle:
        below = _subproof(old, start, middle, subtrees, whole=whole)
        return [*below, root_of(middle, end, subtrees)]
    below = _subproof(old, middle, end, subtrees, whole=False)
    return [*below, root_of(start, middle, subtrees)]
