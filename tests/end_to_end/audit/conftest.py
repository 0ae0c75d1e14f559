"""Databases with history, servers of them, and archives: made once and copied."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import (
    copy_database,
    query,
    writing_engine,
)
from tests.end_to_end.audit.commands import (
    ARCHIVED,
    EXPORT,
    FILTERS,
    FORMATS,
    Answers,
    Filled,
    fill,
    succeeded,
)
from tests.end_to_end.processes import FILE, Running, client, serving, start


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    database = folder / FILE
    big, small = make_organizations(database, 2)
    engine = writing_engine(database)
    with engine.begin() as connection:  # the tests' own time begins before they were made
        past = {"last_occurred_at": 0, "checkpoint_at": 0}
        connection.execute(sa.update(organizations).values(past))
    engine.dispose()
    asyncio.run(fill(database, big.id, small.id))
    ((last,),) = query(database, "SELECT sequence FROM organizations WHERE organization_id = 1")
    return Filled(folder, big, last)


@pytest.fixture
def database(filled: Filled, tmp_path: Path) -> Path:
    return filled.copy(tmp_path)


@pytest.fixture(scope="session")
def server(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that holds a copy."""
    with serving(filled.copy(tmp_path_factory.mktemp("held"))) as running:
        yield running


@pytest.fixture(scope="session")
def answers(server: Running, filled: Filled) -> Answers:
    with client(server.url, filled.big.admin) as admin:

        def get(name: str, more: str = "") -> bytes:
            answer = admin.get(f"{EXPORT}?format={name}&until_sequence={filled.last}&{more}")
            assert answer.status_code == 200, answer.text
            return answer.content

        return Answers(
            formats={name: get(name) for name in FORMATS},
            filters={key: get(name, sent) for key, (name, _, sent) in FILTERS.items()},
            part=get("ndjson", "after=9"),
            keys=admin.get("/api/v1/audit/key").content,
            checkpoint=admin.get("/api/v1/audit/checkpoint").content,
        )


@pytest.fixture(scope="session")
def parts(answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exports, keys and checkpoints, and nothing of Backstory."""
    folder = tmp_path_factory.mktemp("auditor")
    whole = answers.formats["ndjson"]
    lines = whole.splitlines(keepends=True)
    files = {
        "whole": whole,
        "first": b"".join(lines[:9]),
        "second": answers.part,
        "tampered": whole.replace(b"Calmer", b"Louder", 1),
        "cut": b"".join(lines[:-1]),
        "keys": answers.keys,
        "note": answers.checkpoint,
        "no-keys": b"{}",
        "no-note": b"\xff",
        "csv": answers.formats["csv"],
    }
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return folder


@pytest.fixture(scope="session")
def archived(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database, and an archive of its first day."""
    folder = tmp_path_factory.mktemp("archived")
    filled.copy(folder)
    ended = succeeded(start(folder, "archive", "--to", "archive", "--before", "2026-01-02"))
    assert ended.stdout.splitlines() == [
        f"archive/organization-1: sequences 1 to {ARCHIVED}, verified",
        "archive/organization-2: nothing new before 2026-01-02",
    ]
    return folder


@pytest.fixture
def first_day(archived: Path, tmp_path: Path) -> Path:
    copy_database(archived / FILE, tmp_path / FILE)
    shutil.copytree(archived / "archive", tmp_path / "archive")
    return tmp_path
