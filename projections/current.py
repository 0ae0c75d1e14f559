"""The current view: one row for each assistant, with its settings as they are now.

The ``settings`` hold references in place of secrets. A row that a release with other settings wrote
is not read; its state is folded from the events.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from events import prepared
from events.assistant_key import AssistantKey
from events.changed import State
from events.prepared import Prepared
from events.secrets.references import mask
from events.shape import DIGEST
from events.tables import LARGE, OF_ORGANIZATION, from_micros, metadata, rows_of, to_micros
from projections import keyframes
from projections.casefolding import casefolded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from events.pointers import Tree

# Compare code points, whatever the database's locale is; SQLite always does.
_FOLDED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

assistants = sa.Table(
    "assistants",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("assistant_id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("erased_version", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("settings", sa.LargeBinary, nullable=False),
    sa.Column(
        "settings_digest", sa.Text, nullable=False, server_default=""
    ),  # ``events.shape.DIGEST``
    sa.Column("folded_name", _FOLDED, nullable=False, server_default=""),
    sa.Column("folded_description", _FOLDED, nullable=False, server_default=""),
    sa.Index("assistants_by_name", "organization_id", "folded_name"),
)
# A version, and its time in microseconds: a database restored from a backup may give a version
# number to another event.
Stamp = tuple[int, int]
_SAVE = prepared.upsert(assistants)
IS_ASSISTANT = assistants.c.assistant_id == sa.bindparam("assistant_id", type_=sa.Integer)
_LOAD = Prepared(lambda _: rows_of(assistants, OF_ORGANIZATION).where(IS_ASSISTANT))
_BESIDE_SETTINGS = tuple(
    assistants.c[name]
    for name in ("version", "deleted", "erased_version", "user_id", "created_at", "updated_at")
)
_OUTLINE = Prepared(
    lambda _: rows_of(assistants, OF_ORGANIZATION, *_BESIDE_SETTINGS).where(IS_ASSISTANT)
)
_READ_AT_ONCE = 1024 * 1024  # bytes of settings


def project(connection: sa.Connection, states: Mapping[AssistantKey, State]) -> None:
    """Write the states, in place of the rows of their assistants."""
    if not states:
        return
    _SAVE.run(connection, *(row_of(*item) for item in states.items()))


def row_of(key: AssistantKey, state: State) -> dict[str, Any]:
    """A state as its row; equal states give equal bytes."""
    if state.created_at is None or state.updated_at is None:
        raise ValueError("a state without events has no row")
    organization_id, assistant_id = key
    # Masked, because a URL in them may hold a secret.
    name, description = mask(state.settings["name"]), mask(state.settings["description"])
    return {
        "organization_id": organization_id,
        "assistant_id": assistant_id,
        "version": state.version,
        "deleted": state.deleted,
        "erased_version": state.erased_version,
        "user_id": state.user_id,
        "name": name,
        "description": description,
        "is_active": state.settings["is_active"],
        "created_at": to_micros(state.created_at),
        "updated_at": to_micros(state.updated_at),
        "settings_digest": DIGEST,
        "settings": state.encoded,
        "folded_name": casefolded(name),
        "folded_description": casefolded(description or ""),
    }


def load(connection: sa.Connection, organization_id: int, assistant_id: int) -> State | None:
    """The state of an assistant, deleted or not; None if it was never created."""
    key = {"organization_id": organization_id, "assistant_id": assistant_id}
    row = _LOAD.run(connection, key).one_or_none()
    return None if row is None else _state(connection, row)


def load_outline(
    connection: sa.Connection, organization_id: int, assistant_id: int
) -> State | None:
    """As ``load``, without the settings."""
    key = {"organization_id": organization_id, "assistant_id": assistant_id}
    row = _OUTLINE.run(connection, key).one_or_none()
    return None if row is None else _state_of(row, {})


def stamp_of(state: State) -> Stamp:
    """The stamp, which tells a state from all other states of its assistant."""
    return state.version, to_micros(state.updated_at) if state.updated_at else 0


def _stamp() -> sa.Select[Any]:
    column = assistants.c
    query = rows_of(assistants, OF_ORGANIZATION, column.version, column.updated_at)
    return query.where(IS_ASSISTANT, column.deleted.is_(False))


STAMP = Prepared(lambda _: _stamp())
"""The stamp of an existing assistant: one row, or none."""


# The length of settings is read without their value; no description is longer.
_IS_LARGE = sa.func.length(assistants.c.settings) > sa.literal_column(str(LARGE))
SHORT = (
    assistants.c.organization_id,
    assistants.c.assistant_id,
    assistants.c.name,
    sa.case((sa.not_(_IS_LARGE), assistants.c.description)).label("description"),
    _IS_LARGE.label("is_large"),
    assistants.c.is_active,
    assistants.c.created_at,
)
"""Columns of an assistant in a list of many, of which ``description_of`` reads the description."""
_DESCRIPTION = Prepared(
    lambda _: rows_of(assistants, OF_ORGANIZATION, assistants.c.description).where(IS_ASSISTANT)
)


def description_of(connection: sa.Connection, row: sa.Row[Any]) -> str | None:
    """The masked description in a row of ``SHORT``; that of a large assistant is read now."""
    if row.is_large:
        key = {"organization_id": row.organization_id, "assistant_id": row.assistant_id}
        return _DESCRIPTION.run(connection, key).scalar_one()  # type: ignore[no-any-return]
    return row.description  # type: ignore[no-any-return]


class ShortAssistant(msgspec.Struct, frozen=True, kw_only=True):
    """An assistant in short, masked."""

    id: int
    name: str
    description: str | None
    is_active: bool
    created_at: datetime


def select_short(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    *,
    limit: int | None = None,
) -> list[ShortAssistant]:
    """The selected assistants in short, newest first. No settings are read."""
    rows = connection.execute(_selected(organization_id, selection, *SHORT).limit(limit)).all()
    return [
        ShortAssistant(
            id=row.assistant_id,
            name=row.name,
            description=description_of(connection, row),
            is_active=row.is_active,
            created_at=from_micros(row.created_at),
        )
        for row in rows
    ]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which of an organization's existing assistants, or of its deleted ones, to select.

    A member that is None restricts nothing. ``search`` is a part of the name or the description.
    """

    deleted: bool = False
    active: bool | None = None
    user_id: int | None = None
    assistant_ids: tuple[int, ...] | None = None
    search: str = ""


