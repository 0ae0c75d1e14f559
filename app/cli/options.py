"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import rich_click as click

from app.config import as_unicode
from app.storage.tables import MAX_ID


class _Text(click.ParamType[str]):
    """A text in UTF-8: databases, responses and files hold nothing else."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was given, whatever the locale."""
        text = as_unicode(value)
        return self.fail("It is not UTF-8.", param, ctx) if text is None else text


TEXT = _Text()
ID = click.IntRange(1, MAX_ID)
DATABASE = click.option(
    "--database", type=TEXT, metavar="URL", help="[dim]BACKSTORY_DATABASE_URL[/]"
)
ORGANIZATION = click.option(
    "--organization",
    type=TEXT,
    metavar="NAME",
    help="May be left out where there is only one.",
)
