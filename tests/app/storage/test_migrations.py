"""Migrating a database of an earlier schema, with history, to today's loses nothing.

The tree that its events must have is computed here, level by level.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pymerkle import InmemoryTree
from sqlalchemy.exc import DatabaseError

from app.audit import verify
from app.storage.schema import is_current, migrate
from app.storage.tables import api_keys, sealed_secrets
from events import codec, log_proofs, store
from events.tables import metadata
from projections import check, rebuild
from projections.keyframes import EVERY
from tests.app.storage.old_database import (
    ASSISTANTS_BEFORE,
    COUNTS,
    CREATED_AT,
    LOGS,
    LONG,
    make_old,
    scripts,
    upgrade,
)
from tests.conftest import ASSISTANTS
from tests.databases import (
    copy_database,
    empty_database,
    execute,
    hold,
    on_sqlite,
    partitioning,
    query,
    reading_engine,
    text_of,
    unguarded,
    url_of,
    writing_engine,
)
from tests.end_to_end.processes import client, run, serving

IMMUTABLE = "events are immutable"


# -- the old database


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "backstory.db"
    make_old(path)
    return path


@pytest.fixture(scope="module")
def migrated(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = copy_database(old, tmp_path_factory.mktemp("migrated") / old.name)
    bring_up(path)
    return path


def bring_up(path: Path) -> None:
    with hold(path), partitioning():
        migrate(url_of(path))


@pytest.fixture
def copied(migrated: Path, tmp_path: Path) -> Path:
    return copy_database(migrated, tmp_path / migrated.name)


# -- the tree, level by level


def levels_over(bodies: Sequence[bytes]) -> list[list[bytes]]:
    """The roots of all perfect subtrees, by the logarithm of their width."""
    levels = [[sha256(b"\x00" + body).digest() for body in bodies]]
    while levels[-1]:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return levels[:-1]


def kept_by(levels: list[list[bytes]], sequence: int) -> bytes:
    ends = (level for level in range(len(levels)) if sequence % 2**level == 0)
    return b"".join(levels[level][sequence // 2**level - 1] for level in ends)


def frontier_over(levels: list[list[bytes]], size: int) -> bytes:
    ones = (level for level in reversed(range(len(levels))) if size >> level & 1)
    return b"".join(levels[level][(size >> level) - 1] for level in ones)


# -- what is there after


@pytest.mark.parametrize("organization_id", COUNTS)
def test_every_event_is_there_byte_for_byte_and_has_its_leaf(
    migrated: Path, organization_id: int
) -> None:
    log = LOGS[organization_id]
    levels = levels_over([row["body"] for row in log])
    names = [*log[0]] if log else ["sequence"]
    found = query(
        migrated,
        f"SELECT {', '.join(names)}, hashes FROM events"
        " WHERE organization_id = :id ORDER BY sequence",
        id=organization_id,
    )
    assert found == [(*row.values(), kept_by(levels, row["sequence"])) for row in log]


@pytest.mark.parametrize("organization_id", COUNTS)
def test_the_frontier_is_that_of_all_events_and_its_root_that_of_pymerkle(
    migrated: Path, organization_id: int
) -> None:
    bodies = [row["body"] for row in LOGS[organization_id]]
    independent = InmemoryTree.init_from_entries(bodies, algorithm="sha256")
    ((frontier,),) = query(
        migrated,
        "SELECT frontier FROM organizations WHERE organization_id = :id",
        id=organization_id,
    )
    assert frontier == frontier_over(levels_over(bodies), len(bodies))
    engine = reading_engine(migrated)
    with engine.connect() as connection:
        for size in {0, 1, 499, 500, 501, len(bodies) - 1, len(bodies)} & {*range(len(bodies) + 1)}:
            root = log_proofs.root_at(connection, organization_id, size)
            assert root == independent.get_root(size)
    engine.dispose()


def test_every_event_is_found_by_its_user_and_none_by_a_key(migrated: Path) -> None:
    found = query(migrated, "SELECT body, user_id, key_id FROM events")
    assert len(found) == sum(COUNTS.values())
    for body, user_id, key_id in found:
        assert (user_id, key_id) == (json.loads(body)["actor"]["user_id"], None)


def test_every_event_can_still_be_read(migrated: Path) -> None:
    engine = reading_engine(migrated)
    with engine.connect() as connection:
        for organization_id, log in LOGS.items():
            read = list(store.read_log(connection, organization_id))
            assert read == [codec.decode(row["body"], row["type"]) for row in log]
    engine.dispose()


def test_the_counters_stay_and_each_log_has_an_origin_of_its_own(migrated: Path) -> None:
    found = query(
        migrated,
        "SELECT organization_id, name, created_at, sequence, last_assistant_id,"
        " checkpoint_at, checkpoint_sequence, origin FROM organizations ORDER BY organization_id",
    )
    for organization_id, name, created_at, sequence, assistants, moment, checkpoint, _ in found:
        assert (name, sequence) == (f"Organization {organization_id}", COUNTS[organization_id])
        assert created_at == moment == CREATED_AT + organization_id
        assert (assistants, checkpoint) == (ASSISTANTS_BEFORE, 0)
    origins = {row[-1] for row in found}
    assert len(origins) == len(COUNTS)
    assert all(row[-1].startswith(f"backstory/organizations/{row[0]}/") for row in found)


def test_another_copy_of_the_same_database_is_another_log(
    old: Path, migrated: Path, tmp_path: Path
) -> None:
    """Else the two could grow apart under one name."""
    other = copy_database(old, tmp_path / old.name)
    bring_up(other)
    statement = "SELECT origin FROM organizations"
    assert not {*query(migrated, statement)} & {*query(other, statement)}


def shown(path: Path) -> tuple[list[check.Difference], dict[int, list[int]]]:
    """Where the views are not what the log says, and the versions of each one's keyframes."""
    engine = reading_engine(path)
    with engine.connect() as connection:
        found = list(check.differences(connection, lambda _: None))
    engine.dispose()
    frames: dict[int, list[int]] = {}
    for organization_id, version in query(
        path, "SELECT organization_id, version FROM keyframes ORDER BY version"
    ):
        frames.setdefault(organization_id, []).append(version)
    return found, frames


