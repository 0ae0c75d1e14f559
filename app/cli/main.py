"""The ``backstory`` command. Data goes to stdout, logs to stderr; exit codes are 0, 1 and 2."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
import sqlalchemy as sa
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app import log
from app.accounts import api_keys, organizations, principals
from app.accounts.sessions import Codes
from app.assistants import purging, secrets
from app.audit import signing
from app.audit.resume import NotAnExport
from app.audit.signing import AuditKeyMissing
from app.cli import audit, copy, demo, terminal
from app.cli import context as operating
from app.cli.copy import NotACopy
from app.cli.unread import UnreadProtocol
from app.config import Config, ConfigError, as_variables
from app.main import create_app, spare_the_collector
from app.naming import clean_email, clean_name
from app.services import utc_now
from app.storage.engines import engines
from app.storage.lock_file import DatabaseHeld, FileRefused
from app.storage.postgresql import POSTGRESQL, PoolerRefused
from app.storage.schema import (
    DatabaseLost,
    NewerSchema,
    NewerSettings,
    NotFolded,
    NotMigrated,
    check_folded,
    find_revision,
    migrate,
    prepare,
)
from app.storage.sqlite import SQLite
from app.transactions.caller import system
from app.transactions.clock import ForwardClock
from app.vault.keys import MasterKeyError, open_vault
from events import log_head, log_proofs
from events.changed import Cause
from events.codec import NewerEvent
from events.errors import AssistantNotFound, InvalidSettings
from projections.check import Difference, differences
from projections.rebuild import rebuild as rebuild_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from litestar.types import ASGIApp

# What ends a command and is said in one line.
_REASONS = (
    MasterKeyError,
    AuditKeyMissing,
    DatabaseHeld,
    FileRefused,
    PoolerRefused,
    DatabaseLost,
    NewerSchema,
    NewerSettings,
    NewerEvent,
    NotFolded,
    NotMigrated,
    NotACopy,
    NotAnExport,
)
_SHOWN_DIFFERENCES = 20
_DRAIN_SECONDS = 10
_INTERRUPTED = 130  # as shells count it
_LOOKS_SECONDS = 0.05
_KEYS = "/api/v1/users/me/api-keys"
_HOST = click.option(
    "--host",
    type=operating.TEXT,
    metavar="HOST",
    help="Address to listen on; 127.0.0.1 by default.",
)
_PORT = click.option(
    "--port", type=operating.TEXT, metavar="PORT", help="Port to listen on; 8000 by default."
)
click.rich_click.TEXT_MARKUP = "rich"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="backstory")
def cli() -> None:
    """Backstory: the settings of voice assistants, with every change kept.

    Start with [bold]backstory demo[/]. Configuration comes from BACKSTORY_* variables and flags.
    """


def main() -> None:
    """Run the command, turning what can go wrong into one line and an exit code."""
    with _saying_what_is_wrong(), terminal.outputs():
        code = cli.main(prog_name="backstory", standalone_mode=False)
    sys.exit(code)


@contextmanager
def _saying_what_is_wrong() -> Iterator[None]:
    try:
        yield
    except click.Abort as abort:
        # Either Ctrl-C, or the answer to a question.
        is_interrupted = isinstance(abort.__context__, KeyboardInterrupt)
        operating.fail(*(("interrupted", _INTERRUPTED) if is_interrupted else ("not done", 1)))
    except click.ClickException as error:
        operating.fail(_usage(error), error.exit_code)
    except ConfigError as error:
        operating.fail(str(error), 2)
    except InvalidSettings as refusal:
        wrong = refusal.errors[0]
        operating.fail(f"--{wrong.loc[-1]}: {wrong.msg}", 2)
    except BrokenPipeError:  # the reader has closed it
        sys.exit(1)
    except OSError as error:
        operating.fail(_failure(error), 1)
    except _REASONS as error:
        operating.fail(str(error), 1)
    except AssistantNotFound as error:
        operating.fail(f"there is no assistant {error.assistant_id}", 1)


def _usage(error: click.ClickException) -> str:
    """What is wrong with the arguments, in one line, and where it says how they should be."""
    said = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return said if context is None else f"{said} See '{context.command_path} --help'"


def _failure(error: OSError) -> str:
    """What the system could not do: with which file, and why."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


@cli.command()
@_HOST
@_PORT
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes; 1 by default.")
@operating.DATABASE
def serve(host: str | None, port: str | None, workers: int, database: str | None) -> None:
    """Serve the API; prints its URL once it listens. One process holds an SQLite file at a time."""
    config = operating.configure(host=host, port=port, database_url=database)
    if workers == 1:
        _serve(config, ready=terminal.say)
    elif engines(config.url).is_embedded:
        operating.fail(
            "--workers: an SQLite file is written by one process; for more, use PostgreSQL:"
            f" --database {POSTGRESQL}://USER@HOST/NAME",
            2,
        )
    else:
        _serve_by_several(config, workers)


