"""The ``backstory`` command. Data goes to stdout, logs to stderr; exit codes are 0, 1 and 2."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import rich_click as click
import sqlalchemy as sa
import uvicorn
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.exc import SQLAlchemyError

from app import accounts, demo, log, secrets, vault
from app.config import Config, ConfigError, read_config
from app.database import DatabaseHeld, hold, migrate, reading_engine, writing_engine
from app.main import create_app, utc_now
from app.unit import Unit
from app.vault import MasterKeyError
from events import store
from events.changed import Cause
from events.errors import AssistantNotFound
from projections import rebuild as rebuilding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHOWN_DIFFERENCES = 20
_DRAIN_SECONDS = 10
_KEYS = "/api/v1/users/me/api-keys"
_DATABASE = click.option("--database", metavar="URL", help="[dim]BACKSTORY_DATABASE_URL[/]")
_HOST = click.option("--host", metavar="HOST", help="Address to listen on; 127.0.0.1 by default.")
_PORT = click.option("--port", metavar="PORT", help="Port to listen on; 8000 by default.")
click.rich_click.TEXT_MARKUP = "rich"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="backstory")
def cli() -> None:
    """Backstory: the settings of voice assistants, with every change kept.

    Start with [bold]backstory demo[/]. Configuration comes from BACKSTORY_* variables and flags.
    """


def main() -> None:
    """Run the command, turning what can go wrong into one line and an exit code."""
    try:
        cli()
    except ConfigError as error:
        _fail(str(error), 2)
    except MasterKeyError as error:
        _fail(str(error), 1)
    except DatabaseHeld as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(str(error), 1)
    except AssistantNotFound as error:
        _fail(f"there is no assistant {error.assistant_id}", 1)


@cli.command()
@_HOST
@_PORT
@_DATABASE
def serve(host: str | None, port: str | None, database: str | None) -> None:
    """Serve the API; prints its URL once it listens. One process holds an SQLite file at a time."""
    config = _config(host=host, port=port, database_url=database)
    _serve(config, ready=click.echo)


@cli.command("demo")
@_HOST
@_PORT
def show_demo(host: str | None, port: str | None) -> None:
    """Serve a temporary database with three assistants and their history."""
    with tempfile.TemporaryDirectory(prefix="backstory-demo-") as folder:
        path = Path(folder, "demo.db")
        config = _config(host=host, port=port, database_url=f"sqlite+aiosqlite:///{path}")
        log.configure(config)
        token = demo.seed(config)
        _serve(config, ready=lambda url: click.echo(demo.introduction(url, token)))


@cli.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.option("--organization", required=True, metavar="NAME", help="Made when it is missing.")
@click.option("--role", required=True, type=click.Choice([role.name for role in accounts.Role]))
@click.option("--name", metavar="TEXT", help="Names the key and its user; the role by default.")
@click.option("--email", metavar="ADDRESS", help="The user's address, shown in the history.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice([accounts.REVEAL]))
@_DATABASE
def create_key(
    organization: str,
    role: str,
    name: str | None,
    email: str | None,
    scopes: tuple[str, ...],
    database: str | None,
) -> None:
    """Make a key and print it: this is the only time that it is shown."""
    config = _config(database_url=database)
    with _writing(config, f"POST {_KEYS}", make=True) as (connection, safe):
        now = utc_now()
        organization_id = accounts.ensure_organization(connection, safe, organization, now)
        user_id = accounts.ensure_user(connection, organization_id, name or role, email)
        _, token = accounts.add_key(
            connection,
            safe,
            organization_id=organization_id,
            user_id=user_id,
            name=name or role,
            role=accounts.Role[role],
            permissions=dict.fromkeys(scopes, True),
            now=now,
        )
    click.echo(token)


@keys.command("list")
@_DATABASE
def list_keys(database: str | None) -> None:
    """List every key: prefix, role, state, organization, name."""
    with _reading(_config(database_url=database)) as connection:
        for organization_id in store.organization_ids(connection):
            name = accounts.organization_name(connection, organization_id)
            for key in accounts.list_keys(connection, organization_id):
                state = "active" if key.is_active else "revoked"
                click.echo(f"{key.key_prefix}\t{key.role}\t{state}\t{name}\t{key.name}")


@keys.command("revoke")
@click.argument("prefix")
@_DATABASE
def revoke_key(prefix: str, database: str | None) -> None:
    """Revoke the key that starts with PREFIX."""
    instead = f"DELETE {_KEYS}/{{key_id}}"
    with _writing(_config(database_url=database), instead) as (connection, _):
        found = [
            (organization_id, key)
            for organization_id in store.organization_ids(connection)
            for key in accounts.list_keys(connection, organization_id)
            if key.is_active and _starts(key.key_prefix, prefix)
        ]
        if len(found) != 1:
            _fail(f"{len(found)} active keys start with {prefix}", 1)
        ((organization_id, key),) = found
        accounts.change_key(connection, organization_id, key.id, utc_now(), is_active=False)
    click.echo(f"revoked {key.key_prefix}")


@cli.group("vault")
def vault_group() -> None:
    """Look after the keys that seal secrets."""


@vault_group.command("rotate")
@click.option("--data-keys", is_flag=True, help="Seal the stored secrets anew, too.")
@_DATABASE
def rotate_keys(database: str | None, *, data_keys: bool) -> None:
    """Wrap every organization's keys under the newest master key.

    Give both keys, the new one first: BACKSTORY_MASTER_KEY="NEW OLD".
    """
    instead = "POST /api/v1/vault/rotate for data keys; stop it first to change the master key"
    with _unit(_config(database_url=database), instead) as unit:
        ids = store.organization_ids(unit.connection)
        for organization_id in ids:
            secrets.rotate(unit, organization_id, data_keys=data_keys)
    click.echo(f"rotated the keys of {len(ids)} organizations")


@vault_group.command("purge")
@_DATABASE
def purge_secrets(database: str | None) -> None:
    """Destroy the secrets of assistants that were deleted before BACKSTORY_SECRET_GRACE."""
    config = _config(database_url=database)
    with _unit(config, "the server purges by itself") as unit:
        ids = store.organization_ids(unit.connection)
        count = sum(secrets.purge(one, config.grace, unit) for one in ids)
    click.echo(f"{count} secrets purged")


@cli.command()
@click.option("--organization", metavar="NAME", help="May be left out where there is only one.")
@click.option("--assistant", type=int, metavar="ID", help="Only this assistant's secrets.")
@click.option("--reason", metavar="TEXT")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_DATABASE
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
        raise click.UsageError("name an --organization or an --assistant")
    instead = (
        "DELETE /api/v1/vault/secrets"
        if assistant is None
        else f"DELETE /api/v1/assistants/{assistant}/secrets"
    )
    if not yes:
        what = "all secrets" if assistant is None else f"the secrets of assistant {assistant}"
        whose = f" of {organization}" if organization else ""
        question = f"Erase {what}{whose}? The values cannot be brought back."
        click.confirm(question, abort=True, err=True)
    with _unit(_config(database_url=database), instead) as unit:
        organization_id = _organization(unit.connection, organization)
        caller = secrets.system(organization_id, "backstory erase")
        cause = Cause(type="erase")
        if assistant is None:
            count = secrets.erase_organization(unit, caller, reason, cause)
        else:
            count = secrets.erase_assistant(unit, caller, assistant, reason, cause)
            secrets.rotate(unit, organization_id, data_keys=True)
    click.echo(f"{count} secrets erased")


def _organization(connection: sa.Connection, name: str | None) -> int:
    if name is not None:
        found = accounts.find_organization(connection, name)
        return found if found is not None else _fail(f"there is no organization {name}", 1)
    ids = store.organization_ids(connection)
    return ids[0] if len(ids) == 1 else _fail("name the --organization", 1)


@cli.command()
@_DATABASE
def rebuild(database: str | None) -> None:
    """Drop the views, fold the log again, and say whether the result equals what was there."""
    config = _config(database_url=database)
    with _writing(config, None) as (connection, _):
        with _progress(connection, "checking", "events") as advance:
            found = sum(1 for _ in rebuilding.differences(connection, advance))
        with _progress(connection, "folding", "events") as advance:
            rebuilding.rebuild(connection, advance)
    click.echo("equal to what was there" if not found else f"{found} differences were repaired")


@cli.command()
@_DATABASE
def check(database: str | None) -> None:
    """Compare the views with the log, read-only; exit 1 and a diff where they differ."""
    with _reading(_config(database_url=database)) as connection:
        shown = 0
        with _progress(connection, "checking", "events") as advance:
            for difference in rebuilding.differences(connection, advance):
                shown += 1
                if shown <= _SHOWN_DIFFERENCES:
                    _show(difference)
    if shown:
        _fail(f"{shown} differences; 'backstory rebuild' repairs them", 1)
    click.echo("the views equal the log")


def _show(difference: rebuilding.Difference) -> None:
    place = f"organization {difference.organization_id}, assistant {difference.assistant_id}"
    click.echo(f"{place}, {difference.column}")
    click.echo(f"- {_text(difference.stored)}")
    click.echo(f"+ {_text(difference.folded)}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _starts(key_prefix: str, prefix: str) -> bool:
    """A prefix may be shorter than the stored one, or as long as the whole key."""
    return bool(prefix) and (key_prefix.startswith(prefix) or prefix.startswith(key_prefix))


def _config(**flags: str | None) -> Config:
    return read_config(os.environ, **flags)


class _Server(uvicorn.Server):
    """Says that it listens once it does."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def _serve(config: Config, ready: Callable[[str], None] | None = None) -> None:
    log.configure(config)
    # Clear what would stop the start while it can still be said in one line.
    with _named(config), hold(config.database_path, "backstory serve"):
        migrate(config.database_path)
        vault.open_vault(config)
    settings = uvicorn.Config(
        create_app(config),
        host=config.host,
        port=config.port,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        lifespan="on",
    )
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