def test_the_views_are_written_from_the_log_those_that_are_new_too(migrated: Path) -> None:
    assert shown(migrated) == ([], {LONG: [EVERY, 2 * EVERY]})
    rolled_back = "SELECT count(*) FROM reversals WHERE organization_id = :id"
    assert query(migrated, rolled_back, id=LONG) == [(2 * EVERY,)]


def test_control_without_that_the_views_would_differ(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "rebuild", lambda *_: None)
    path = copy_database(old, tmp_path / old.name)
    upgrade(path, "head")
    found, frames = shown(path)
    assert frames == {}
    assert "keyframes[20,64].state" in {difference.column for difference in found}


def test_migrating_again_changes_nothing(copied: Path) -> None:
    before = everything(copied)
    bring_up(copied)
    assert everything(copied) == before


def everything(path: Path) -> list[list[Any]]:
    tables = ("organizations", "events", "alembic_version")
    return [query(path, f"SELECT * FROM {table} ORDER BY 1") for table in tables] + [built(path)]


def built(path: Path) -> list[Any]:
    """All that the schema is made of, as the database itself tells it."""
    if on_sqlite():
        statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
        return query(path, statement)
    return query(
        path,
        "SELECT 'index', indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename NOT LIKE 'part_%'"
        " UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgparentid = 0"
        " UNION ALL SELECT table_name, column_name, concat_ws(' ', data_type, is_nullable,"
        " column_default) FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name NOT LIKE 'part_%' ORDER BY 1, 2, 3",
    )


# -- a migration that fails


@pytest.fixture(params=[b"no JSON", b"{}"])
def damaged(request: pytest.FixtureRequest, old: Path, tmp_path: Path) -> Path:
    """An old database with an event that has no actor, far behind."""
    path = copy_database(old, tmp_path / old.name)
    guard = guard_of(path, "events_are_not_updated")
    execute(path, unguarded("events_are_not_updated"))
    forged = "UPDATE events SET body = :body WHERE organization_id = 7 AND sequence = 900"
    execute(path, forged, body=request.param)
    execute(path, guard)
    return path


def guard_of(path: Path, name: str) -> str:
    """The statement that made a trigger."""
    statement = "SELECT sql FROM sqlite_master WHERE name = :name"
    if not on_sqlite():
        statement = (
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = :name AND tgparentid = 0"
        )
    ((made,),) = query(path, statement, name=name)
    return str(made)


def test_a_migration_that_fails_leaves_the_database_as_it_was(damaged: Path) -> None:
    before = everything(damaged)
    with pytest.raises((ValueError, KeyError)):
        bring_up(damaged)
    assert everything(damaged) == before