@cli.command("migrate")
@operating.DATABASE
def bring_up(database: str | None) -> None:
    """Bring a database up to this release's schema and settings.

    A file does so itself when it is served, unless there is much to fold. Safe to run twice, and
    beside servers of the release before.
    """
    config = operating.configure(database_url=database)
    log.configure(config)
    found = engines(config.url)
    with operating.naming_the_database(config), found.hold("backstory migrate", make=True):
        find_revision(config.url)  # refuses what is lost
        with operating.progress("folding", None, "events") as advance:
            migrate(config.url, advance)
    terminal.say(f"{found.name} is up to date")


@cli.command("copy")
@click.option(
    "--from", "source", required=True, type=operating.TEXT, metavar="URL", help="It is only read."
)
@click.option(
    "--to",
    "target",
    required=True,
    type=operating.TEXT,
    metavar="URL",
    help="New, or of an earlier run.",
)
def copy_database(source: str, target: str) -> None:
    """Copy an installation into another database, and prove it; stop what writes either first.

    A run that was interrupted goes on when it is run again. The same master key opens the copy.
    """
    here, there = (operating.configure(database_url=url) for url in (source, target))
    if here.url == there.url or _is_one_file(here, there):
        operating.fail("--from and --to name the same database", 2)
    with operating.reading(here) as reading, operating.naming_the_database(there):
        database = engines(there.url)
        with database.hold("backstory copy", make=True):
            database.check()
            migrate(there.url)
            engine = database.commands()
            count = copy.count_events(reading)
            with operating.progress("copying and proving", count, "events") as advance:
                copied = copy.copy(reading, engine, advance)
            engine.dispose()
    terminal.say(f"{database.name}: {copied} organizations, equal to {engines(here.url).name}")


def _is_one_file(here: Config, there: Config) -> bool:
    places = [engines(one.url) for one in (here, there)]
    paths = [one.path.resolve() for one in places if isinstance(one, SQLite)]
    return len(paths) == len(places) and len(set(paths)) == 1


@cli.command("demo")
@_HOST
@_PORT
def show_demo(host: str | None, port: str | None) -> None:
    """Serve a temporary database with three assistants and their history."""
    with tempfile.TemporaryDirectory(prefix="backstory-demo-") as folder:
        path = Path(folder, "demo.db")
        config = operating.configure(
            host=host, port=port, database_url=f"sqlite+aiosqlite:///{path}"
        )
        log.configure(config)
        token = demo.seed(config)
        codes = Codes(ForwardClock(utc_now, time.monotonic))
        code = codes.issue(token)
        _serve(config, lambda url: terminal.say_lines(demo.introduction(url, token, code)), codes)


@cli.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.option(
    "--organization",
    required=True,
    type=operating.TEXT,
    metavar="NAME",
    help="Made when it is missing.",
)
@click.option("--role", required=True, type=click.Choice([role.name for role in principals.Role]))
@click.option(
    "--name",
    type=operating.TEXT,
    metavar="TEXT",
    help="Names the key and its user; the role by default.",
)
@click.option(
    "--email",
    type=operating.TEXT,
    metavar="ADDRESS",
    help="The user's address, shown in the history.",
)
@click.option("--scope", "scopes", multiple=True, type=click.Choice([principals.REVEAL]))
@operating.DATABASE
def create_key(
    organization: str,
    role: str,
    name: str | None,
    email: str | None,
    scopes: tuple[str, ...],
    database: str | None,
) -> None:
    """Make a key and print it: this is the only time that it is shown."""
    clean_name(organization, ("body", "organization"))  # before there is a new database
    clean_name(name or role)
    clean_email(email)
    config = operating.configure(database_url=database)
    with operating.writing(config, f"POST {_KEYS}", make=True) as unit:
        organization_id = unit.write(
            organizations.ensure_organization, unit.vault, organization, utc_now()
        )
        unit.lock([organization_id])
        user_id = unit.write(organizations.ensure_user, organization_id, name or role, email)
        _, token = api_keys.create(
            unit,
            system(organization_id, "backstory keys create"),
            user_id=user_id,
            name=name or role,
            role=principals.Role[role],
            narrowed=dict.fromkeys(scopes, True),
        )
        unit.flush()
        terminal.hand_over(token)  # or there is no such key: nobody would have it


@keys.command("list")
@operating.DATABASE
def list_keys(database: str | None) -> None:
    """List every key: prefix, role, state, organization, name."""
    with operating.reading(operating.configure(database_url=database)) as connection:
        for organization_id in log_head.organization_ids(connection):
            name = organizations.organization_name(connection, organization_id)
            for key in api_keys.list_keys(connection, organization_id):
                state = "active" if key.is_active else "revoked"
                terminal.say(key.key_prefix, key.role, state, name, key.name)


