"""Lists of assistants that are too large to be held in memory: they are sent as they are read.

Clients of the published API page by number: they add ``limit`` to ``skip``. A page that ended early
would lose them rows, so a list always has all its rows.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants.preconditions import tag_of
from events.assistant_key import AssistantKey
from events.shape import DIGEST
from projections import current, keyframes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import sqlalchemy as sa

    from app.storage.database import Database
    from projections.current import Stamp


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

    Each assistant is read in a snapshot of its own: none stays open while a client reads.
    """
    before = b"["
    for assistant_id, stamp in assistants.stamps.items():
        key = AssistantKey(assistants.organization_id, assistant_id)
        yield before + await database.snapshot(_body_at, key, stamp)
        before = b","
    yield b"]"


def _body_at(connection: sa.Connection, key: AssistantKey, stamp: Stamp) -> bytes:
    """An assistant as its state with a stamp is shown, also if it was changed since."""
    state = current.load(connection, *key)
    if state is None:
        raise LookupError(f"assistant {key} has no row")
    if current.stamp_of(state) != stamp:
        then = keyframes.state_at(connection, *key, stamp[0])
        state = msgspec.structs.replace(then, erased_version=state.erased_version)
    return current.encode(*key, state)