def select(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    *,
    skip: int = 0,
    limit: int | None = None,
) -> list[tuple[int, State]]:
    """The selected assistants with their ids, newest first."""
    query = _selected(organization_id, selection).offset(skip).limit(limit)
    rows = connection.execute(query).all()
    return [(row.assistant_id, _state(connection, row)) for row in rows]


def select_stamps(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    *,
    skip: int = 0,
    limit: int | None = None,
) -> tuple[dict[int, Stamp], dict[int, int]]:
    """Of the assistants that ``select`` gives, by id and in the same order, two mappings.

    Their stamps, and how many bytes their settings take.
    """
    column = assistants.c
    size = sa.func.length(column.settings).label("size")  # read without their value
    query = _selected(
        organization_id, selection, column.assistant_id, column.version, column.updated_at, size
    )
    rows = connection.execute(query.offset(skip).limit(limit)).all()
    stamps = {row.assistant_id: (row.version, row.updated_at) for row in rows}
    return stamps, {row.assistant_id: row.size for row in rows}


def load_each(
    connection: sa.Connection, organization_id: int, assistant_ids: Iterable[int]
) -> Iterator[tuple[int, State]]:
    """The states of assistants, deleted ones too, with their ids, newest first.

    Few are read at once, and a large one alone.
    """
    column = assistants.c
    size = sa.func.length(column.settings).label("size")  # read without their value
    newest_first = column.assistant_id.desc()
    query = rows_of(assistants, organization_id, column.assistant_id, size)
    is_one = column.assistant_id.in_(list(assistant_ids))
    rows = connection.execute(query.where(is_one).order_by(newest_first)).all()
    for ids in _portions({row.assistant_id: row.size for row in rows}):
        portion = rows_of(assistants, organization_id).where(column.assistant_id.in_(ids))
        for row in connection.execute(portion.order_by(newest_first)).all():
            yield row.assistant_id, _state(connection, row)


