"""The write-ahead log counts as replaced only while a connection writes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.storage import database_file
from app.storage.engines import engines
from tests.conftest import make_organizations
from tests.databases import config_of

pytestmark = pytest.mark.sqlite


def replace(wal: Path) -> None:
    """Put another file in its place, as a reader does that opens the database first."""
    other = wal.with_suffix(".other")
    other.write_bytes(b"")
    other.replace(wal)


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_new_log_after_the_last_writer_closed_is_no_replacement(
    tmp_path: Path, *, is_closed: bool
) -> None:
    path = tmp_path / "backstory.db"
    make_organizations(path, 1)
    engine = engines(config_of(path).url)
    with engine.hold("tests"):
        writing = engine.commands()
        connection = writing.connect()
        connection.begin()
        connection.exec_driver_sql("UPDATE organizations SET name = 'Another'")
        connection.commit()
        if is_closed:
            connection.close()
            writing.dispose()
        replace(path.with_name("backstory.db-wal"))
        displaced = database_file.displaced(path)
        connection.close()
        writing.dispose()
    assert (displaced is None) == is_closed  # open: the control
