"""What an organization's policy says of secrets: ``secret_paths`` and ``plain_paths``.

Both are JSON Pointers, in which ``*`` stands for any member or element; each covers all below it.
They are held against a patch before it is sealed, so they say what becomes of values that are set
from then on. What is sealed stays sealed.
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
_NEVER_SECRET = frozenset(("bypass_numbers", "name"))  # lists and searches go by these


class Paths(Struct, frozen=True):
    """What is left of some patterns below a place: an empty one covers all that stands there."""

    patterns: tuple[Path, ...] = ()

    @property
    def cover(self) -> bool:
        """Whether one of them covers this place."""
        return () in self.patterns

    def below(self, name: str) -> Paths:
        """What is left of them at a member or an element."""
        if not self.patterns or self.cover:
            return self
        return Paths(tuple(one[1:] for one in self.patterns if one[0] in (ANY, name)))


@lru_cache(256)
def _paths(pointers: tuple[str, ...]) -> Paths:
    return Paths(tuple(map(split, pointers)))


def under_policy(patch: Tree, policy: Policy) -> Tree:
    """The patch with values sealed, or left readable, as the policy says of their places.

    A place that is a secret by definition stays one, and so does a value that is a credential by
    its form. Where both kinds of paths cover a place, it is secret.
    """
    if not policy.secret_paths and not policy.plain_paths:
        return patch
    secret, plain = _paths(tuple(policy.secret_paths)), _paths(tuple(policy.plain_paths))
    ruled: Tree = _ruled(patch, secret, plain, ())
    return ruled


def _ruled(value: Any, secret: Paths, plain: Paths, at: Path) -> Any:
    if not secret.patterns and not plain.patterns:
        return value
    if isinstance(value, Replace):
        return Replace(_ruled(value.value, secret, plain, at))
    if isinstance(value, dict) and not is_reference(value):
        return {
            name: _ruled(one, secret.below(name), plain.below(name), (*at, name))
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [
            _ruled(one, secret.below(str(i)), plain.below(str(i)), (*at, str(i)))
            for i, one in enumerate(value)
        ]
    if secret.cover:
        return _sealed(value, at)
    if plain.cover and isinstance(value, Plain) and value.sent is not None:
        found = read_text(value.sent) if isinstance(value.sent, str) else None
        return found or value.sent
    return value


def _sealed(value: Any, at: Path) -> Any:
    if not isinstance(value, str) or not value or not can_be_secret(at):
        return value
    return Kept(sent=value) if is_mask(value) else Plain(value, sent=value)


def can_be_secret(at: Path) -> bool:
    """Whether a value at a place can be sealed: readers must be able to take its mask."""
    if at and at[0] in _NEVER_SECRET:
        return False
    kind = shape.find(at)
    return kind is None or (isinstance(kind, shape.Scalar) and shape.takes_text(kind))


def fault_of_secret(pattern: Path) -> str | None:
    """What is wrong with a path of ``secret_paths``, as a type of error; None for nothing."""
    found = shape.matching(pattern)
    if not found:
        return "no_such_path"
    if pattern[0] in _NEVER_SECRET:
        return "never_secret"
    return None if any(map(_may_hold_secret, found)) else "cannot_be_secret"


def fault_of_plain(pattern: Path) -> str | None:
    """What is wrong with a path of ``plain_paths``, as a type of error; None for nothing."""
    found = shape.matching(pattern)
    if not found:
        return "no_such_path"
    return "secret_by_definition" if all(map(_is_secret, found)) else None


def _is_secret(kind: shape.Shape | None) -> bool:
    """Whether all that can stand at a place, or below it, is a secret by definition."""
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
