"""RFC 6901 paths over JSON trees: flatten, diff, apply.

A tree is a ``dict`` of JSON values. Objects are descended into; a list is one value, and so is
the reference that stands for a secret. Everything here is pure: trees are never changed in place.
"""

from __future__ import annotations

import re
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
# RFC 6901 as a pattern: the first also takes the pointer to the whole, the second does not. Both
# say the same to Python, whose ``$`` alone lets a line break pass, and to every other reader.
POINTER = "^(?![^/])(?:/(?:[^~/]|~[01])*)*$"
POINTER_BELOW = "^(?:/(?:[^~/]|~[01])*)+$"
RULE = "Input should be a JSON Pointer, such as /llm_settings/top_p"


_POINTER = re.compile(POINTER)


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one path held before and holds after; a side without a value is UNSET, not null."""

    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


Changes = dict[str, Change]


def is_reference(value: Any) -> bool:
    """Whether a stored value stands for a sealed secret."""
    return isinstance(value, dict) and MARK in value


def is_pointer(text: str) -> bool:
    """Whether a text is a JSON Pointer: any other would be a filter that finds nothing."""
    return _POINTER.search(text) is not None


def join(tokens: tuple[str, ...]) -> str:
    """('a/b', 'c') -> '/a~1b/c'."""
    text = "/".join(("", *tokens))
    if "~" not in text and text.count("/") == len(tokens):  # as nearly all are
        return text
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def split(pointer: str) -> tuple[str, ...]:
    """'/a~1b/c' -> ('a/b', 'c'); the inverse of ``join``."""
    tokens = tuple(pointer.split("/")[1:])
    if "~" not in pointer:  # as nearly all are
        return tokens
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def covers(prefix: str, path: str) -> bool:
    """Whether ``path`` is ``prefix`` itself or lies below it."""
    return path == prefix or path.startswith(prefix + "/") or prefix == ""


def overlaps(one: str, other: str) -> bool:
    """Whether setting one of the paths can change what the other holds."""
    return covers(one, other) or covers(other, one)


class Paths:
    """A set of paths that tells fast whether another one overlaps any of them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._above = frozenset(above for path in self._paths for above in ancestors(path))

    def overlap(self, path: str) -> bool:
        """Whether the path is, covers or lies below one of these."""
        if path in self._paths or path in self._above:
            return True
        return any(above in self._paths for above in ancestors(path))


def ancestors(path: str) -> Iterator[str]:
    """The paths that cover a path, from the nearest to the whole."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: what was not changed, or what nobody need change.

    Python holds 1 == 1.0 == True, and 0.0 == -0.0; on the wire these are different values. Members
    have no order, elements have one. Texts are compared as they are: nothing is normalized.
    """
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other) or one != other:
        return False
    return one != 0 or type(one) is not float or copysign(1, one) == copysign(1, other)


def alike(one: Any, other: Any) -> bool:
    """As ``same``, but numbers are compared by their value alone, so that 1 is 1.0.

    It is for what a client compares with: RFC 6902 says so of ``test``, and JavaScript can send
    no 1.0. What is stored is compared by ``same``.
    """
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(alike(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(alike, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def at(tree: Any, path: str) -> Any:
    """What a tree holds at a path; UNSET where it holds nothing. Lists have no inside."""
    for name in split(path):
        if not _is_object(tree) or name not in tree:
            return UNSET
        tree = tree[name]
    return tree


def put(tree: Tree, path: str, value: Any) -> Tree:
    """The tree with the path set to a value, or without it where that is UNSET."""
    if value is UNSET and at(tree, path) is UNSET:
        return tree  # and what stands where an object on the way would stays
    return _with_values(tree, iter(((path, value),)))


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Each leaf by its path; an empty object is a leaf."""
    return dict(_leaves(tree, ()))


def _leaves(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and not is_reference(value):
        for name, member in value.items():
            yield from _leaves(member, (*at, name))
    else:
        yield join(at), value


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """The fewest paths whose change turns ``before`` into ``after``; none lies below another."""
    return dict(_differences(before, after, ()))


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], at: tuple[str, ...]
) -> Iterator[tuple[str, Change]]:
    for name, old in before.items():
        new = after.get(name, UNSET)
        path = (*at, name)
        if _is_object(old) and _is_object(new):
            yield from _differences(old, new, path)
        elif not same(old, new):
            yield join(path), Change(before=old, after=new)
    for name, new in after.items():
        if name not in before:
            yield join((*at, name)), Change(after=new)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_reference(value)


def apply(changes: Mapping[str, Change], tree: Tree) -> Tree:
    """The tree with every path set to its ``after``; objects on the way are made as needed."""
    return _with_values(tree, ((path, change.after) for path, change in changes.items()))


def unapply(changes: Mapping[str, Change], tree: Tree) -> Tree:
    """The tree with every path set back to its ``before``."""
    return _with_values(tree, ((path, change.before) for path, change in changes.items()))


def _with_values(tree: Tree, values: Iterator[tuple[str, Any]]) -> Tree:
    root = dict(tree)
    copied: dict[tuple[str, ...], Tree] = {(): root}
    for path, value in values:
        *parents, name = split(path)
        holder = _copied_parent(copied, tuple(parents))
        if value is UNSET:
            holder.pop(name, None)
        else:
            holder[name] = value
    return root


def _copied_parent(copied: dict[tuple[str, ...], Tree], at: tuple[str, ...]) -> Tree:
    """The object at a path, copied once from the old tree, so that the old one stays as it was."""
    if at in copied:
        return copied[at]
    holder = _copied_parent(copied, at[:-1])
    old: Any = holder.get(at[-1])
    copied[at] = holder[at[-1]] = dict(old) if _is_object(old) else {}
    return copied[at]
