"""Lists of assistants that are too large to be held in memory: they are sent as they are read.

Clients of the published API page by number: they add ``limit`` to ``skip``. A page that ended early
would lose them rows, so a list always has all its rows.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants.preconditions import tag_of
from events.assistant_key import AssistantKey
from events.shape import DIGEST
from projections import assistant_json, current, keyframes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import sqlalchemy as sa

    from app.storage.database import Database
    from events.changed import State
    from projections.current import Stamp

_AT_ONCE = 100  # assistants
_PORTION = 1024 * 1024  # bytes that are sent at once, or one assistant


class LongList(Struct, frozen=True):
    """Assistants of an organization in states of one moment, which their stamps name, by id."""

    organization_id: int
    stamps: dict[int, Stamp]
    tag: str


def long_list(organization_id: int, stamps: dict[int, Stamp], *query: Any) -> LongList:
    """``query`` tells this list from others of the organization."""
    resource = f"assistants?{msgspec.json.encode(query).decode()}"
    # The same states give the same bytes, as long as the same release shows them.
    shown = msgspec.json.encode((version("backstory"), DIGEST, list(stamps.items())))
    return LongList(organization_id, stamps, tag_of(organization_id, resource, shown))


async def stream(database: Database, assistants: LongList) -> AsyncIterator[bytes]:
    """The list as JSON.

    Each portion is read in a snapshot of its own: none stays open while a client reads.
    """
    ids = list(assistants.stamps)
    position = 0
    while position < len(ids):
        some = ids[position : position + _AT_ONCE]
        read = partial(_bodies, assistants=assistants, ids=some)
        bodies = await database.export_portion(assistants.organization_id, read)
        if not bodies:  # no row is ever removed
            raise LookupError(f"no assistant of {some}")
        yield (b"," if position else b"[") + b",".join(bodies)
        position += len(bodies)
    yield b"]"


def _bodies(connection: sa.Connection, assistants: LongList, ids: list[int]) -> list[bytes]:
    """The first of some assistants, until they take ``_PORTION``."""
    bodies: list[bytes] = []
    size = 0
    for assistant_id, state in current.load_each(connection, assistants.organization_id, ids):
        key = AssistantKey(assistants.organization_id, assistant_id)
        bodies.append(_body_at(connection, key, state, assistants.stamps[assistant_id]))
        size += len(bodies[-1])
        if size > _PORTION:
            break
    return bodies


def _body_at(connection: sa.Connection, key: AssistantKey, newest: State, stamp: Stamp) -> bytes:
    """An assistant as its state with a stamp is shown, also if it was changed since."""
    if current.stamp_of(newest) == stamp:
        return assistant_json.encode(*key, newest)
    then = keyframes.state_at(connection, *key, stamp[0])
    return assistant_json.encode(
        *key, msgspec.structs.replace(then, erased_version=newest.erased_version)
    )
