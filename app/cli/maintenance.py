"""Commands that look after a database: migrate, copy, erase, rebuild and check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from app import log
from app.assistants import secrets
from app.cli import checking, context, copy, terminal
from app.cli.options import DATABASE, ID, ORGANIZATION, TEXT
from app.storage.engines import engines
from app.storage.schema import check_folded, find_revision, migrate
from app.storage.sqlite import SQLite
from app.transactions.caller import system
from events import log_head
from events.changed import Cause
from projections.check import differences
from projections.rebuild import rebuild as rebuild_views

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.config import Config


@click.command("migrate")
@DATABASE
def migrate_database(database: str | None) -> None:
    """Bring a database up to this release's schema and settings.

    An SQLite file is migrated when it is served, unless many events must be folded. This is safe to
    run twice, and beside servers of the release before.
    """
    config = context.configure(database_url=database)
    log.configure(config)
    migrated = engines(config.url)
    with (
        context.reporting_database_errors(config),
        migrated.hold("backstory migrate", make=True),
    ):
        find_revision(config.url)  # raises where files of the database are lost
        with terminal.progress("folding", None, "events") as advance:
            migrate(config.url, advance)
    terminal.say(f"{migrated.name} is up to date")


# -- copy


@click.command("copy")
@click.option("--from", "source", required=True, type=TEXT, metavar="URL", help="It is only read.")
@click.option(
    "--to", "target", required=True, type=TEXT, metavar="URL", help="New, or of an earlier run."
)
def copy_database(source: str, target: str) -> None:
    """Copy an installation into another database, and prove it; stop what writes either first.

    A run that was interrupted goes on when it is run again. The same master key opens the copy.
    """
    old, new = (context.configure(database_url=url) for url in (source, target))
    if old.url == new.url or _is_one_file(old, new):
        terminal.fail("--from and --to name the same database", 2)
    database = engines(new.url)
    with (
        context.reading(old) as source_connection,
        context.reporting_database_errors(new),
        database.hold("backstory copy", make=True),
    ):
        count = _copy(source_connection, new)
    terminal.say(f"{database.name}: {count} organizations, equal to {engines(old.url).name}")


def _copy(source: sa.Connection, target: Config) -> int:
    """How many organizations were copied and proven."""
    database = engines(target.url)
    database.check()
    migrate(target.url)
    engine = database.commands()
    try:
        count = copy.count_events(source)
        with terminal.progress("copying and proving", count, "events") as advance:
            return copy.copy(source, engine, advance)
    finally:
        engine.dispose()


def _is_one_file(old: Config, new: Config) -> bool:
    databases = [engines(config.url) for config in (old, new)]
    paths = [database.path.resolve() for database in databases if isinstance(database, SQLite)]
    return len(paths) == len(databases) and len(set(paths)) == 1


# -- erase


@click.command()
@ORGANIZATION
@click.option("--assistant", type=ID, metavar="ID", help="Only this assistant's secrets.")
@click.option("--reason", type=TEXT, metavar="TEXT")
@click.option("--yes", is_flag=True, help="Don't ask.")
@DATABASE
def erase(
    organization: str | None,
    assistant: int | None,
    reason: str | None,
    database: str | None,
    *,
    yes: bool,
) -> None:
    """Destroy sealed secrets and the keys that sealed them. The history stays. Irrevocable."""
    if organization is None and assistant is None:
        raise click.UsageError("Name an --organization or an --assistant.")
    if not yes:
        terminal.confirm(_question(organization, assistant))
    config = context.configure(database_url=database)
    with context.writing(config, _erase_route(assistant), destroys=True) as unit:
        organization_id = unit.read(context.find_organization, organization)
        caller = system(organization_id, "backstory erase")
        cause = Cause(type="erase")
        if assistant is None:
            count = secrets.erase_organization(unit, caller, reason, cause)
        else:
            count = secrets.erase_assistant(unit, caller, assistant, reason, cause)
            secrets.rotate(unit, caller, data_keys=True)
    terminal.say("1 secret erased" if count == 1 else f"{count} secrets erased")


def _question(organization: str | None, assistant: int | None) -> str:
    what = "all secrets" if assistant is None else f"the secrets of assistant {assistant}"
    whose = f" of {organization}" if organization else ""
    return f"Erase {what}{whose}? The values cannot be brought back."


def _erase_route(assistant: int | None) -> str:
    if assistant is None:
        return "DELETE /api/v1/vault/secrets"
    return f"DELETE /api/v1/assistants/{assistant}/secrets"


# -- rebuild and check


@click.command()
@DATABASE
def rebuild(database: str | None) -> None:
    """Drop the views, fold the log again, and say whether the result equals what was there."""
    config = context.configure(database_url=database)
    with context.writing(config, None) as unit:
        unit.lock(unit.read(log_head.organization_ids))  # other servers may be writing
        total = unit.read(context.count_stream_events)
        with terminal.progress("checking", total, "events") as advance:
            count = sum(1 for _ in unit.read(differences, advance))
        with terminal.progress("folding", total, "events") as advance:
            unit.write(rebuild_views, advance)
    terminal.say("equal to what was there" if not count else f"{count} differences were repaired")
    if count and not engines(config.url).is_embedded:
        terminal.say("restart the servers: they may have cached the old views", err=True)


@click.command()
@DATABASE
def check(database: str | None) -> None:
    """Compare views and hashes with the log, read-only; exit 1 and a diff where they differ.

    Exit 1 also where bytes of erased secrets are still in the files.
    """
    config = context.configure(database_url=database)
    with context.reading(config) as connection:
        name = engines(config.url).name
        check_folded(connection, name)
        faults = checking.find_faults(connection, config.url)
        needs_scrub = engines(config.url).needs_scrub(connection)
    for place in faults.unproven:
        terminal.say(place)
    if faults.unproven:
        terminal.fail("the log is not what was hashed when it was written", 1)
    if faults.differences:
        terminal.fail(f"{faults.differences} differences; 'backstory rebuild' repairs them", 1)
    if needs_scrub:
        left = context.LEFT_IN_FILES.format(name)
        advice = "A running server removes them by itself; without one, run 'backstory vault purge'"
        terminal.fail(f"{left} {advice}", 1)
    terminal.say("the views equal the log, and the log its hashes")
