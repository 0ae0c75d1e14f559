"""The versions of an assistant as its pages offer them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.console.visitor import Visitor

MOST = 1000  # of those that a page offers, the newest
_PAGE = 200


async def read_versions(visitor: Visitor, at: str) -> list[dict[str, Any]]:
    """The newest versions of the assistant at ``at``, with their people, reasons and labels."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(_PAGE)}
    while query and len(found) < MOST:
        answer = await visitor.get(f"{at}/versions", **query)
        found += answer.or_raise()
        query = answer.next_query
    return found
