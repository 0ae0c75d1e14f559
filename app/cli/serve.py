"""The commands that serve: ``serve``, and ``demo`` with a temporary database."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import rich_click as click

from app import log
from app.accounts.sessions import Codes
from app.cli import context, demo, server, terminal
from app.cli.options import DATABASE, TEXT
from app.services import utc_now
from app.storage.engines import engines
from app.storage.postgresql import POSTGRESQL
from app.transactions.clock import ForwardClock

_HOST = click.option(
    "--host", type=TEXT, metavar="HOST", help="Address to listen on; 127.0.0.1 by default."
)
_PORT = click.option(
    "--port", type=TEXT, metavar="PORT", help="Port to listen on; 8000 by default."
)


@click.command()
@_HOST
@_PORT
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes; 1 by default.")
@DATABASE
def serve(host: str | None, port: str | None, workers: int, database: str | None) -> None:
    """Serve the API; prints its URL once it listens. One process holds an SQLite file at a time."""
    config = context.configure(host=host, port=port, database_url=database)
    if workers == 1:
        server.run(config, ready=terminal.say)
    elif engines(config.url).is_embedded:
        terminal.fail(
            "--workers: an SQLite file is written by one process; for more, use PostgreSQL:"
            f" --database {POSTGRESQL}://USER@HOST/NAME",
            2,
        )
    else:
        server.run_workers(config, workers)


@click.command("demo")
@_HOST
@_PORT
def show_demo(host: str | None, port: str | None) -> None:
    """Serve a temporary database with three assistants and their history."""
    with tempfile.TemporaryDirectory(prefix="backstory-demo-") as folder:
        path = Path(folder, "demo.db")
        config = context.configure(host=host, port=port, database_url=f"sqlite+aiosqlite:///{path}")
        log.configure(config)
        token = demo.seed(config)
        codes = Codes(ForwardClock(utc_now, time.monotonic))
        code = codes.issue(token)

        def introduce(url: str) -> None:
            terminal.say_lines(demo.introduction(url, token, code))

        server.run(config, introduce, codes)
