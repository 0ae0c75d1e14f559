"""Stored settings held against today's rules, which may be stricter than those of their time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from events import shape
from events.bodies.settings_reader import SettingsReader
from events.bodies.validation import MOST_ERRORS
from events.errors import FieldError, Location
from events.pointers import Paths, Tree, join

if TYPE_CHECKING:
    from collections.abc import Iterable


class NotAccepted(Struct, frozen=True, kw_only=True):
    """A stored value that breaks one of today's rules, and the nearest value that breaks none.

    ``nearest`` is UNSET where no value is near.
    """

    path: str
    error: FieldError
    nearest: Any | UnsetType = UNSET


def not_accepted(settings: Tree, changed: Iterable[str]) -> tuple[NotAccepted, ...]:
    """The values of stored settings that break a rule, at or around the ``changed`` paths."""
    reader = SettingsReader(stored=True)
    reader.check_stored(settings)
    changed_paths = Paths(changed)
    errors = ((join(tuple(map(str, error.loc[1:]))), error) for error in reader.findings.errors)
    broken = ((path, error) for path, error in errors if changed_paths.overlap(path))
    return tuple(
        NotAccepted(path=path, error=error, nearest=_nearest(settings, error.loc[1:]))
        for path, error in islice(broken, MOST_ERRORS)
    )


def _nearest(settings: Tree, place: Location) -> Any:
    value: Any = settings
    for token in place:
        value = value[token]
    return shape.nearest(shape.find(place), value)
