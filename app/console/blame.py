"""Who set each setting, and in which version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.console.visitor import Visitor

Blame = Callable[[str], Any]


async def read_blame(visitor: Visitor, assistant_id: int, version: object = "latest") -> Blame:
    """A function from a path to the change that set it, as of a version."""
    query: dict[str, Any] = {"version": version}
    by_path: dict[str, Any] = {}
    while query:
        answer = await visitor.get(f"/assistants/{assistant_id}/blame", **query)
        by_path |= {line["path"]: line["changed_by"] for line in answer.or_raise()}
        query = answer.next_query
    return partial(_blame, by_path)


def _blame(by_path: Mapping[str, Any], path: str) -> Any:
    """The change that set a path or what holds it; else the last one that set a part of it."""
    at = path
    while at:
        if at in by_path:
            return by_path[at]
        at = at.rpartition("/")[0]
    below = [change for other, change in by_path.items() if other.startswith(f"{path}/")]
    return max(below, key=lambda change: change["version"], default=None)
