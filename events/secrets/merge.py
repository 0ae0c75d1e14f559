"""Masks that are sent back: each keeps the secret that it is shown for.

Where a kept secret may be sent is another question: ``events.secrets.moved`` answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from events.errors import FieldError, InvalidSettings
from events.pointers import MARK, Place, Tree, is_reference
from events.secrets.references import URL, same_parts
from events.secrets.values import Kept, Plain, url_members

# By the id of a new secret, the ids of stored ones that are known to have the same value.
EqualSecrets = Mapping[str, frozenset[str]]
NO_EQUALS: EqualSecrets = {}


def kept(sent: Kept, current: Any, at: Place) -> Any:
    """The secret that a mask keeps, or what is left of the text if no secret is stored."""
    if sent.url is None:
        if is_reference(current):
            return current
        if sent.sent is None and any(isinstance(token, int) for token in at):  # in one value
            message = "The mask was sent for a secret that is not stored; send its value"
            raise _unmatched(at, message)
        return UNSET if sent.sent is None else sent.sent
    if not is_reference(current) or URL not in current:
        if sent.mixed:
            raise _unmatched(at, "The mask was sent for a credential that is not stored; send it")
        return sent.url
    edited = {MARK: current[MARK]} | url_members(sent)
    if sent.mixed and sent.url != current[URL]:
        message = "Send all credentials of a URL, or leave all of them masked"
        raise _unmatched(at, message)
    if not same_parts(edited, current):
        raise _unmatched(at, "The URL has other credentials than the stored one; send them all")
    return edited


def unless_equal(new: Tree, current: Any, equal: EqualSecrets) -> Tree:
    """The new reference, or the stored one if both stand for the same value."""
    if not equal or not is_reference(current):
        return new
    if current[MARK]["id"] not in equal.get(new[MARK]["id"], ()):
        return new
    return new | {MARK: current[MARK]}


def _unmatched(at: Place, message: str) -> InvalidSettings:
    error = FieldError(loc=("body", *at), msg=message, type="secret_mask_unmatched")
    return InvalidSettings((error,))


def holds_new_secret(value: Any) -> bool:
    """Whether a value of a patch holds a secret or a mask."""
    if isinstance(value, dict):
        return is_reference(value) or any(map(holds_new_secret, value.values()))
    if isinstance(value, list):
        return any(map(holds_new_secret, value))
    return isinstance(value, Kept | Plain)
