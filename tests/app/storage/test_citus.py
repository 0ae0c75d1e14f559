"""What Citus is asked for. Its functions are stood in for by ones that note how they are called.

Citus itself is in no package registry: ``pytest --on citus`` runs on one that there is. Whatever
the run is on, these are on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.storage import citus, schema
from tests.conftest import make_organizations
from tests.databases import chosen, execute, query, text_of, writing_engine

_STAND_INS = """
CREATE TABLE pg_dist_partition (
    number serial, logicalrelid regclass, colocate_with text, triggers text, mode text
);
CREATE FUNCTION create_distributed_table(named regclass, key text, colocate_with text)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO pg_dist_partition (logicalrelid, colocate_with, triggers, mode) VALUES (
        named, colocate_with, current_setting('citus.enable_unsafe_triggers'),
        current_setting('citus.multi_shard_modify_mode'))
$$;
CREATE FUNCTION create_reference_table(named regclass) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pg_dist_partition (logicalrelid) VALUES (named)
$$;
CREATE FUNCTION run_command_on_workers(command text)
RETURNS TABLE (nodename text, result text) LANGUAGE sql AS $$
    VALUES ('one', 'on'), ('two', 'off')
$$;
"""


@pytest.fixture(autouse=True)
def _on_postgresql() -> Iterator[None]:
    with chosen("postgresql"):
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    execute(path, _STAND_INS)
    return path


def migrate(path: Path) -> None:
    schema.migrate(sa.make_url(text_of(path)))


def distributed(path: Path) -> list[tuple[str, str | None]]:
    return query(
        path, "SELECT logicalrelid::text, colocate_with FROM pg_dist_partition ORDER BY number"
    )


def test_migrating_distributes_every_table_beside_its_organization(database: Path) -> None:
    migrate(database)
    tables = query(
        database,
        "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE table_schema = 'public'"
        " AND column_name = 'organization_id' AND table_type = 'BASE TABLE'",
    )
    first, *others = distributed(database)
    assert first == ("organizations", "none")
    assert others.pop() == ("alembic_version", None)
    assert {colocated for _, colocated in others} == {"organizations"}
    assert {(name,) for name, _ in (first, *others)} == set(tables)
    settings = "SELECT DISTINCT triggers, mode FROM pg_dist_partition WHERE triggers IS NOT NULL"
    assert query(database, settings) == [("on", "sequential")]


def test_migrating_again_distributes_what_is_missing_alone(database: Path) -> None:
    migrate(database)
    before = distributed(database)
    migrate(database)
    assert distributed(database) == before
    execute(database, "DELETE FROM pg_dist_partition WHERE logicalrelid = 'labels'::regclass")
    migrate(database)
    assert [one for one in distributed(database) if one[0] == "labels"] == [
        ("labels", "organizations")
    ]
    assert sorted(map(str, distributed(database))) == sorted(map(str, before))


def test_no_migration_renames_a_constraint_which_citus_refuses() -> None:
    """The second does, and comes before anything is distributed."""
    files = (Path(schema.__file__).parent / "migrations" / "versions").glob("0*.py")
    for file in sorted(files)[2:]:
        assert "RENAME CONSTRAINT" not in file.read_text().upper(), file.name


def test_the_settings_of_nodes_are_read_where_the_rows_are(database: Path) -> None:
    engine = writing_engine(database)
    with engine.connect() as connection:
        assert citus.is_installed(connection)
        found = citus.settings_of_nodes(connection, "synchronous_commit")
    engine.dispose()
    assert found == {"one": "on", "two": "off"}


def test_a_plain_server_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    make_organizations(path, 1)
    engine = writing_engine(path)
    with engine.begin() as connection:
        assert not citus.is_installed(connection)
        assert citus.distribute(connection) == []
    engine.dispose()
