"""What every operator's command needs: the configuration, the database, a bar, a last word.

Data goes to stdout, all else to stderr; exit codes are 0, 1 and 2.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import rich_click as click
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.exc import SQLAlchemyError

from app import log
from app.accounts import organizations
from app.audit import signing
from app.cli import terminal
from app.config import Config, as_unicode, read_config
from app.services import utc_now
from app.storage import tables
from app.storage.engines import Engines, engines
from app.storage.lock_file import DatabaseHeld
from app.storage.schema import is_current, prepare
from app.storage.sqlite import SCRUB_ATTEMPTS
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events import log_head, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEFT = (
    "what was destroyed is out of the tables, but its bytes are still in {0} or {0}-wal, because"
    " a process that reads the database keeps SQLite from emptying its log of writes."
)


class _Text(click.ParamType[str]):
    """A text: databases, answers and files hold no bytes that are not UTF-8."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was given, whatever the locale."""
        text = as_unicode(value)
        return self.fail("It is not UTF-8.", param, ctx) if text is None else text


TEXT = _Text()
ID = click.IntRange(1, tables.MAX_ID)
DATABASE = click.option(
    "--database", type=TEXT, metavar="URL", help="[dim]BACKSTORY_DATABASE_URL[/]"
)


def configure(**flags: str | None) -> Config:
    """The configuration of the command; raises ``ConfigError``."""
    return read_config(os.environ, **flags)


def find_organization(connection: sa.Connection, name: str | None) -> int:
    """The organization of a name; where there is only one, the name may be left out."""
    if name is not None:
        found = organizations.find_organization(connection, name)
        return found if found is not None else fail(f"there is no organization {name}", 1)
    ids = log_head.organization_ids(connection)
    return ids[0] if len(ids) == 1 else fail("name the --organization", 1)


@contextmanager
def holding(config: Config, *, make: bool = False, destroys: bool = False) -> Iterator[UnitOfWork]:
    """One transaction of an operator's command, which must hold the file.

    ``make`` allows a database that is not there yet: elsewhere its name is a mistake. What a
    command ``destroys`` is gone from the files when it ends, or it fails. Raises ``DatabaseHeld``.
    """
    log.configure(config)
    database = engines(config.url)
    if not (make or database.exists()):
        fail(f"there is no database {database.name}", 1)
    context = click.get_current_context(silent=True)
    command = context.command_path if context else "backstory"
    with naming_the_database(config), database.hold(command, make=make):
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
                fail(f"{displaced}: nothing may have been written", 1)
            if destroys and not _scrub(database, engine):
                fail(f"{LEFT.format(database.name)} When it has ended, run this again", 1)
        finally:
            engine.dispose()  # the last connection's end empties the log of writes


@contextmanager
def writing(
    config: Config, instead: str | None, *, make: bool = False, destroys: bool = False
) -> Iterator[UnitOfWork]:
    """As ``holding``; ``instead`` is the route that does the same while a server holds it."""
    try:
        with holding(config, make=make, destroys=destroys) as unit:
            yield unit
    except DatabaseHeld as error:
        fail(f"{error}; {f'ask it: {instead}' if instead else 'stop it first'}", 1)


def _scrub(database: Engines, engine: sa.Engine) -> bool:
    """Take what was destroyed out of the files; False where a reader was in the way for long."""
    with engine.connect() as connection:
        return any(database.scrub(connection) for _ in range(SCRUB_ATTEMPTS))


@contextmanager
def reading(config: Config) -> Iterator[sa.Connection]:
    """A snapshot of the database, also of one that a server holds."""
    log.configure(config)
    database = engines(config.url)
    if not database.exists():
        fail(f"there is no database {database.name}", 1)
    engine = database.snapshots()
    try:
        with naming_the_database(config):
            if not is_current(config.url):
                fail(
                    f"{database.name} does not have this release's schema; run 'backstory migrate'",
                    1,
                )
            with engine.connect() as connection:
                yield connection
    finally:
        engine.dispose()


@contextmanager
def naming_the_database(config: Config) -> Iterator[None]:
    """Say which database it was that refused."""
    try:
        yield
    except SQLAlchemyError as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        fail(f"{engines(config.url).name}: {said}", 1)


def count_all(connection: sa.Connection) -> int:
    """How many events the streams of all organizations hold."""
    ids = log_head.organization_ids(connection)
    return sum(store.count_events(connection, organization_id) for organization_id in ids)


@contextmanager
def progress(doing: str, total: int | None, what: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere a plain line every two seconds and one at the end."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console) as bar:
            task = bar.add_task(doing, total=total)
            yield lambda count: bar.advance(task, count)
        return
    of = "" if total is None else f" of {total}"
    done = 0
    said = datetime.now(UTC)

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if datetime.now(UTC) - said > timedelta(seconds=2):
            said = datetime.now(UTC)
            terminal.say(f"{doing}: {done}{of} {what}", err=True)

    yield advance
    terminal.say(f"{doing}: {done}{of} {what}", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Say in one line what went wrong, and end."""
    terminal.say(f"backstory: {message}", err=True)
    sys.exit(code)
