"""Differences as a reader wants them: texts with a little context, JSON by its members.

Pure; templates call this module ``differ``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.console import texts
from events.pointers import same
from projections import words
from projections.words import Hunk

CONTEXT = 160  # characters around an edit of a text
BRIEF = 48  # the same in a list of changes
_SLACK = 40  # characters that are not worth a fold
_MOST = 200  # details of one value; beyond them it is shown as a whole
_LONGEST = 2000  # elements of a list that is compared element by element
_WORDS_FROM = 40  # characters of a text inside a JSON value that is compared by words
_IDENTITIES = ("id", "name", "key")  # members that say which object of a list one is

Op = Literal["changed", "added", "removed", "moved"]


class Part(Struct, frozen=True, kw_only=True):
    """A run of a text; ``op`` is that of a hunk, or "folded" for what is far from any edit."""

    op: str
    text: str


class Detail(Struct, frozen=True, kw_only=True):
    """One difference inside a JSON value, and where: names, numbers of elements."""

    op: Op
    place: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET
    words: list[Hunk] | None = None


def folded(hunks: list[Any], context: int = CONTEXT) -> list[Part]:
    """The hunks of a text, with what is farther than ``context`` from an edit folded away."""
    last = len(hunks) - 1
    return [
        part
        for at, (op, text) in enumerate(map(_op_and_text, hunks))
        for part in (
            _fold(text, context * (at > 0), context * (at < last))
            if op == "equal"
            else (Part(op=op, text=text),)
        )
    ]


def _op_and_text(hunk: Any) -> tuple[str, str]:
    return (hunk["op"], hunk["text"]) if isinstance(hunk, dict) else (hunk.op, hunk.text)


def _fold(text: str, head: int, tail: int) -> Iterator[Part]:
    """An unchanged text: its head and its tail, and between them what is folded."""
    start = text.rfind(" ", 0, head) + 1 if head else 0
    end = text.find(" ", len(text) - tail) if tail else len(text)
    end = len(text) - tail if end < 0 else end
    if end - start <= _SLACK:
        yield Part(op="equal", text=text)
        return
    for op, run in (("equal", text[:start]), ("folded", text[start:end]), ("equal", text[end:])):
        if run:
            yield Part(op=op, text=run)


def add_words(changes: list[dict[str, Any]]) -> None:
    """Add to each change of a long text its difference word by word; slow for long prompts."""
    for change in changes:
        hunks = words.between(change.get("before"), change.get("after"))
        if hunks is not None:
            change["words"] = hunks


def details(before: Any, after: Any) -> list[Detail]:
    """What differs between two lists or two objects; none where they are better shown whole."""
    if not _is_nested(before, after):
        return []
    found = list(islice(_details(before, after, ()), _MOST + 1))
    return found if len(found) <= _MOST else []


def _is_nested(before: Any, after: Any) -> bool:
    return bool(before and after) and any(
        isinstance(before, kind) and isinstance(after, kind) for kind in (dict, list)
    )


def _details(before: Any, after: Any, at: tuple[str, ...]) -> Iterator[Detail]:
    match before, after:
        case dict(), dict():
            yield from _of_objects(before, after, at)
        case list(), list() if len(before) + len(after) <= _LONGEST:
            yield from _of_lists(before, after, at)
        case _ if not same(before, after):
            yield _detail("changed", at, before, after)


def _of_objects(before: Any, after: Any, at: tuple[str, ...]) -> Iterator[Detail]:
    for name in before | after:
        here = (*at, name)
        if name not in after:
            yield _detail("removed", here, before[name], UNSET)
        elif name not in before:
            yield _detail("added", here, UNSET, after[name])
        else:
            yield from _details(before[name], after[name], here)


def _of_lists(before: list[Any], after: list[Any], at: tuple[str, ...]) -> Iterator[Detail]:
    origins = _origins(before, after)
    for old in sorted(set(range(len(before))) - {one for one in origins if one is not None}):
        yield _detail("removed", (*at, _element(before[old], old)), before[old], UNSET)
    in_place = _in_order([one for one in origins if one is not None])
    for new, (origin, value) in enumerate(zip(origins, after, strict=True)):
        here = (*at, _element(value, new))
        if origin is None:
            yield _detail("added", here, UNSET, value)
            continue
        if origin not in in_place:
            called = here if here[-1] else (*at, str(value))
            yield _detail("moved", called, origin + 1, new + 1)
        yield from _details(before[origin], value, here)


def _detail(op: Op, at: tuple[str, ...], before: Any, after: Any) -> Detail:
    by_words = None
    if isinstance(before, str) and isinstance(after, str):
        is_long = max(len(before), len(after)) >= _WORDS_FROM
        by_words = words.hunks(before, after) if is_long else None
    place = texts.Values.below.join(filter(None, at))
    return Detail(op=op, place=place, before=before, after=after, words=by_words)


def _element(value: Any, at: int) -> str:
    """How an element of a list is called: by its name, else by its number; '' if it says itself."""
    if not isinstance(value, dict | list):
        return ""
    name = _identity(value)
    return str(name) if name is not None else texts.Diff.item.format(number=at + 1)


def _identity(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")  # a tool has its name there
    found = (value.get(name) for name in _IDENTITIES)
    own = next((one for one in found if isinstance(one, str | int)), None)
    return _identity(inner) if own is None and isinstance(inner, dict) else own


def _origins(before: list[Any], after: list[Any]) -> list[int | None]:
    """For each new element the old one that it is: an equal one, else one of the same name.

    Where as many are left on both sides, and no more than that is known, they pair in order.
    """
    origins: list[int | None] = [None] * len(after)
    free = dict.fromkeys(range(len(before)))
    for key_of in (_canonical, _identity):
        _match(before, after, origins, free, key_of)
    left = [new for new, origin in enumerate(origins) if origin is None]
    if len(left) == len(free):
        for new, old in zip(left, list(free), strict=True):
            if _identity(after[new]) is None and _identity(before[old]) is None:
                origins[new] = old
    return origins


def _match(
    before: list[Any],
    after: list[Any],
    origins: list[int | None],
    free: dict[int, None],
    key_of: Any,
) -> None:
    olds: dict[Any, list[int]] = {}
    for old in free:
        olds.setdefault(key_of(before[old]), []).append(old)
    for new, origin in enumerate(origins):
        key = key_of(after[new]) if origin is None else None
        if key is not None and olds.get(key):
            old = origins[new] = olds[key].pop(0)
            del free[old]


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _in_order(numbers: list[int]) -> set[int]:
    """The longest run of numbers that only grow: what stays while others move around it."""
    ends: list[int] = []
    lengths = []
    for number in numbers:
        at = bisect_left(ends, number)
        ends[at : at + 1] = [number]
        lengths.append(at)
    found, length = set(), len(ends) - 1
    for number, at in zip(reversed(numbers), reversed(lengths), strict=True):
        if at == length:
            found.add(number)
            length -= 1
    return found