@keys.command("revoke")
@click.argument("prefix", type=operating.TEXT)
@operating.DATABASE
def revoke_key(prefix: str, database: str | None) -> None:
    """Revoke the key that starts with PREFIX."""
    instead = f"DELETE {_KEYS}/{{key_id}}"
    with operating.writing(operating.configure(database_url=database), instead) as unit:
        found = [
            (organization_id, key)
            for organization_id in unit.read(log_head.organization_ids)
            for key in unit.read(api_keys.list_keys, organization_id)
            if key.is_active and _starts(key.key_prefix, prefix)
        ]
        if len(found) != 1:
            operating.fail(f"{len(found)} active keys start with {prefix}", 1)
        ((organization_id, key),) = found
        who = system(organization_id, "backstory keys revoke")
        api_keys.change(unit, who, key.id, {"is_active": False})
    terminal.say(f"revoked {key.key_prefix}")


@cli.group("vault")
def vault_group() -> None:
    """Look after the keys that seal secrets."""


@vault_group.command("rotate")
@click.option("--data-keys", is_flag=True, help="Seal the stored secrets anew, too.")
@operating.DATABASE
def rotate_keys(database: str | None, *, data_keys: bool) -> None:
    """Wrap every organization's keys under the newest master key.

    Give both keys, the new one first: BACKSTORY_MASTER_KEY="NEW OLD".
    """
    instead = "POST /api/v1/vault/rotate for data keys; stop it first to change the master key"
    config = operating.configure(database_url=database)
    with operating.writing(config, instead, destroys=True) as unit:
        ids = unit.read(log_head.organization_ids)
        for organization_id in ids:
            secrets.rotate(
                unit, system(organization_id, "backstory vault rotate"), data_keys=data_keys
            )
    terminal.say(f"rotated the keys of {len(ids)} organizations")


@vault_group.command("purge")
@click.option(
    "--confirm-clock",
    is_flag=True,
    help="Trust the system clock although it is further ahead than servers have run.",
)
@operating.DATABASE
def purge_secrets(database: str | None, *, confirm_clock: bool) -> None:
    """Destroy the secrets of assistants that were deleted before BACKSTORY_SECRET_GRACE.

    A clock that is further ahead than the servers have seen time pass is not believed.
    """
    config = operating.configure(database_url=database)
    instead = "the server purges by itself; stop it first to confirm the clock"
    with operating.writing(config, instead, destroys=True) as unit:
        ids = unit.read(log_head.organization_ids)
        unit.lock(ids)
        if confirm_clock:
            for one in ids:
                unit.confirm_time(one)
        purged = [purging.purge(one, config.grace, unit) for one in ids]
        now = unit.clock()
    terminal.say(f"{sum(one.count for one in purged)} secrets purged")
    if doubted := sum(one.doubted for one in purged):
        operating.fail(
            f"the secrets of {doubted} deleted assistants were left alone: the clock says"
            f" {now:%Y-%m-%d %H:%M} UTC, further ahead than the servers have seen time pass;"
            " if it is right, add --confirm-clock",
            1,
        )


@cli.command()
@click.option(
    "--organization",
    type=operating.TEXT,
    metavar="NAME",
    help="May be left out where there is only one.",
)
@click.option("--assistant", type=operating.ID, metavar="ID", help="Only this assistant's secrets.")
@click.option("--reason", type=operating.TEXT, metavar="TEXT")
@click.option("--yes", is_flag=True, help="Don't ask.")
@operating.DATABASE
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
    instead = (
        "DELETE /api/v1/vault/secrets"
        if assistant is None
        else f"DELETE /api/v1/assistants/{assistant}/secrets"
    )
    if not yes:
        what = "all secrets" if assistant is None else f"the secrets of assistant {assistant}"
        whose = f" of {organization}" if organization else ""
        question = f"Erase {what}{whose}? The values cannot be brought back."
        terminal.confirm(question)
    config = operating.configure(database_url=database)
    with operating.writing(config, instead, destroys=True) as unit:
        organization_id = unit.read(operating.find_organization, organization)
        caller = system(organization_id, "backstory erase")
        cause = Cause(type="erase")
        if assistant is None:
            count = secrets.erase_organization(unit, caller, reason, cause)
        else:
            count = secrets.erase_assistant(unit, caller, assistant, reason, cause)
            secrets.rotate(unit, caller, data_keys=True)
    terminal.say("1 secret erased" if count == 1 else f"{count} secrets erased")


