"""What a command works with: the configuration, the organization, a transaction of the database."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click
from sqlalchemy.exc import SQLAlchemyError

from app import log
from app.accounts import organizations
from app.audit import signing
from app.cli import terminal
from app.config import Config, read_config
from app.services import utc_now
from app.storage.engines import Engines, engines
from app.storage.lock_file import DatabaseHeld
from app.storage.schema import is_current, prepare
from app.storage.sqlite import SCRUB_ATTEMPTS
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events import log_head, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

LEFT_IN_FILES = (
    "what was destroyed is out of the tables, but its bytes are still in {0} or {0}-wal, because"
    " a process that reads the database keeps SQLite from emptying its log of writes."
)


def configure(**flags: str | None) -> Config:
    """The configuration of the command; raises ``ConfigError``."""
    return read_config(os.environ, **flags)


def find_organization(connection: sa.Connection, name: str | None) -> int:
    """The ID of an organization. The name may be left out where there is only one."""
    if name is not None:
        organization_id = organizations.find_organization(connection, name)
        if organization_id is None:
            terminal.fail(f"there is no organization {name}", 1)
        return organization_id
    ids = log_head.organization_ids(connection)
    return ids[0] if len(ids) == 1 else terminal.fail("name the --organization", 1)


@contextmanager
def write_transaction(
    config: Config, *, make: bool = False, destroys: bool = False
) -> Iterator[UnitOfWork]:
    """One write transaction of a command, which holds the database file meanwhile.

    ``make`` allows a database that does not exist yet; otherwise its name is a mistake. What the
    command ``destroys`` is out of the files when it ends, or it fails. Raises ``DatabaseHeld``.
    """
    log.configure(config)
    database = engines(config.url)
    if not (make or database.exists()):
        terminal.fail(f"there is no database {database.name}", 1)
    with reporting_database_errors(config), database.hold(_command(), make=make):
        prepare(config.url)
        vault = open_vault(config)
        if make:
            signing.open_signer(config)
        engine = database.commands()
        try:
            with engine.begin() as connection:
                unit = UnitOfWork(connection, vault, utc_now)
                yield unit
                unit.flush()
            if (displaced := database.displaced()) is not None:
                terminal.fail(f"{displaced}: nothing may have been written", 1)
            if destroys and not _scrub(database, engine):
                left = LEFT_IN_FILES.format(database.name)
                terminal.fail(f"{left} When it has ended, run this again", 1)
        finally:
            engine.dispose()  # closing the last connection empties SQLite's log of writes


def _command() -> str:
    """The running command with its groups: ``backstory keys create``."""
    context = click.get_current_context(silent=True)
    return context.command_path if context else "backstory"


@contextmanager
def writing(
    config: Config, instead: str | None, *, make: bool = False, destroys: bool = False
) -> Iterator[UnitOfWork]:
    """As ``write_transaction``, and fails where a server holds the database.

    ``instead`` is the route by which the server does the same; None where it has none.
    """
    try:
        with write_transaction(config, make=make, destroys=destroys) as unit:
            yield unit
    except DatabaseHeld as error:
        terminal.fail(f"{error}; {f'ask it: {instead}' if instead else 'stop it first'}", 1)


def _scrub(database: Engines, engine: sa.Engine) -> bool:
    """Take what was destroyed out of the files; False where a reader prevented it for long."""
    with engine.connect() as connection:
        return any(database.scrub(connection) for _ in range(SCRUB_ATTEMPTS))


@contextmanager
def reading(config: Config) -> Iterator[sa.Connection]:
    """A snapshot of the database, which a server may hold."""
    database = require_database(config)
    engine = database.snapshots()
    try:
        with reporting_database_errors(config), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def require_database(config: Config) -> Engines:
    """The database, which exists and has this release's schema; else the command fails."""
    log.configure(config)
    database = engines(config.url)
    if not database.exists():
        terminal.fail(f"there is no database {database.name}", 1)
    with reporting_database_errors(config):
        if not is_current(config.url):
            terminal.fail(
                f"{database.name} does not have this release's schema; run 'backstory migrate'", 1
            )
    return database


@contextmanager
def reporting_database_errors(config: Config) -> Iterator[None]:
    """End the command in one line that names the database and its error."""
    try:
        yield
    except SQLAlchemyError as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        terminal.fail(f"{engines(config.url).name}: {first_line}", 1)


def count_stream_events(connection: sa.Connection) -> int:
    """How many events the streams of all organizations hold."""
    ids = log_head.organization_ids(connection)
    return sum(store.count_events(connection, organization_id) for organization_id in ids)