def holding(
    connection: sa.Connection, organization_id: int, may_hold: Callable[[bytes], bool]
) -> Iterator[tuple[int, str, State | None]]:
    """Each existing assistant with its masked name, and its state where its settings may hold it.

    Newest first. Few are read at once, and a large one alone.
    """
    _, sizes = select_stamps(connection, organization_id, Selection())
    column = assistants.c
    for ids in _portions(sizes):
        portion = rows_of(assistants, organization_id).where(column.assistant_id.in_(ids))
        for row in connection.execute(portion.order_by(column.assistant_id.desc())).all():
            # Settings that another release wrote may lack what today's have.
            is_found = row.settings_digest != DIGEST or may_hold(row.settings)
            yield row.assistant_id, row.name, _state(connection, row) if is_found else None


def _portions(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    portion: list[int] = []
    size = 0
    for assistant_id, bytes_ in sizes.items():
        size += bytes_
        if portion and size > _READ_AT_ONCE:
            yield portion
            portion, size = [], bytes_
        portion.append(assistant_id)
    if portion:
        yield portion


def _selected(
    organization_id: int, selection: Selection, *columns: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    query = rows_of(assistants, organization_id, *columns).where(*conditions(selection))
    return query.order_by(assistants.c.assistant_id.desc())


def created_until(
    connection: sa.Connection, organization_id: int, moment: datetime
) -> Iterator[tuple[int, State, bool]]:
    """The assistants that were created at or before a moment, deleted ones too, newest first.

    Each with its state, without the settings, and whether it is active.
    """
    column = assistants.c
    query = (
        rows_of(
            assistants, organization_id, column.assistant_id, column.is_active, *_BESIDE_SETTINGS
        )
        .where(column.created_at <= to_micros(moment))
        .order_by(column.assistant_id.desc())
    )
    for row in connection.execute(query):
        yield row.assistant_id, _state_of(row, {}), row.is_active


def count(connection: sa.Connection, organization_id: int, selection: Selection) -> int:
    """The number of selected assistants."""
    query = rows_of(assistants, organization_id, sa.func.count()).where(*conditions(selection))
    return connection.scalar(query) or 0


def size(connection: sa.Connection, organization_id: int, selection: Selection) -> int:
    """The bytes of the selected assistants' settings. No large value is read for it."""
    total = sa.func.sum(sa.func.length(assistants.c.settings))
    query = rows_of(assistants, organization_id, total).where(*conditions(selection))
    return int(connection.scalar(query) or 0)


def deleted_before(
    connection: sa.Connection, organization_id: int, assistant_id: int, moment: datetime
) -> bool:
    """Whether an assistant is deleted, and was last changed at or before a moment."""
    query = rows_of(assistants, organization_id, sa.func.count()).where(
        assistants.c.assistant_id == assistant_id,
        assistants.c.deleted.is_(True),
        assistants.c.updated_at <= to_micros(moment),
    )
    return bool(connection.scalar(query))


def names_and_erasures(
    connection: sa.Connection, organization_id: int, ids: Iterable[int]
) -> tuple[dict[int, str], dict[int, int]]:
    """Two mappings by id: the masked names, and the versions up to which secrets were erased."""
    column = assistants.c
    query = rows_of(
        assistants, organization_id, column.assistant_id, column.name, column.erased_version
    ).where(column.assistant_id.in_(ids))
    rows = connection.execute(query).all()
    names = {row.assistant_id: row.name for row in rows}
    return names, {row.assistant_id: row.erased_version for row in rows}


def conditions(selection: Selection) -> Iterator[sa.ColumnElement[bool]]:
    """The selection as SQL conditions."""
    column = assistants.c
    yield column.deleted.is_(selection.deleted)
    if selection.active is not None:
        yield column.is_active.is_(selection.active)
    if selection.user_id is not None:
        yield column.user_id == selection.user_id
    if selection.assistant_ids is not None:
        yield column.assistant_id.in_(selection.assistant_ids)
    if selection.search:
        text = casefolded(selection.search)
        yield sa.or_(
            column.folded_name.contains(text, autoescape=True),
            column.folded_description.contains(text, autoescape=True),
        )


def _state(connection: sa.Connection, row: sa.Row[Any]) -> State:
    if row.settings_digest != DIGEST:
        return keyframes.state_at(connection, row.organization_id, row.assistant_id, row.version)
    return _state_of(row, msgspec.json.decode(row.settings))


def _state_of(row: sa.Row[Any], settings: Tree) -> State:
    return State(
        version=row.version,
        settings=settings,
        deleted=bool(row.deleted),
        erased_version=row.erased_version,
        user_id=row.user_id,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
