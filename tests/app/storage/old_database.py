"""A database as an earlier release left it, made by its migration and by plain inserts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig

from app.vault.keys import open_vault
from events.tables import from_micros, to_micros
from projections.keyframes import EVERY
from tests.databases import (
    config_of,
    empty_database,
    partitioning,
    writing_engine,
)

GOLDEN = Path(__file__).parents[2] / "events" / "golden"
# What the old version could record, in the order of a stream.
TAGS = (
    "assistant_created.v1",
    "assistant_settings_changed.v1",
    "secrets_revealed.v1",
    "assistant_deleted.v1",
    "secrets_erased.v1",
)
# Organizations and how many events they have: the copy reads 500 at a time. The golden events
# are those of organization 3, with the sequences 41 to 45. Organization 8 has one long stream.
LONG = 8
COUNTS = {1: 1203, 2: 500, 3: 45, 4: 0, 5: 1, 6: 501, 7: 1000, LONG: 2 * EVERY + 1}
ASSISTANTS_BEFORE = 300  # in each organization; the golden one has the number 12
CREATED_AT = 1_750_000_000_000_000
Row = dict[str, Any]


def old_rows(organization_id: int, count: int) -> list[Row]:
    """A log as the old version wrote it, of the golden events and their like."""
    if organization_id == 3:
        golden = sorted(map(golden_row, TAGS), key=lambda row: int(row["sequence"]))
        return old_rows(0, count - len(golden)) + golden
    return [old_row(organization_id, sequence) for sequence in range(1, count + 1)]


def golden_row(tag: str) -> Row:
    body = (GOLDEN / f"{tag}.json").read_bytes().removesuffix(b"\n")
    return row_of(json.loads(body), body)


def old_row(organization_id: int, sequence: int) -> Row:
    assistant, place = divmod(sequence - 1, len(TAGS))
    version = place + 1 - TAGS[:place].count("secrets_revealed.v1")
    if organization_id == LONG:
        assistant, place, version = 0, min(sequence - 1, 1), sequence
    event = json.loads((GOLDEN / f"{TAGS[place]}.json").read_bytes())
    moment = datetime.fromisoformat("2026-01-01T00:00:00Z") + timedelta(seconds=sequence)
    event |= {
        "organization_id": organization_id or 3,
        "sequence": sequence,
        "assistant_id": assistant + 20,
        "occurred_at": f"{moment:%Y-%m-%dT%H:%M:%S}Z",
    }
    event["actor"] |= {"user_id": sequence % 7 + 1}
    if "version" in event:
        event["version"] = version
    return row_of(event, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())


def row_of(event: Row, body: bytes) -> Row:
    return {
        "organization_id": event["organization_id"],
        "sequence": event["sequence"],
        "assistant_id": event["assistant_id"],
        "version": event.get("version"),
        "type": event["type"],
        "occurred_at": to_micros(datetime.fromisoformat(event["occurred_at"])),
        "body": body,
    }


LOGS = {one: old_rows(one, count) for one, count in COUNTS.items()}


def scripts() -> AlembicConfig:
    settings = AlembicConfig()
    settings.set_main_option("script_location", "app.storage:migrations")
    return settings


def upgrade(path: Path, target: str, engine: sa.Engine | None = None) -> None:
    engine = engine or writing_engine(path)
    settings = scripts()
    try:
        with engine.connect() as connection, partitioning():
            settings.attributes["connection"] = connection
            command.upgrade(settings, target)
    finally:
        engine.dispose()


def make_old(path: Path) -> None:
    upgrade(empty_database(path), "0001")
    vault = open_vault(config_of(path))
    engine = writing_engine(path)
    with engine.begin() as connection:
        for organization_id, log in LOGS.items():
            connection.execute(
                sa.text(
                    "INSERT INTO organizations (organization_id, name, created_at, sequence,"
                    " last_assistant_id, last_occurred_at)"
                    " VALUES (:id, :name, :created_at, :sequence, :assistants, :moment)"
                ),
                {
                    "id": organization_id,
                    "name": f"Organization {organization_id}",
                    "created_at": CREATED_AT + organization_id,
                    "sequence": len(log),
                    "assistants": ASSISTANTS_BEFORE,
                    "moment": log[-1]["occurred_at"] if log else CREATED_AT,
                },
            )
            vault.make_keys(connection, organization_id, from_micros(CREATED_AT))
            names = ", ".join(log[0]) if log else ""
            values = ", ".join(f":{name}" for name in log[0]) if log else ""
            if log:
                connection.execute(sa.text(f"INSERT INTO events ({names}) VALUES ({values})"), log)
    engine.dispose()
