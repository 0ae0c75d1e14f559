"""The paths of a policy that decide about secrets: ``secret_paths`` and ``plain_paths``.

They are JSON Pointers, in which ``*`` stands for any member or element; each covers all below it.
They decide about a patch before it is sealed, and so about values that are set from now on. What is
sealed stays sealed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from events import shape
from events.merging import Replace
from events.pointers import Path, is_reference, split
from events.secrets.masks import is_mask
from events.secrets.values import Kept, Plain, read_text

if TYPE_CHECKING:
    from events.pointers import Tree
    from events.policy import Policy

ANY: Final = "*"
_MAX_CACHED = 4000  # characters of all paths of a policy; longer ones must not fill the memory
_NEVER_SECRET = frozenset(("bypass_numbers", "name"))  # lists and searches use these


class Paths(Struct, frozen=True):
    """The rests of some patterns at a place; an empty rest covers all that is there."""

    patterns: tuple[Path, ...] = ()

    @property
    def cover(self) -> bool:
        """Whether one of them covers this place."""
        return () in self.patterns

    def below(self, name: str) -> Paths:
        """Their rests at a member or an element of this place."""
        if not self.patterns or self.cover:
            return self
        return Paths(tuple(rest[1:] for rest in self.patterns if rest[0] in (ANY, name)))


def _paths(pointers: tuple[str, ...]) -> Paths:
    is_short = sum(map(len, pointers)) <= _MAX_CACHED
    return _cached_paths(pointers) if is_short else _split(pointers)


def _split(pointers: tuple[str, ...]) -> Paths:
    return Paths(tuple(map(split, pointers)))


_cached_paths = lru_cache(64)(_split)


def under_policy(patch: Tree, policy: Policy) -> Tree:
    """The patch, with texts made secret or plain as the policy says of their places.

    A setting that is secret by definition stays secret, and so does a value with the form of a
    credential. A place under both kinds of paths is secret.
    """
    if not policy.secret_paths and not policy.plain_paths:
        return patch
    secret, plain = _paths(tuple(policy.secret_paths)), _paths(tuple(policy.plain_paths))
    changed: Tree = _ruled(patch, secret, plain, ())
    return changed


def _ruled(value: Any, secret: Paths, plain: Paths, at: Path) -> Any:
    if not secret.patterns and not plain.patterns:
        return value
    if isinstance(value, Replace):
        return Replace(_ruled(value.value, secret, plain, at))
    if isinstance(value, dict) and not is_reference(value):
        return {
            name: _ruled(member, secret.below(name), plain.below(name), (*at, name))
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [
            _ruled(element, secret.below(str(i)), plain.below(str(i)), (*at, str(i)))
            for i, element in enumerate(value)
        ]
    if secret.cover:
        return _sealed(value, at)
    if plain.cover and isinstance(value, Plain) and value.sent is not None:
        by_form = read_text(value.sent) if isinstance(value.sent, str) else None
        return by_form or value.sent
    return value


def _sealed(value: Any, at: Path) -> Any:
    if not isinstance(value, str) or not value or not can_be_secret(at):
        return value
    return Kept(sent=value) if is_mask(value) else Plain(value, sent=value)


def can_be_secret(at: Path) -> bool:
    """Whether a value at a place can be secret: its type must be text, so that a mask fits."""
    if at and at[0] in _NEVER_SECRET:
        return False
    kind = shape.find(at)
    return kind is None or (isinstance(kind, shape.Scalar) and shape.takes_text(kind))


def fault_of_secret(pattern: Path) -> str | None:
    """The type of error of a path among ``secret_paths``; None if it is valid."""
    shapes = shape.matching(pattern)
    if not shapes:
        return "no_such_path"
    if pattern[0] in _NEVER_SECRET:
        return "never_secret"
    return None if any(map(_may_hold_secret, shapes)) else "cannot_be_secret"


def fault_of_plain(pattern: Path) -> str | None:
    """The type of error of a path among ``plain_paths``; None if it is valid."""
    shapes = shape.matching(pattern)
    if not shapes:
        return "no_such_path"
    return "secret_by_definition" if all(map(_is_secret, shapes)) else None


def _is_secret(kind: shape.Shape | None) -> bool:
    """Whether every value of a shape is a secret by definition."""
    match kind:
        case shape.Scalar(secret=secret):
            return secret
        case shape.Listing(item=inner) | shape.Mapping(value=inner):
            return _is_secret(inner)
        case shape.Record(members=members, open=False):
            return all(_is_secret(member.shape) for member in members.values())
        case _:
            return False


def _may_hold_secret(kind: shape.Shape | None) -> bool:
    return not isinstance(kind, shape.Scalar) or shape.takes_text(kind)
