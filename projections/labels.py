"""Labels: the current names of versions. A label is unique for its assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import sqlalchemy as sa

from events.tables import metadata, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.changed import VersionLabelled

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("assistant_id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.UniqueConstraint("organization_id", "assistant_id", "label", name="labels_label"),
)


def row_of(event: VersionLabelled) -> dict[str, Any]:
    """A label as its row."""
    return {
        "organization_id": event.organization_id,
        "assistant_id": event.assistant_id,
        "version": event.labelled_version,
        "label": event.label,
    }


def project(connection: sa.Connection, event: VersionLabelled) -> None:
    """Write the label that an event gives to a version, or remove the one it had."""
    connection.execute(
        sa.delete(labels).where(
            labels.c.organization_id == event.organization_id,
            labels.c.assistant_id == event.assistant_id,
            labels.c.version == event.labelled_version,
        )
    )
    if event.label is not None:
        connection.execute(sa.insert(labels), [row_of(event)])


def fold(events: Iterable[VersionLabelled]) -> Iterable[dict[str, Any]]:
    """The rows that an organization's events lead to."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for event in events:
        key = event.assistant_id, event.labelled_version
        rows.pop(key, None)
        if event.label is not None:
            rows[key] = row_of(event)
    return rows.values()


def version_of(
    connection: sa.Connection, organization_id: int, assistant_id: int, label: str
) -> int | None:
    """The version that has a label; None if no version has it.

    Labels are stored in NFC, those of earlier releases as they were sent. Both are found.
    """
    if "\x00" in label:  # no label holds it, and PostgreSQL refuses the question
        return None
    column = labels.c
    spellings = (label, normalize("NFC", label))
    query = rows_of(labels, organization_id, column.version)
    query = query.where(column.assistant_id == assistant_id, column.label.in_(spellings))
    version: int | None = connection.scalar(query.order_by(column.label != label).limit(1))
    return version


def all_labels(connection: sa.Connection, organization_id: int) -> Iterable[sa.Row[Any]]:
    """The labels of an organization, newest assistants and versions first."""
    column = labels.c
    query = rows_of(labels, organization_id, column.assistant_id, column.version, column.label)
    return connection.execute(query.order_by(column.assistant_id.desc(), column.version.desc()))


def load(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> dict[int, str]:
    """The labels of versions, by version."""
    query = rows_of(labels, organization_id, labels.c.version, labels.c.label)
    rows = connection.execute(
        query.where(labels.c.assistant_id == assistant_id, labels.c.version.in_(list(versions)))
    )
    return {row.version: row.label for row in rows}
