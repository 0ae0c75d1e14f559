"""The rules of a policy for single settings: their paths in words, and what each covers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.console.fields import all_fields
from app.console.formatting import place
from app.console.texts import Policy
from events.pointers import ancestors, split
from events.secret_paths import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.console.field import Field
    from events.pointers import Path

_FIELDS = {field.path: field for field in all_fields({})}
_HOLDERS = ("json", "lines")  # the kinds of settings that hold members or elements
_SHOWN = 6  # settings that are named; the others are counted


def _choices() -> Iterator[tuple[str, str]]:
    for path in _FIELDS:
        for above in reversed(ancestors(path)):
            if above:
                yield Policy.all_of.format(setting=place(above)), above
        yield place(path), path


PATHS: dict[str, str] = dict(_choices())
"""The path of each setting, and of all settings below one, by its words in a list."""


class Rule(Struct, frozen=True, kw_only=True):
    """A path of a policy: its words, and the labels of the settings that it covers."""

    path: str
    words: str
    covers: list[str]

    @property
    def shown(self) -> list[str]:
        """The first settings that it covers, where there are several."""
        return self.covers[:_SHOWN] if len(self.covers) > 1 else []


def rule(path: str) -> Rule:
    """A path as a rule."""
    found = [_FIELDS[field].label for field in covered(path)]
    words = _WORDS.get(path) or place(path)
    return Rule(path=path, words=words, covers=found)


_WORDS = {path: words for words, path in PATHS.items()}


def covered(path: str) -> list[str]:
    """The settings that a path is, contains or is part of; ``*`` is any member or element."""
    tokens = split(path)
    return [field.path for field in _FIELDS.values() if _covers(tokens, field)]


def _covers(rule_steps: Path, field: Field) -> bool:
    steps = split(field.path)
    if len(rule_steps) > len(steps) and field.kind not in _HOLDERS:
        return False
    return all(wanted in (ANY, step) for wanted, step in zip(rule_steps, steps, strict=False))


def paths_of(kept: Iterable[str], added: Iterable[str]) -> list[str]:
    """The paths that stay, then those of added lines: a setting's words, or a path; each once."""
    lines = [line for text in added for line in text.split("\n") if line.strip()]
    return list(
        dict.fromkeys([*filter(None, kept), *(PATHS.get(line.strip(), line) for line in lines)])
    )
