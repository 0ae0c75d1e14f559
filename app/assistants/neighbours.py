"""The versions beside a version: first, previous, next and last."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from events import store

if TYPE_CHECKING:
    import sqlalchemy as sa

    from events.assistant_key import AssistantKey


_AROUND = 2  # the nearest version may be a deletion, which is skipped


class Neighbours(Struct, frozen=True, kw_only=True):
    """Versions beside one version, each with the moment at which it was made."""

    first: tuple[int, datetime]
    previous: tuple[int, datetime] | None
    next: tuple[int, datetime] | None
    last: tuple[int, datetime]


def neighbours(
    connection: sa.Connection, key: AssistantKey, version: int, newest: int
) -> Neighbours:
    """The first, nearest and last versions at which the assistant existed."""
    near = range(version - _AROUND, version + _AROUND + 1)
    moments = store.read_moments(connection, *key, {1, newest - 1, newest, *near})
    before = [moment for moment in moments if moment[0] < version]
    after = [moment for moment in moments if moment[0] > version]
    return Neighbours(
        first=moments[0],
        previous=before[-1] if before else None,
        next=after[0] if after else None,
        last=moments[-1],
    )
