"""What commands print: text from elsewhere can neither start a line nor move the cursor."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click

from app.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(*fields: object, err: bool = False) -> None:
    """Print one line; a tab divides the fields, and is in none of them."""
    click.echo("\t".join(map(printable, fields)), err=err)


def hand_over(text: str) -> None:
    """Print what is shown this one time; raises ``OSError`` where nobody can have got it."""
    if sys.stdout is None:
        raise OSError("stdout is closed")
    say(text)


def say_lines(text: str) -> None:
    """Print the lines of a text of our own, whose line ends are meant."""
    for line in text.split("\n"):
        say(line)


def confirm(question: str) -> None:
    """Ask, and end the command unless the answer is yes."""
    click.confirm(printable(question), abort=True, err=True)


@contextmanager
def outputs() -> Iterator[None]:
    """What a command prints gets out, or it fails; characters that an encoding lacks are numbers.

    Python flushes once more at the very end, where nobody could say in one line what went wrong.
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
    if sys.stdout is not None:  # closed by who started us
        sys.stdout.flush()
