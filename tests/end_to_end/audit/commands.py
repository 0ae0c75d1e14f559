"""The commands of the audit log, the databases that they read, and what a server answers."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.audit import checkpoints, verify
from app.services import open_services
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.changed import Actor, Cause
from tests.conftest import Organization
from tests.databases import (
    config_of,
    copy_database,
    query,
)
from tests.end_to_end.processes import FILE, run
from tests.end_to_end.test_cli import said

LINES = ("ndjson", "csv", "cloudevents", "ocsf")


FORMATS = (*LINES, "json", "parquet")


EXPORT = "/api/v1/audit/export"


BIG, SMALL = "Organization 0", "Organization 1"


DAYS = 4


REASONS = (
    None,
    "Calmer",
    'two lines,\nsaid "Émile"\r\n1,2026-01-01,not a row\r\nthe end',
    "=1+1",
)


class Filled(Struct, frozen=True):
    """A folder whose database holds two logs: one of four days and many events, one of two."""

    folder: Path
    big: Organization
    last: int  # the last sequence of the big one

    def copy(self, folder: Path) -> Path:
        return copy_database(self.folder / FILE, folder / FILE)


async def fill(database: Path, big: int, small: int) -> None:
    now = datetime(2026, 1, 1, 8, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(seconds=1)
        return now

    ada = Actor(type="api_key", id=1, name="admin key", user_id=1)
    emile = Actor(type="user", id=2, name="Émile", user_id=2)
    async with open_services(config_of(database), clock) as services:
        for day in range(DAYS):
            now = datetime(2026, 1, 1 + day, 8, tzinfo=UTC)
            caller = Caller(organization_id=big, actor=(ada, emile)[day % 2])
            named = read_create({"name": f"Line {day}"})
            one = await services.writer.write(big, partial(create_assistant, caller, named))
            for number, reason in enumerate(REASONS * 2):
                body = {
                    "description": f"day {day}\nnumber {number}",
                    "llm_settings": {"temperature": number / 10},
                    "change_description": reason,
                }
                request = ChangeRequest(caller=caller, assistant_id=one)
                await services.writer.write(
                    big, partial(change_assistant, request, read_patch(body))
                )
            await checkpoints.record_due(
                services.database,
                services.writer,
                services.signer,
                services.clock(),
                timedelta(),
                None,
            )
        now = datetime(2026, 1, 3, tzinfo=UTC)
        caller = Caller(organization_id=small, actor=ada)
        for name in ("One", "Two"):
            await services.writer.write(
                small, partial(create_assistant, caller, read_create({"name": name}))
            )


def create_assistant(caller: Caller, patch: SettingsPatch, unit: UnitOfWork) -> int:
    return changes.create(unit, caller, patch).id


def change_assistant(request: ChangeRequest, patch: SettingsPatch, unit: UnitOfWork) -> None:
    changes.change(unit, request, patch, Cause(type="patch"))


# Flags, and the same as a query.
FILTERS: dict[str, tuple[str, str, str]] = {
    "everything": ("ndjson", "", ""),
    "a moment": ("csv", "--until 2026-01-02T08:00:05Z", "until=2026-01-02T08:00:05Z"),
    "days": (
        "json",
        "--since 2026-01-02T00:00:00Z --until 2026-01-03T00:00:00+00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00%2B00:00",
    ),
    "an assistant": ("cloudevents", "--assistant 2", "assistant_id=2"),
    "an actor": ("ocsf", "--actor user:2", "actor=user:2"),
    "a type": (
        "ndjson",
        "--event-type assistant_settings_changed --path /llm_settings",
        "event_type=assistant_settings_changed&path=/llm_settings",
    ),
    "a part": ("csv", "--assistant 2 --actor Émile", "assistant_id=2&actor=Émile"),
}


class Answers(Struct, frozen=True):
    """What a server answers for all formats, and for all filters, up to the last sequence."""

    formats: dict[str, bytes]
    filters: dict[str, bytes]
    part: bytes  # what follows sequence 9
    keys: bytes
    checkpoint: bytes


Ended = subprocess.CompletedProcess[str]


def export(folder: Path, output: Path, *flags: str, **settings: str) -> Ended:
    """Export the big log of the folder's database."""
    whose = () if "--organization" in flags else ("--organization", BIG)
    return run(folder, "export", *whose, "--output", str(output), *flags, **settings)


def until(filled: Filled, *flags: str) -> tuple[str, ...]:
    return ("--until-sequence", str(filled.last), *flags)


def succeeded(ended: Ended) -> Ended:
    assert ended.returncode == 0, ended.stderr
    return ended


def events_of(database: Path, organization_id: int = 1) -> list[dict[str, Any]]:
    rows = query(
        database, f"SELECT body FROM events WHERE organization_id = {organization_id} ORDER BY 1"
    )
    return sorted((json.loads(body) for (body,) in rows), key=lambda event: event["sequence"])


def verified(text: bytes, keys: bytes) -> verify.Verified:
    """What the verifier proves of an export, in this process."""
    return verify.verify(text.splitlines(keepends=True), verify.read_keys(keys))


MODULES = "from app.audit import archive, resume"


def unguarded(folder: Path, guard: str, *arguments: str) -> Ended:
    """Run a command with one of its guards off."""
    return run(folder, *arguments, preamble=f"{MODULES}\n{guard}")


def refused(ended: Ended, file: Path, text: bytes) -> None:
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{file} holds no such export" in said(ended)
    assert file.read_bytes() == text


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(folder: Path, **settings: str) -> bytes:
    ended = succeeded(run(folder, "audit", "key", "--organization", BIG, **settings))
    return ended.stdout.encode()


ARCHIVED = 10  # events of the first day: a creation, eight changes and a checkpoint


def archive(folder: Path, before: str, *flags: str, **settings: str) -> Ended:
    return run(folder, "archive", "--to", "archive", "--before", before, *flags, **settings)


def names(folder: Path, organization_id: int = 1) -> list[str]:
    found = (folder / "archive" / f"organization-{organization_id}").iterdir()
    return sorted(path.name for path in found)


def part(first: int, last: int) -> list[str]:
    stem = f"events-{first:012}-{last:012}"
    return [f"{stem}.checkpoint", f"{stem}.ndjson", f"{stem}.parquet"]