def test_control_outside_of_a_transaction_it_would_be_left_halfway(damaged: Path) -> None:
    before = built(damaged)
    engine = sa.create_engine(f"sqlite:///{damaged}") if on_sqlite() else writing_engine(damaged)
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises((ValueError, KeyError)):
        upgrade(damaged, "head", engine)
    assert built(damaged) != before


# -- the guards


FORGERIES = {
    "UPDATE events SET body = :forged WHERE sequence = 600": "events_are_not_updated",
    "UPDATE events SET body = :forged": "events_are_not_updated",
    "DELETE FROM events WHERE sequence = 1": "events_are_not_deleted",
}
if on_sqlite():
    FORGERIES |= {
        "INSERT OR REPLACE INTO events SELECT organization_id, sequence, assistant_id, version,"
        " key_id, user_id, type, occurred_at, :forged, hashes FROM events WHERE sequence = 7": (
            "events_are_not_replaced"
        ),
        "INSERT OR REPLACE INTO events SELECT organization_id, 99999, assistant_id, version,"
        " key_id, user_id, type, occurred_at, :forged, hashes FROM events"
        " WHERE sequence = 7 AND organization_id = 1": "events_are_not_replaced",
        "INSERT OR REPLACE INTO events (rowid, organization_id, sequence, user_id, type,"
        " occurred_at, body, hashes) SELECT rowid, 1, 99999, 0, type, 0, :forged, :forged FROM"
        " events WHERE sequence = 7 AND organization_id = 1": "events_are_not_replaced",
    }
else:
    FORGERIES |= {"TRUNCATE events": "events_are_not_truncated"}
LOG = (
    "SELECT organization_id, sequence, assistant_id, version, type, occurred_at, body"
    " FROM events ORDER BY 1, 2"
)


def forge(path: Path, forgery: str) -> None:
    execute(path, forgery, **({"forged": b"\0"} if ":forged" in forgery else {}))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_past_is_as_immutable_as_before(copied: Path, forgery: str) -> None:
    before = query(copied, "SELECT * FROM events ORDER BY 1, 2")
    with pytest.raises(DatabaseError, match=IMMUTABLE):
        forge(copied, forgery)
    assert query(copied, "SELECT * FROM events ORDER BY 1, 2") == before


@pytest.mark.parametrize("forgery", FORGERIES)
def test_control_without_its_trigger_the_past_could_be_changed(copied: Path, forgery: str) -> None:
    before = query(copied, "SELECT * FROM events ORDER BY 1, 2")
    execute(copied, unguarded(FORGERIES[forgery]))
    forge(copied, forgery)
    assert query(copied, "SELECT * FROM events ORDER BY 1, 2") != before


REVISIONS = [one.revision for one in ScriptDirectory.from_config(scripts()).walk_revisions()][::-1]


@pytest.mark.parametrize("revision", REVISIONS)
def test_only_the_newest_schema_is_taken_for_todays(tmp_path: Path, revision: str) -> None:
    database = empty_database(tmp_path / "backstory.db")
    upgrade(database, revision)
    assert is_current(url_of(database)) == (revision == REVISIONS[-1])


@pytest.mark.parametrize("start", REVISIONS)
def test_each_release_comes_to_todays_with_its_rows_and_its_guards(
    old: Path, tmp_path: Path, start: str
) -> None:
    path = copy_database(old, tmp_path / old.name)
    before = query(path, LOG)
    with pytest.MonkeyPatch.context() as patch:  # an older release had not today's views
        patch.setattr(rebuild, "rebuild", lambda *_: None)
        for revision in REVISIONS[: REVISIONS.index(start) + 1]:
            upgrade(path, revision)
            assert query(path, LOG) == before
            for forgery in FORGERIES:
                if "hashes" not in forgery:  # the first release had none
                    with pytest.raises(DatabaseError, match=IMMUTABLE):
                        forge(path, forgery)
    bring_up(path)
    assert query(path, LOG) == before
    if start != REVISIONS[-1]:
        assert shown(path)[0] == []
    assert differences(path) == []


# -- the schema


def is_ours(name: str | None, *_: Any) -> bool:
    """Whether it is no partition."""
    return not (name or "").startswith("part_")


def differences(path: Path) -> list[Any]:
    engine = reading_engine(path)
    with engine.connect() as connection:
        wanted = {"compare_type": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=wanted)
        found: list[Any] = compare_metadata(context, metadata)
    engine.dispose()
    return found


