"""No key reaches across organizations, or PostgreSQL would refuse to divide the tables by them.

Whatever the run is on, these are on partitioned PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from events.tables import metadata
from tests.conftest import make_organizations
from tests.databases import chosen, partitioning, query, writing_engine


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with chosen("partitioned"):
        yield tmp_path / "backstory.db"


def test_every_table_is_divided_by_organization(path: Path) -> None:
    make_organizations(path, 20)
    divided = "SELECT relname, pg_get_partkeydef(oid) FROM pg_class WHERE relkind = 'p'"
    assert dict(query(path, divided)) == dict.fromkeys(metadata.tables, "HASH (organization_id)")
    assert query(path, "SELECT count(DISTINCT tableoid) FROM organizations") == [(3,)]
    ((parts,),) = query(
        path,
        "SELECT max(n) FROM (SELECT count(DISTINCT tableoid) AS n"
        " FROM api_keys GROUP BY organization_id) AS each",
    )
    assert parts == 1  # an organization's rows lie together


def make_table(path: Path, *keys: str) -> None:
    """A table of one organization's things, with these keys."""
    engine = writing_engine(path)
    columns = "organization_id INTEGER, number INTEGER, name TEXT"
    try:
        with partitioning(), engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE things ({', '.join((columns, *keys))})")
    finally:
        engine.dispose()


KEY = "PRIMARY KEY (organization_id, number)"


@pytest.mark.parametrize("keys", [("PRIMARY KEY (number)",), (KEY, "UNIQUE (name)")], ids=str)
def test_control_a_key_without_the_organization_is_refused(
    path: Path, keys: tuple[str, ...]
) -> None:
    with pytest.raises(sa.exc.NotSupportedError, match="must include all partitioning columns"):
        make_table(path, *keys)
    make_table(path, KEY, "UNIQUE (organization_id, name)")
