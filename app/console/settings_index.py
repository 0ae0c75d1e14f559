"""Settings by what people call them: a label, a group, a path, or a part of one. Pure."""

from __future__ import annotations

from app.console import texts
from app.console.fields import all_fields
from app.console.formatting import place
from events.pointers import ancestors, is_pointer

_FIELDS = tuple(field.path for field in all_fields({}))
PLACES = {
    path: place(path) for field in _FIELDS for path in (*reversed(ancestors(field)), field) if path
}
"""Every setting and every group of settings: its path, and the labels that lead there."""


def paths_of(text: str) -> tuple[str, ...]:
    """The paths that a text means; none where no setting is called so.

    A path means itself, with or without its slash. A label means every setting that has it, and
    other words every setting whose labels or path hold them.
    """
    text = text.strip()
    if text.startswith("/"):
        return (text,) if is_pointer(text) else ()
    words = text.casefold()
    path = "/" + words.replace(".", "/")
    if path in PLACES:
        return (path,)
    below = texts.Values.below.casefold()
    exact = [
        path
        for path, called in PLACES.items()
        if words in (called.casefold(), called.casefold().rpartition(below)[2])
    ]
    return tuple(exact or _holding(words))


def _holding(words: str) -> list[str]:
    return [
        path
        for path in _FIELDS
        if words in PLACES[path].casefold() or words in path or words.replace(" ", "_") in path
    ]
