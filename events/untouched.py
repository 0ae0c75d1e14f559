"""What came back as it was shown: it means what is stored, whatever today's rules make of it.

A client may send back all that it read. What stands there as it was shown is no change: it is not
trimmed, converted, sealed, refused or removed again. Only the rest of a body asks for anything.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, json

from events.credentials import is_mask
from events.merging import Replace
from events.pointers import Tree, is_reference, same
from events.secrets import Kept, mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.errors import FieldError, Location


def untouched(patch: Any, sent: Any, stored: Any, erased_version: int = 0) -> Any:
    """A patch that was read of ``sent``, without what came back as ``stored`` is shown.

    Members that merge are left out of it; in a value that takes the place of another, what is
    stored takes their place. A list's element is one value: it came back whole, or it is new.
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
    """The errors of a body, except those about what came back as it was shown."""
    return (one for one in errors if not _came_back(one.loc[1:], sent, stored, erased_version))


def shows(stored: Any, sent: Any, erased_version: int = 0) -> bool:
    """Whether what was sent is what is shown of a stored value."""
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
    """A value that takes the place of a stored one, with what came back of that as it is there."""
    if shows(stored, sent, erased_version):
        return stored
    if isinstance(value, dict) and isinstance(sent, dict):
        return _members(value, sent, stored if _is_object(stored) else {}, erased_version)
    if isinstance(value, list) and isinstance(sent, list) and len(value) == len(sent):
        return _elements(value, sent, stored if isinstance(stored, list) else [], erased_version)
    if isinstance(value, Kept) and value.sent is None and isinstance(stored, str):
        return stored if is_mask(stored) else value  # a mask for what only looks like one
    return value


def _members(value: Tree, sent: Tree, stored: Tree, erased_version: int) -> Tree:
    return {
        name: _put_back(value.get(name, UNSET), one, stored.get(name, UNSET), erased_version)
        for name, one in sent.items()
        if name in value or (name in stored and shows(stored[name], one, erased_version))
    }


def _elements(
    values: list[Any], sent: list[Any], stored: list[Any], erased_version: int
) -> list[Any]:
    """Each element that came back is the stored one at its position, else another like it."""
    stayed = {
        i
        for i, (old, new) in enumerate(zip(stored, sent, strict=False))
        if shows(old, new, erased_version)
    }
    if len(stayed) == len(values):
        return [stored[i] for i in range(len(values))]
    moved: dict[bytes, deque[Any]] = {}
    for i, old in enumerate(stored):
        if i not in stayed:
            moved.setdefault(_key(mask(old, erased_version)), deque()).append(old)
    return [
        stored[i]
        if i in stayed
        else found.popleft()
        if (found := moved.get(_key(sent[i])))
        else value
        for i, value in enumerate(values)
    ]


def _key(value: Any) -> bytes:
    """Bytes that are the same for what ``same`` holds to be the same."""
    return json.encode(value, enc_hook=str, order="sorted")


def _came_back(place: Location, sent: Any, stored: Any, erased_version: int) -> bool:
    """Whether the value at a place, or one that holds it, came back as it was shown."""
    for token in place:
        if isinstance(sent, dict) and token in sent:
            sent = sent[token]
            stored = stored.get(token, UNSET) if _is_object(stored) else UNSET
        elif isinstance(sent, list) and isinstance(token, int) and token < len(sent):
            sent = sent[token]
            olds = stored if isinstance(stored, list) else []
            if any(shows(old, sent, erased_version) for old in olds):
                return True
            stored = UNSET
        else:
            return False
        if shows(stored, sent, erased_version):
            return True
    return False
