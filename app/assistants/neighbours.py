"""The versions beside a version: first, previous, next and last."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from events import store

if TYPE_CHECKING:
    import sqlalchemy as sa


_AROUND = 2  # a version before or after which the assistant was deleted is not the last of them


class Neighbours(Struct, frozen=True, kw_only=True):
    """The mementos that one leads to, each version with when it came to be."""

    first: tuple[int, datetime]
    previous: tuple[int, datetime] | None
    next: tuple[int, datetime] | None
    last: tuple[int, datetime]


def neighbours(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int, newest: int
) -> Neighbours:
    """The first, the nearest and the last versions, where the newest one is known."""
    near = range(version - _AROUND, version + _AROUND + 1)
    found = store.read_moments(
        connection, organization_id, assistant_id, {1, newest - 1, newest, *near}
    )
    before = [one for one in found if one[0] < version]
    after = [one for one in found if one[0] > version]
    return Neighbours(
        first=found[0],
        previous=before[-1] if before else None,
        next=after[0] if after else None,
        last=found[-1],
    )
