"""Proofs about the tree over a log's events (RFC 6962): it holds an event; it only grew.

Hashes are base64. A size counts events.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from msgspec import Struct

from app.audit.bounds import within
from events import log_head, log_proofs, merkle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa


class InclusionProof(Struct, frozen=True, kw_only=True):
    """That the tree of ``size`` events holds one (RFC 6962, 2.1.1); hashes are base64."""

    origin: str
    sequence: int
    leaf_index: int
    leaf_hash: str
    size: int
    root: str
    proof: list[str]


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """That the later tree extends the earlier one (RFC 6962, 2.1.2); hashes are base64."""

    origin: str
    from_size: int
    from_root: str
    to_size: int
    to_root: str
    proof: list[str]


def prove_inclusion(
    connection: sa.Connection, organization_id: int, sequence: int, size: int | None
) -> InclusionProof:
    """Prove that the tree of ``size`` events, of all by default, holds the event ``sequence``.

    Raises ``BeyondLog``.
    """
    head = log_head.head_of(connection, organization_id)
    size = within("size", head.sequence if size is None else size, 1, head.sequence)
    index = within("sequence", sequence, 1, size) - 1
    leaf, tree = (index, index + 1), (0, size)
    proof = merkle.inclusion(index, size)
    hashes = log_proofs.read_hashes(connection, organization_id, [*proof, leaf, tree])
    return InclusionProof(
        origin=head.origin,
        sequence=sequence,
        leaf_index=index,
        leaf_hash=_hash(leaf, hashes),
        size=size,
        root=_hash(tree, hashes),
        proof=[_hash(part, hashes) for part in proof],
    )


def prove_consistency(
    connection: sa.Connection, organization_id: int, size: int, later: int | None
) -> ConsistencyProof:
    """Prove that the tree of ``later`` events, of all by default, extends the one of ``size``.

    Raises ``BeyondLog``.
    """
    head = log_head.head_of(connection, organization_id)
    later = within("to", head.sequence if later is None else later, 0, head.sequence)
    size = within("from", size, 0, later)
    proof = merkle.consistency(size, later)
    hashes = log_proofs.read_hashes(connection, organization_id, [*proof, (0, size), (0, later)])
    return ConsistencyProof(
        origin=head.origin,
        from_size=size,
        from_root=_hash((0, size), hashes),
        to_size=later,
        to_root=_hash((0, later), hashes),
        proof=[_hash(part, hashes) for part in proof],
    )


def _hash(leaves: merkle.Range, hashes: Mapping[int, bytes]) -> str:
    """The hash of the subtree over a range of leaves, in base64."""
    return base64.b64encode(merkle.range_hash(leaves, hashes)).decode()
