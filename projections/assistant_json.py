"""An assistant as the API shows it: its JSON, with masks in place of secrets.

Mostly it is spliced around the bytes of the settings that are stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from events.changed import REFERENCE, State
from events.prepared import Prepared
from events.secrets.references import mask
from events.shape import DIGEST, are_known, known
from events.tables import OF_ORGANIZATION, from_micros, rows_of
from projections.current import IS_ASSISTANT, assistants

if TYPE_CHECKING:
    from events.pointers import Tree
    from projections.current import Stamp

_LARGEST_SHOWN = 64 * 1024  # bytes of settings: some pages of a file, which may be on a cold disk


def _to_show(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    column = assistants.c
    columns = (column.version, column.user_id, column.erased_version)
    moments = (column.created_at, column.updated_at)
    is_ours = column.settings_digest == sa.bindparam("settings_digest", type_=sa.Text)
    settings = sa.case((sa.and_(*conditions, is_ours), column.settings))
    query = rows_of(assistants, OF_ORGANIZATION, *columns, *moments, settings)
    return query.where(IS_ASSISTANT, column.deleted.is_(False))


# A condition reads the length alone: SQLite would fetch each page of a large value, also to find
# the digest behind it.
_IS_SMALL = sa.func.length(assistants.c.settings) <= sa.literal_column(str(_LARGEST_SHOWN))
SHOWN = Prepared(lambda _: _to_show(_IS_SMALL))
"""What ``show`` needs of an existing assistant: one row, or none.

Its ``settings_digest`` is this release's, ``events.shape.DIGEST``.
"""
_ANY_SHOWN = Prepared(lambda _: _to_show())


def load_row(connection: sa.Connection, organization_id: int, assistant_id: int) -> Any:
    """The row of ``SHOWN`` of an assistant, however large; None if there is none."""
    key = {"organization_id": organization_id, "assistant_id": assistant_id}
    return _ANY_SHOWN.run(connection, key | {"settings_digest": DIGEST}).one_or_none()


def show(organization_id: int, assistant_id: int, row: Any) -> tuple[Stamp, bytes] | None:
    """The stamp of a row of ``SHOWN``, and its state as ``encode`` gives it.

    None: the row is large, to be read by ``load_row``, or of a release with other settings, to be
    read by ``current.load``.
    """
    version, user_id, erased_version, created_at, updated_at, settings = row
    if settings is None:
        return None
    if REFERENCE in settings or not are_known(settings):
        settings = _masked(known(msgspec.json.decode(settings)), erased_version)
    moments = from_micros(created_at), from_micros(updated_at)
    head = _Head(assistant_id, organization_id, user_id, *moments, version)
    return (version, updated_at), _spliced(head, settings)


class _Head(msgspec.Struct):
    """The members that an answer shows before the settings."""

    id: int
    organization_id: int
    user_id: int
    created_at: datetime | None
    updated_at: datetime | None
    version: int


_TAIL = b',"total_calls":null,"avg_call_duration":null,"success_rate":null'


def encode(organization_id: int, assistant_id: int, state: State, **members: Any) -> bytes:
    """An assistant as the API shows it: every member as JSON, secrets masked; ``members`` last."""
    head = _Head(
        assistant_id,
        organization_id,
        state.user_id,
        state.created_at,
        state.updated_at,
        state.version,
    )
    return _spliced(head, _shown(state), **members)


def _spliced(head: _Head, settings: bytes, **members: Any) -> bytes:
    beside = b"," + msgspec.json.encode(members)[1:-1] if members else b""
    return b"".join((msgspec.json.encode(head)[:-1], b",", settings[1:-1], _TAIL, beside, b"}"))


def _shown(state: State) -> bytes:
    """The settings as every reader may see them: mostly in the bytes that are stored."""
    if state.known is state.settings and not state.holds_secrets:
        return state.encoded
    return _masked(state.known, state.erased_version)


def _masked(settings: Tree, erased_version: int) -> bytes:
    return msgspec.json.encode(mask(settings, erased_version))
