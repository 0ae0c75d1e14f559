"""What commands print: text from elsewhere can neither start a line nor move the cursor."""

from __future__ import annotations

import rich_click as click


def printable(text: object) -> str:
    """A text with every character escaped that is not seen: ends of lines, tabs, controls."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in written
    )


def say(*fields: object, err: bool = False) -> None:
    """Print one line; a tab divides the fields, and is in none of them."""
    click.echo("\t".join(map(printable, fields)), err=err)


def say_lines(text: str) -> None:
    """Print the lines of a text of our own, whose line ends are meant."""
    for line in text.split("\n"):
        say(line)


def confirm(question: str) -> None:
    """Ask, and end the command unless the answer is yes."""
    click.confirm(printable(question), abort=True, err=True)
