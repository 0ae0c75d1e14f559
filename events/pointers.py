"""JSON Pointers (RFC 6901) over trees of JSON values: flatten, diff, apply.

A tree is a ``dict`` of JSON values. Objects are descended into; a list is one value, and so is
the reference that stands for a secret. Trees are never changed in place.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import copysign
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Tree = dict[str, Any]
Path = tuple[str, ...]  # the tokens of a JSON Pointer
Place = tuple[str | int, ...]  # a path whose list positions are integers
MARK = "$secret"
# RFC 6901 as patterns: the first takes the empty pointer to the whole document, the second does
# not. Both mean the same to Python, whose ``$`` alone also matches before a line break, and to
# every other reader of regular expressions.
POINTER = "^(?![^/])(?:/(?:[^~/]|~[01])*)*$"
POINTER_BELOW = "^(?:/(?:[^~/]|~[01])*)+$"
RULE = "Input should be a JSON Pointer, such as /llm_settings/top_p"


_POINTER = re.compile(POINTER)
# The paths of settings come again and again. Long names that clients choose must not fill the
# memory.
_MOST_CACHED = 2048
_MAX_CACHED = 100  # characters: a path of so many levels has ancestors of 5 KB


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values of one path before and after a change; UNSET, not null, where there is none."""

    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


Changes = dict[str, Change]


def is_reference(value: Any) -> bool:
    """Whether a stored value is a reference to a sealed secret."""
    return isinstance(value, dict) and MARK in value


def is_object(value: Any) -> bool:
    """Whether a stored value is an object with members, not a reference."""
    return isinstance(value, dict) and not is_reference(value)


def is_pointer(text: str) -> bool:
    """Whether a text is a JSON Pointer."""
    return _POINTER.search(text) is not None


def join(tokens: tuple[str, ...]) -> str:
    """('a/b', 'c') -> '/a~1b/c'."""
    text = "/".join(("", *tokens))
    if "~" not in text and text.count("/") == len(tokens):  # as nearly all are
        return text
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def split(pointer: str) -> tuple[str, ...]:
    """'/a~1b/c' -> ('a/b', 'c'); the inverse of ``join``."""
    return _cached_tokens(pointer) if len(pointer) <= _MAX_CACHED else _tokens(pointer)


def _tokens(pointer: str) -> tuple[str, ...]:
    tokens = tuple(pointer.split("/")[1:])
    if "~" not in pointer:  # as nearly all are
        return tokens
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


_cached_tokens = lru_cache(_MOST_CACHED)(_tokens)


def covers(prefix: str, path: str) -> bool:
    """Whether ``path`` is ``prefix`` itself or lies below it."""
    return path == prefix or path.startswith(prefix + "/") or prefix == ""


def overlaps(first: str, second: str) -> bool:
    """Whether setting one of the paths can change the value of the other."""
    return covers(first, second) or covers(second, first)


