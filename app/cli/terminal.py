"""What commands print. No text can start a new line or move the cursor.

Data goes to stdout, all else to stderr.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import rich_click as click
from rich.console import Console

from app.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REPORT_EVERY = timedelta(seconds=2)


def say(*fields: object, err: bool = False) -> None:
    """Print one line. A tab separates the fields; none of them contains one."""
    click.echo("\t".join(map(printable, fields)), err=err)


def hand_over(text: str) -> None:
    """Print what is shown only once; raises ``OSError`` if it cannot have been received."""
    if sys.stdout is None:
        raise OSError("stdout is closed")
    say(text)


def say_lines(text: str) -> None:
    """Print a text of our own, with its line breaks."""
    for line in text.split("\n"):
        say(line)


def confirm(question: str) -> None:
    """Ask, and end the command unless the answer is yes."""
    click.confirm(printable(question), abort=True, err=True)


def fail(message: str, code: int) -> NoReturn:
    """Print an error in one line, and exit with a code."""
    say(f"backstory: {message}", err=True)
    sys.exit(code)


@contextmanager
def progress(doing: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; elsewhere a line every two seconds and one at the end.

    Yields a function that takes how many more are done. ``total`` is None where it is unknown.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import Progress  # noqa: PLC0415  # few commands draw a bar

        with Progress(console=console) as bar:
            task = bar.add_task(doing, total=total)
            yield lambda count: bar.advance(task, count)
        return
    of_total = "" if total is None else f" of {total}"
    done = 0
    reported_at = datetime.now(UTC)

    def advance(count: int) -> None:
        nonlocal done, reported_at
        done += count
        if datetime.now(UTC) - reported_at > _REPORT_EVERY:
            reported_at = datetime.now(UTC)
            say(f"{doing}: {done}{of_total} {unit}", err=True)

    yield advance
    say(f"{doing}: {done}{of_total} {unit}", err=True)


@contextmanager
def outputs() -> Iterator[None]:
    """See that what a command prints is written, or that the command fails.

    Characters that the encoding lacks are printed as their numbers. Python flushes once more at
    its very end, where an error could not be reported in one line.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        _flush()
    finally:
        try:
            _flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush() -> None:
    if sys.stdout is not None:  # the parent process may have closed it
        sys.stdout.flush()
