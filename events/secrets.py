"""Secrets as the events see them: references only, never values.

A secret that a client sends is a ``Plain`` from the moment its body is read. The vault
seals it: a reference ``{"$secret": {"id", "fingerprint"}}`` takes its place. Equal values
have equal fingerprints, so "unchanged" and "rotated" can be told without the value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from events.errors import FieldError, InvalidSettings
from events.shape import natural_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from events.pointers import Tree

MASK = "********"
MARK = "$secret"

_CREDENTIAL_WORDS = frozenset(
    [
        "key",
        "keys",
        "apikey",
        "apikeys",
        "token",
        "secret",
        "secrets",
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "authorization",
        "credential",
        "credentials",
        "private",
        "cookie",
        "cookies",
    ]
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ONLY_MASK = re.compile(r"[*.]+")
_NATURAL_KEYS = natural_keys()

Path = tuple[str, ...]


class Plain(msgspec.Struct, frozen=True, eq=False):
    """A secret's value on its way to the vault. It prints and encodes as nothing."""

    value: str | int | float

    def __repr__(self) -> str:
        return "Plain(********)"


class Kept:
    """The mask, sent back: leave the secret as it is."""

    def __repr__(self) -> str:
        return "KEPT"


KEPT: Final = Kept()


def speaks_of_credential(name: str) -> bool:
    """Whether a free-form member's name says that its value is a credential.

    Whole words only, in snake, kebab or camel case: ``apiKey`` does, ``keyterms`` does not.
    """
    return any(word.lower() in _CREDENTIAL_WORDS for word in _WORDS.findall(name))


def is_mask(text: str) -> bool:
    """Whether a value is only what some server showed in place of a secret."""
    return _ONLY_MASK.fullmatch(text) is not None


def is_reference(value: Any) -> bool:
    """Whether a stored value stands for a sealed secret."""
    return isinstance(value, dict) and MARK in value


def mask(value: Any) -> Any:
    """The value as anybody may see it."""
    if isinstance(value, dict):
        if MARK in value:
            return MASK
        return {name: mask(member) for name, member in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


def references(value: Any) -> Iterator[Tree]:
    """Every ``{"id", "fingerprint"}`` inside a value."""
    if isinstance(value, dict):
        if MARK in value:
            yield value[MARK]
        else:
            for member in value.values():
                yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def settle(value: Any, current: Any, at: Path = ()) -> Any:
    """The value with each KEPT filled from what is stored, and equal secrets left as stored.

    Raises ``InvalidSettings`` where a mask was sent for a list's element that has no secret;
    elsewhere a mask for nothing is nothing: UNSET, or None for a typed member.
    """
    if isinstance(value, Kept):
        return current if is_reference(current) else UNSET
    if is_reference(value):
        return current if _equal_secrets(value, current) else value
    if isinstance(value, dict):
        olds = current if isinstance(current, dict) and not is_reference(current) else {}
        settled = {
            name: settle(member, olds.get(name), (*at, name)) for name, member in value.items()
        }
        return {name: member for name, member in settled.items() if member is not UNSET}
    if isinstance(value, list):
        olds_of = counterparts(value, current if isinstance(current, list) else [], at)
        return [
            _settle_element(element, old, (*at, str(position)))
            for position, (element, old) in enumerate(zip(value, olds_of, strict=True))
        ]
    return value


def _settle_element(element: Any, old: Any, at: Path) -> Any:
    for place in _kept_without_secret(element, old, at):
        loc = ("body", *(int(token) if token.isdigit() else token for token in place))
        message = (
            "The mask was sent for a secret that is not stored; send the value or leave it out"
        )
        raise InvalidSettings((FieldError(loc=loc, msg=message, type="secret_mask_unmatched"),))
    return settle(element, old, at)


def _kept_without_secret(value: Any, current: Any, at: Path) -> Iterator[Path]:
    if isinstance(value, Kept) and not is_reference(current):
        yield at
    elif isinstance(value, dict):
        olds = current if isinstance(current, dict) else {}
        for name, member in value.items():
            yield from _kept_without_secret(member, olds.get(name), (*at, name))


def _equal_secrets(one: Tree, other: Any) -> bool:
    return is_reference(other) and one[MARK]["fingerprint"] == other[MARK]["fingerprint"]


def counterparts(news: list[Any], olds: list[Any], at: Path) -> list[Any]:
    """For each new element the old one that it continues: by natural key, else by position."""
    key = _NATURAL_KEYS.get(at, ())
    if not key:
        return [olds[i] if i < len(olds) else None for i in range(len(news))]
    unclaimed = list(enumerate(olds))
    found: list[Any] = [None] * len(news)
    for position, new in enumerate(news):
        for index, (_, old) in enumerate(unclaimed):
            if _key_of(old, key) == _key_of(new, key):
                found[position] = unclaimed.pop(index)[1]
                break
    # An element whose key was edited in place is still the one at its position.
    left = dict(unclaimed)
    return [old if old is not None else left.pop(i, None) for i, old in enumerate(found)]


def _key_of(element: Any, key: tuple[str, ...]) -> Any:
    return [element.get(name) for name in key] if isinstance(element, dict) else element


def with_secrets_of(target: Any, current: Any, at: Path = ()) -> Any:
    """``target`` as it is but for its secrets, which become those of ``current``.

    A place that holds a secret in either has afterwards what ``current`` has there: UNSET
    where it has nothing. Elements that only ``current`` has are gone, with their secrets.
    """
    if is_reference(target) or is_reference(current):
        return UNSET if current is None else current
    if isinstance(target, list):
        olds_of = counterparts(target, current if isinstance(current, list) else [], at)
        return [with_secrets_of(one, old, at) for one, old in zip(target, olds_of, strict=True)]
    if isinstance(current, dict) and target is None:
        return _only_secrets(current) or None
    if not isinstance(target, dict):
        return target
    olds = current if isinstance(current, dict) else {}
    names = [*target, *(name for name in _only_secrets(olds) if name not in target)]
    members = {n: with_secrets_of(target.get(n), olds.get(n), (*at, n)) for n in names}
    return {name: member for name, member in members.items() if member is not UNSET}


def _only_secrets(tree: Tree) -> Tree:
    found = {}
    for name, member in tree.items():
        if is_reference(member):
            found[name] = member
        elif isinstance(member, dict) and (inner := _only_secrets(member)):
            found[name] = inner
    return found