def schema(path: Path) -> dict[str, Any]:
    """Each table's columns, keys, unique constraints and indexes, as SQLAlchemy reads them."""
    engine = reading_engine(path)
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        found = {
            table: (
                [
                    (column["name"], repr(column["type"]), column["nullable"])
                    for column in inspector.get_columns(table)
                ],
                inspector.get_pk_constraint(table)["constrained_columns"],
                sorted(
                    (str(unique["name"]), unique["column_names"])
                    for unique in inspector.get_unique_constraints(table)
                ),
                sorted(
                    (str(index["name"]), index["column_names"], index["unique"])
                    for index in inspector.get_indexes(table)
                ),
            )
            for table in inspector.get_table_names()
            if table != "alembic_version" and is_ours(table)
        }
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema of a database that is made from the tables alone."""
    path = empty_database(tmp_path_factory.mktemp("declared") / "backstory.db")
    engine = writing_engine(path)
    with partitioning():
        metadata.create_all(engine)
    engine.dispose()
    return schema(path)


def test_the_migrated_schema_is_that_of_the_tables(
    migrated: Path, declared: dict[str, Any]
) -> None:
    assert {api_keys.name, sealed_secrets.name, "events"} <= declared.keys()
    assert differences(migrated) == []
    assert schema(migrated) == declared


def test_a_new_database_has_the_same_schema_and_the_same_guards(
    migrated: Path, declared: dict[str, Any], tmp_path: Path
) -> None:
    path = empty_database(tmp_path / "new.db")
    bring_up(path)
    assert differences(path) == []
    assert schema(path) == declared
    assert built(path) == built(migrated)


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX events_of_type",
        "ALTER TABLE organizations DROP COLUMN checkpoint_at",
        "ALTER TABLE users ADD COLUMN more TEXT",
        "CREATE TABLE old_events (one INTEGER)",
    ],
)
def test_control_a_schema_that_differs_is_seen(
    copied: Path, declared: dict[str, Any], change: str
) -> None:
    execute(copied, change)
    assert differences(copied) != []
    assert schema(copied) != declared


# -- the server goes on


@pytest.fixture(scope="module")
def grown(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes]]:
    """The export of an old log to which a server has added, and the keys that signed it."""
    path = copy_database(old, tmp_path_factory.mktemp("grown") / old.name)
    if not on_sqlite():  # the process that opens a file migrates it
        refused = run(path.parent, "serve", "--port", "0")
        assert (refused.returncode, "run 'backstory migrate' first" in refused.stderr) == (1, True)
        assert run(path.parent, "migrate").returncode == 0
    made = run(
        path.parent,
        *("keys", "create", "--organization", "Organization 1", "--role", "admin"),
        *("--database", text_of(path)),
    )
    assert made.returncode == 0, made.stderr
    with serving(path) as running, client(running.url, made.stdout.strip()) as admin:
        created = admin.post(ASSISTANTS, json={"name": "Front desk"})
        assert created.status_code == 201
        assert created.json()["id"] == ASSISTANTS_BEFORE + 1
        export = admin.get("/api/v1/audit/export")
        assert export.status_code == 200
        yield export.content, admin.get("/api/v1/audit/key").content


def test_a_server_starts_on_it_and_new_events_extend_the_tree(
    grown: tuple[bytes, bytes], tmp_path: Path
) -> None:
    export, keys = grown
    file = tmp_path / "export.ndjson"
    file.write_bytes(export)
    verified = verify.verify(verify.read_lines([file]), verify.read_keys(keys))
    assert verified.events >= COUNTS[1] + 2
    assert len(verified.signed_by) == 1
    bodies = [line.partition(b'"event":')[2][:-1] for line in export.splitlines()[:-1]]
    assert bodies[: COUNTS[1]] == [row["body"] for row in LOGS[1]]
    independent = InmemoryTree.init_from_entries(bodies, algorithm="sha256")
    assert base64.b64decode(verified.root) == independent.get_root()


def test_control_an_old_event_that_was_changed_before_would_not_verify(
    grown: tuple[bytes, bytes],
) -> None:
    export, keys = grown
    lines = export.splitlines(keepends=True)
    lines[600] = lines[600].replace(b'"sequence":601', b'"sequence":602')
    assert lines[600] != export.splitlines(keepends=True)[600]
    with pytest.raises(verify.Failed, match="sequence 601: edited"):
        verify.verify(lines, verify.read_keys(keys))
