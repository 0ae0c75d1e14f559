"""Masks that are sent back: each keeps the secret that it is shown for.

Where a kept secret may be sent is another question: ``events.secrets.moved`` answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from events.errors import FieldError, InvalidSettings
from events.pointers import MARK, Place, Tree, is_reference
from events.secrets.counterparts import counterparts
from events.secrets.references import URL, same_parts
from events.secrets.values import KEPT, Kept, Plain, url_members

# By the id of a new secret, the ids of stored ones that are known to have the same value.
EqualSecrets = Mapping[str, frozenset[str]]
_NONE: EqualSecrets = {}


def resolve_masks(value: Any, current: Any, at: Place = (), equal: EqualSecrets = _NONE) -> Any:
    """The value with the stored secret in place of each mask; ``current`` is the stored value.

    A new secret that is ``equal`` to the stored one becomes that, so that nothing changes. A mask
    for a secret that is not stored is UNSET; inside a list, it raises ``InvalidSettings``.
    """
    if isinstance(value, Kept):
        return _kept(value, current, at)
    if is_reference(value):
        return _unless_equal(value, current, equal)
    if isinstance(value, dict):
        return _resolve_members(value, current, at, equal)
    if isinstance(value, list) and _holds_secret(value):
        return _resolve_elements(value, current, at, equal)
    return value


def _resolve_members(value: Tree, current: Any, at: Place, equal: EqualSecrets) -> Any:
    olds = current if isinstance(current, dict) and not is_reference(current) else {}
    resolved = {
        name: resolve_masks(member, olds.get(name), (*at, name), equal)
        for name, member in value.items()
    }
    members = {name: member for name, member in resolved.items() if member is not UNSET}
    return UNSET if value and not members and current is None else members


def _resolve_elements(
    elements: list[Any], current: Any, at: Place, equal: EqualSecrets
) -> list[Any]:
    olds = counterparts(elements, current if isinstance(current, list) else [], at)
    pairs = list(enumerate(zip(elements, olds, strict=True)))
    for position, (element, old) in pairs:
        _check_element(element, old, (*at, position))
    return [
        resolve_masks(element, old, (*at, position), equal) for position, (element, old) in pairs
    ]


def _kept(kept: Kept, current: Any, at: Place) -> Any:
    """The secret that a mask keeps, or what is left of the text if no secret is stored."""
    if kept.url is None:
        text = UNSET if kept.sent is None else kept.sent
        return current if is_reference(current) else text
    if not is_reference(current) or URL not in current:
        if kept.mixed:
            raise _unmatched(at, "The mask was sent for a credential that is not stored; send it")
        return kept.url
    edited = {MARK: current[MARK]} | url_members(kept)
    if kept.mixed and kept.url != current[URL]:
        message = "Send all credentials of a URL, or leave all of them masked"
        raise _unmatched(at, message)
    if not same_parts(edited, current):
        raise _unmatched(at, "The URL has other credentials than the stored one; send them all")
    return edited


def _unless_equal(new: Tree, current: Any, equal: EqualSecrets) -> Tree:
    """The new reference, or the stored one if both stand for the same value."""
    if not equal or not is_reference(current):
        return new
    if current[MARK]["id"] not in equal.get(new[MARK]["id"], ()):
        return new
    return new | {MARK: current[MARK]}


def _check_element(value: Any, current: Any, at: Place) -> None:
    """Refuse a mask in an element that has no secret to keep: an element is one value."""
    if value == KEPT and not is_reference(current):
        raise _unmatched(at, "The mask was sent for a secret that is not stored; send its value")
    if isinstance(value, dict):
        olds = current if isinstance(current, dict) else {}
        for name, member in value.items():
            _check_element(member, olds.get(name), (*at, name))


def _unmatched(at: Place, message: str) -> InvalidSettings:
    error = FieldError(loc=("body", *at), msg=message, type="secret_mask_unmatched")
    return InvalidSettings((error,))


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return is_reference(value) or any(map(_holds_secret, value.values()))
    if isinstance(value, list):
        return any(map(_holds_secret, value))
    return isinstance(value, Kept | Plain)