@contextmanager
def _writing(
    config: Config, instead: str | None, *, make: bool = False
) -> Iterator[tuple[sa.Connection, vault.Vault]]:
    """One transaction of an operator's command, which must hold the file.

    ``instead`` is the route that does the same while a server holds it; ``make`` allows a
    database that is not there yet: elsewhere its name is a mistake.
    """
    log.configure(config)
    path = config.database_path
    if not (make or path.exists()):
        _fail(f"there is no database {path}", 1)
    try:
        with _named(config), hold(path, " ".join(["backstory", *sys.argv[1:3]])):
            migrate(path)
            safe = vault.open_vault(config)
            engine = writing_engine(path)
            with engine.begin() as connection:
                yield connection, safe
            engine.dispose()  # the last connection's end empties the log of writes
    except DatabaseHeld as error:
        _fail(f"{error}; {f'ask it: {instead}' if instead else 'stop it first'}", 1)


@contextmanager
def _unit(config: Config, instead: str) -> Iterator[Unit]:
    """As ``_writing``, for what decides and records."""
    with _writing(config, instead) as (connection, safe):
        unit = Unit(connection, safe, utc_now)
        yield unit
        unit.flush()


@contextmanager
def _reading(config: Config) -> Iterator[sa.Connection]:
    log.configure(config)
    path = config.database_path
    if not path.exists():
        _fail(f"there is no database {path}", 1)
    engine = reading_engine(path)
    with _named(config), engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def _named(config: Config) -> Iterator[None]:
    """Say which file it was that the database refused."""
    try:
        yield
    except SQLAlchemyError as error:
        _fail(f"{config.database_path}: {str(error).splitlines()[0]}", 1)


@contextmanager
def _progress(connection: sa.Connection, doing: str, what: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere a plain line every two seconds and one at the end."""
    ids = store.organization_ids(connection)
    total = sum(store.count_events(connection, organization_id) for organization_id in ids)
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console) as bar:
            task = bar.add_task(doing, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done = 0
    said = datetime.now(UTC)

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if datetime.now(UTC) - said > timedelta(seconds=2):
            said = datetime.now(UTC)
            console.print(f"{doing}: {done} of {total} {what}", highlight=False)

    yield advance
    console.print(f"{doing}: {done} of {total} {what}", highlight=False)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"backstory: {message}", err=True)
    sys.exit(code)
