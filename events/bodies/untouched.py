"""Values that came back as they were shown: they mean what is stored, and change nothing.

A client may send back everything that it read. A value that it left as it was shown is not trimmed,
converted, sealed, refused or removed, whatever today's rules are. Only the rest of a body counts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, json

from events.merging import Replace
from events.pointers import Tree, is_reference, same
from events.secrets.masks import is_mask
from events.secrets.references import mask
from events.secrets.values import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.errors import FieldError, Location


def untouched(patch: Any, sent: Any, stored: Any, erased_version: int = 0) -> Any:
    """The patch that was read from ``sent``, without the values that came back as shown.

    They are those that ``sent`` holds as ``stored`` is shown. Members that merge are left out. In a
    value that replaces another, they become the stored values. An element of a list is one value:
    it came back whole, or it is new.
    """
    if isinstance(patch, Replace):
        return Replace(_put_back(patch.value, sent, stored, erased_version))
    if not (isinstance(patch, dict) and isinstance(sent, dict) and _is_object(stored)):
        return _put_back(patch, sent, stored, erased_version)
    return {
        name: untouched(value, sent[name], stored.get(name, UNSET), erased_version)
        if name in sent
        else value
        for name, value in patch.items()
        if not (name in sent and name in stored and shows(stored[name], sent[name], erased_version))
    }


def broken_by(
    errors: Iterable[FieldError], sent: Any, stored: Any, erased_version: int = 0
) -> Iterator[FieldError]:
    """The errors of a body, without those about values that came back as they were shown."""
    came_back = _CameBack(sent, stored, erased_version)
    return (error for error in errors if not came_back.at(error.loc[1:]))


def shows(stored: Any, sent: Any, erased_version: int = 0) -> bool:
    """Whether ``sent`` is what is shown of the ``stored`` value."""
    if is_reference(stored):
        return isinstance(sent, str) and sent == mask(stored, erased_version)
    if isinstance(stored, dict):
        return (
            isinstance(sent, dict)
            and stored.keys() == sent.keys()
            and all(shows(value, sent[name], erased_version) for name, value in stored.items())
        )
    if isinstance(stored, list):
        return (
            isinstance(sent, list)
            and len(stored) == len(sent)
            and all(shows(*pair, erased_version) for pair in zip(stored, sent, strict=True))
        )
    return same(stored, sent)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_reference(value)


def _put_back(value: Any, sent: Any, stored: Any, erased_version: int) -> Any:
    """A value that replaces a stored one, with the stored parts that came back as shown."""
    if shows(stored, sent, erased_version):
        return stored
    if isinstance(value, dict) and isinstance(sent, dict):
        return _members(value, sent, stored if _is_object(stored) else {}, erased_version)
    if isinstance(value, list) and isinstance(sent, list) and len(value) == len(sent):
        return _elements(value, sent, stored if isinstance(stored, list) else [], erased_version)
    if isinstance(value, Kept) and value.sent is None and isinstance(stored, str):
        return stored if is_mask(stored) else value  # the stored text only looks like a mask
    return value


def _members(value: Tree, sent: Tree, stored: Tree, erased_version: int) -> Tree:
    return {
        name: _put_back(value.get(name, UNSET), member, stored.get(name, UNSET), erased_version)
        for name, member in sent.items()
        if name in value or (name in stored and shows(stored[name], member, erased_version))
    }


def _elements(
    values: list[Any], sent: list[Any], stored: list[Any], erased_version: int
) -> list[Any]:
    olds = _came_back(sent, stored, erased_version)
    return [value if old is UNSET else old for value, old in zip(values, olds, strict=True)]


def _came_back(sent: list[Any], stored: list[Any], erased_version: int) -> list[Any]:
    """For each element the stored one that came back; UNSET for a new element.

    It is the one at the same position, or else an equal one. Each stored element comes back once.
    """
    stayed = {
        i
        for i, (old, new) in enumerate(zip(stored, sent, strict=False))
        if shows(old, new, erased_version)
    }
    moved: dict[bytes, deque[Any]] = {}
    for i, old in enumerate(stored):
        if i not in stayed:
            moved.setdefault(_key(mask(old, erased_version)), deque()).append(old)

    def stored_element(i: int, new: Any) -> Any:
        if i in stayed:
            return stored[i]
        equal = moved.get(_key(new)) if moved else None
        return equal.popleft() if equal else UNSET

    return [stored_element(i, new) for i, new in enumerate(sent)]


def _key(value: Any) -> bytes:
    """Bytes that are equal for values that are the ``same``."""
    return json.encode(value, enc_hook=str, order="sorted")


class _CameBack:
    """Tells which places of a body came back as they were shown.

    Each place is compared once, however many errors are about it: a body may have an error for each
    of its values, and the stored list may be as long.
    """

    def __init__(self, sent: Any, stored: Any, erased_version: int) -> None:
        self._sent = sent
        self._stored = stored
        self._erased_version = erased_version
        self._members: dict[Location, bool] = {}
        self._elements: dict[Location, list[Any]] = {}

    def at(self, place: Location) -> bool:
        """Whether the value at a place, or a value around it, came back."""
        sent, stored = self._sent, self._stored
        for i, token in enumerate(place):
            if isinstance(sent, dict) and token in sent and _is_object(stored):
                sent, stored = sent[token], stored.get(token, UNSET)
                if self._is_shown(place[: i + 1], sent, stored):
                    return True
            elif isinstance(sent, list) and isinstance(token, int) and isinstance(stored, list):
                olds = self._stored_elements(place[:i], sent, stored)
                return token < len(olds) and olds[token] is not UNSET
            else:
                return False
        return False

    def _is_shown(self, place: Location, sent: Any, stored: Any) -> bool:
        if place not in self._members:
            self._members[place] = shows(stored, sent, self._erased_version)
        return self._members[place]

    def _stored_elements(self, place: Location, sent: list[Any], stored: list[Any]) -> list[Any]:
        if place not in self._elements:
            self._elements[place] = _came_back(sent, stored, self._erased_version)
        return self._elements[place]
