"""The rows of an assistant's page: each setting with who set it, and whether a filter shows it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, convert

from app.api.providers import PROVIDERS
from app.console.fields import Group, groups
from events.pointers import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.accounts.principals import Principal
    from app.console.blame import Blame
    from app.console.field import Field

ONLY = ("differing", "recent", "mine")  # the filters, as addresses name them
_WEEK = timedelta(days=7)
_MODELS = {name: tuple(one["models"]) for name, one in PROVIDERS.items()}
_EVERY_MODEL = tuple(dict.fromkeys(model for models in _MODELS.values() for model in models))
# Those that the settings know: the default one, and those with settings of their own.
LISTENERS = ("deepgram", "elevenlabs", "speechmatics", "soniox")


def suggestions(path: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What the service knows for a field of free text; any other text is accepted, too."""
    match path:
        case "/llm_provider":
            return tuple(PROVIDERS)
        case "/llm_provider_config/model":
            return _MODELS.get(settings.get("llm_provider") or "") or _EVERY_MODEL
        case "/stt_settings/provider":
            return LISTENERS
        case _:
            return ()


class Filter(Struct, frozen=True, kw_only=True):
    """Which settings a page shows: those with a text, and those of which all of ``only`` is so."""

    text: str = ""
    only: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.text or self.only)

    def flags(self, rows: list[Row]) -> list[bool]:
        """Whether it shows each row."""
        return [self.shows(row) for row in rows]

    def shows(self, row: Row) -> bool:
        """Whether it shows a row."""
        field = row.field
        words = f"{field.section} {field.label} {field.description} {field.path} {field.text}"
        return self.text.lower() in words.lower() and all(getattr(row, name) for name in self.only)


class Row(Struct, frozen=True, kw_only=True):
    """A setting on a page; ``change`` set it, None where nobody touched it."""

    field: Field
    change: Any
    differing: bool
    recent: bool
    mine: bool
    suggestions: tuple[str, ...]
    keeps_draft: bool  # whether a browser may keep what is typed: it is never a secret


class Section(Struct, frozen=True, kw_only=True):
    """A group of settings on a page."""

    group: Group
    rows: list[Row]
    is_essential: bool


class Reader(Struct, frozen=True, kw_only=True):
    """Who reads a page, and when."""

    principal: Principal
    now: datetime
    secret_paths: Paths


def sections(settings: Mapping[str, Any], blame: Blame, reader: Reader) -> list[Section]:
    """All settings of an assistant in their groups, the essentials first."""
    return [
        Section(
            group=group,
            rows=[
                _row(field, blame(field.path), reader, suggestions(field.path, settings))
                for field in group.fields
            ],
            is_essential=number == 0,
        )
        for number, group in enumerate(groups(settings))
    ]


def _row(field: Field, change: Any, reader: Reader, suggested: tuple[str, ...]) -> Row:
    # The creation set every setting: only what it did not leave as it is by default counts.
    is_touched = change is not None and (change["version"] > 1 or field.differs)
    return Row(
        field=field,
        change=change if is_touched else None,
        differing=field.differs,
        recent=is_touched and reader.now - convert(change["created_at"], datetime) < _WEEK,
        mine=is_touched and change["actor"]["user_id"] == reader.principal.user_id,
        suggestions=suggested,
        keeps_draft=_keeps_draft(field, reader),
    )


def _keeps_draft(field: Field, reader: Reader) -> bool:
    """Whether no secret is typed into a field: no key, no JSON, and no address with a password."""
    may_hold_secret = field.kind in ("secret", "json") or "url" in field.path
    return not may_hold_secret and not reader.secret_paths.overlap(field.path)