class Paths:
    """A set of paths, with a fast answer to whether a path overlaps any of them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._above = frozenset(above for path in self._paths for above in ancestors(path))

    def overlap(self, path: str) -> bool:
        """Whether the path is one of these, or lies above or below one."""
        if path in self._paths or path in self._above:
            return True
        return any(above in self._paths for above in ancestors(path))


def ancestors(path: str) -> tuple[str, ...]:
    """The paths above a path, from its parent to the whole document."""
    return _cached_ancestors(path) if len(path) <= _MAX_CACHED else _ancestors(path)


def _ancestors(path: str) -> tuple[str, ...]:
    above = []
    while path:
        path = path.rpartition("/")[0]
        above.append(path)
    return tuple(above)


_cached_ancestors = lru_cache(_MOST_CACHED)(_ancestors)


def same(first: Any, second: Any) -> bool:
    """Whether two JSON values are the same, so that setting one for the other changes nothing.

    1, 1.0 and true are different values, and so are 0.0 and -0.0, though Python holds them equal.
    Members have no order, elements have one. Texts are not normalized.
    """
    if first is second:
        return True
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(same(value, second[name]) for name, value in first.items())
        )
    if isinstance(first, list):
        return (
            isinstance(second, list) and len(first) == len(second) and all(map(same, first, second))
        )
    if type(first) is not type(second) or first != second:
        return False
    return first != 0 or type(first) is not float or copysign(1, first) == copysign(1, second)


def alike(first: Any, second: Any) -> bool:
    """As ``same``, but numbers are compared by value alone: 1 is 1.0.

    It compares stored values with those that a client expects: RFC 6902 demands it for ``test``,
    and JavaScript cannot send 1.0.
    """
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(alike(value, second[name]) for name, value in first.items())
        )
    if isinstance(first, list):
        return (
            isinstance(second, list)
            and len(first) == len(second)
            and all(map(alike, first, second))
        )
    return isinstance(first, bool) is isinstance(second, bool) and bool(first == second)


def at(tree: Any, path: str) -> Any:
    """The value of a tree at a path; UNSET if there is none. No path leads into a list."""
    for name in split(path):
        if not isinstance(tree, dict) or name not in tree or MARK in tree:
            return UNSET
        tree = tree[name]
    return tree


def put(tree: Tree, path: str, value: Any) -> Tree:
    """The tree with the path set to a value; UNSET removes the path."""
    if value is UNSET and at(tree, path) is UNSET:
        return tree  # without making objects on the way
    return _with_values(tree, [(path, value)])


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a tree by their paths; an empty object is a leaf."""
    return dict(_leaves(tree, ()))


def _leaves(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and not is_reference(value):
        for name, member in value.items():
            yield from _leaves(member, (*at, name))
    else:
        yield join(at), value


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """The fewest changes that turn ``before`` into ``after``; no path lies below another."""
    return dict(_differences(before, after, ()))


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], at: tuple[str, ...]
) -> Iterator[tuple[str, Change]]:
    for name, old in before.items():
        new = after.get(name, UNSET)
        if new is old:
            continue
        path = (*at, name)
        if is_object(old) and is_object(new):
            yield from _differences(old, new, path)
        elif not same(old, new):
            yield join(path), Change(before=old, after=new)
    for name, new in after.items():
        if name not in before:
            yield join((*at, name)), Change(after=new)


def apply(changes: Mapping[str, Change], tree: Tree) -> Tree:
    """The tree with every path set to its ``after``; missing objects on the way are made."""
    return _with_values(tree, ((path, change.after) for path, change in changes.items()))


def unapply(changes: Mapping[str, Change], tree: Tree) -> Tree:
    """The tree with every path set back to its ``before``."""
    return _with_values(tree, ((path, change.before) for path, change in changes.items()))


def _with_values(tree: Tree, values: Iterable[tuple[str, Any]]) -> Tree:
    draft = Draft(tree)
    for path, value in values:
        draft.put(path, value)
    return draft.tree


class Draft:
    """A tree that is changed in place, while the tree that it began with stays as it is.

    Only copies are changed. A value that is put in belongs to others, as the first tree does: an
    object in it is copied before its first change. A new root must belong to nobody else.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = dict(tree)
        # The copies that may be changed, by ``id``. An object that is kept here also keeps its id.
        self._copies: dict[int, Tree] = {id(self.tree): self.tree}

    def put(self, path: str, value: Any) -> bool:
        """Set the path to a value; UNSET removes it. Returns whether its parent was there.

        Missing objects on the way are made.
        """
        tokens = split(path)
        holder, was_there = self.tree, True
        for name in tokens[:-1]:
            held: Any = holder.get(name)
            if id(held) not in self._copies:
                was_there = was_there and isinstance(held, dict)
                held = holder[name] = dict(held) if is_object(held) else {}
                self._copies[id(held)] = held
            holder = held
        if value is UNSET:
            holder.pop(tokens[-1], None)
        else:
            holder[tokens[-1]] = value
        return was_there