@cli.command()
@operating.DATABASE
def rebuild(database: str | None) -> None:
    """Drop the views, fold the log again, and say whether the result equals what was there."""
    config = operating.configure(database_url=database)
    with operating.writing(config, None) as unit:
        unit.lock(unit.read(log_head.organization_ids))  # a server may be writing beside
        total = unit.read(operating.count_all)
        with operating.progress("checking", total, "events") as advance:
            found = sum(1 for _ in unit.read(differences, advance))
        with operating.progress("folding", total, "events") as advance:
            unit.write(rebuild_views, advance)
    terminal.say("equal to what was there" if not found else f"{found} differences were repaired")
    if found and not engines(config.url).is_embedded:
        terminal.say("restart the servers: they may remember what was there", err=True)


@cli.command()
@operating.DATABASE
def check(database: str | None) -> None:
    """Compare views and hashes with the log, read-only; exit 1 and a diff where they differ.

    Exit 1 also where bytes of erased secrets are still in the files.
    """
    config = operating.configure(database_url=database)
    with operating.reading(config) as connection:
        check_folded(connection, engines(config.url).name)
        shown = 0
        with operating.progress("checking", operating.count_all(connection), "events") as advance:
            for difference in differences(connection, advance):
                shown += 1
                if shown <= _SHOWN_DIFFERENCES:
                    _show(difference)
        unproven = _unproven(connection)
        is_left = engines(config.url).needs_scrub(connection)
    for place in unproven:
        terminal.say(place)
    if unproven:
        operating.fail("the log is not what was hashed when it was written", 1)
    if shown:
        operating.fail(f"{shown} differences; 'backstory rebuild' repairs them", 1)
    if is_left:
        left = operating.LEFT.format(engines(config.url).name)
        advice = "A running server removes them by itself; without one, run 'backstory vault purge'"
        operating.fail(f"{left} {advice}", 1)
    terminal.say("the views equal the log, and the log its hashes")


def _unproven(connection: sa.Connection) -> list[str]:
    ids = log_head.organization_ids(connection)
    total = sum(log_head.head_of(connection, one).sequence for one in ids)
    with operating.progress("hashing", total, "events") as advance:
        found = {one: log_proofs.first_unproven(connection, one, advance) for one in ids}
    return [f"organization {one}, sequence {at}" for one, at in found.items() if at is not None]


def _show(difference: Difference) -> None:
    place = f"organization {difference.organization_id}, assistant {difference.assistant_id}"
    terminal.say(f"{place}, {difference.column}")
    terminal.say(f"- {_text(difference.stored)}")
    terminal.say(f"+ {_text(difference.folded)}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _starts(key_prefix: str, prefix: str) -> bool:
    """A prefix may be shorter than the stored one, or as long as the whole key."""
    return bool(prefix) and (key_prefix.startswith(prefix) or prefix.startswith(key_prefix))


audit.add_to(cli)


class _Server(uvicorn.Server):
    """Says that it listens once it does."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_the_collector()
        if self._ready is not None and self.started:
            self._ready(_url(self.servers[0].sockets[0]))


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _check(config: Config) -> None:
    """Clear what would stop the start while it can still be said in one line."""
    log.configure(config)
    try:
        _try_address(config.host, config.port)
    except OSError as error:
        operating.fail(f"{config.host}, port {config.port}: {error.strerror}", 1)
    database = engines(config.url)
    with operating.naming_the_database(config), database.hold("backstory serve", make=True):
        prepare(config.url)
        open_vault(config)
        signing.open_signer(config)


def _try_address(host: str, port: int) -> None:
    """Raise ``OSError`` where nobody can listen."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)


def _settings(config: Config, app: ASGIApp | str, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        http=UnreadProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        lifespan="on",
        **more,
    )


def _serve_by_several(config: Config, workers: int) -> None:
    """Serve by several processes, which share a socket and start anew when they die."""
    _check(config)
    os.environ |= as_variables(config)  # each reads its configuration anew
    settings = _settings(config, "app.main:create_configured_app", factory=True, workers=workers)
    listening = settings.bind_socket()
    threading.Thread(target=_say_when_it_listens, args=(listening,), daemon=True).start()
    supervisor = Multiprocess(settings, [listening])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(1)  # one could not start, so all were ended


def _say_when_it_listens(bound: socket.socket) -> None:
    """The first worker makes it listen; before, nobody can connect."""
    while bound.fileno() >= 0:
        with socket.socket(bound.family) as caller:
            if caller.connect_ex(bound.getsockname()) == 0:
                terminal.say(_url(bound))
                return
        time.sleep(_LOOKS_SECONDS)


def _serve(
    config: Config, ready: Callable[[str], None] | None = None, codes: Codes | None = None
) -> None:
    _check(config)
    settings = _settings(config, create_app(config, codes=codes))
    server = _Server(settings, ready)
    # The server drains on these, then raises them again: that must not end us before our own end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit:  # the server has said why, and has exit codes of its own
        sys.exit(1)
    if not server.started:
        sys.exit(1)
