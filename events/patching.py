"""What a patch makes of a stored value: one walk over both.

It merges objects member by member (RFC 7396, but UNSET removes, so that null stays a value), puts
stored secrets in place of the masks that came back, and adds what a body cannot say: defaults, and
members that only another release knows. What the patch does not name stays the same object.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from events.merging import Replace
from events.pointers import Place, Tree, is_object, is_reference
from events.secrets.counterparts import counterparts
from events.secrets.merge import (
    NO_EQUALS,
    EqualSecrets,
    check_element,
    holds_new_secret,
    kept,
    unless_equal,
)
from events.secrets.values import Kept
from events.shape import Record, Shape, holds_records, inside, known


def patched(
    patch: Any,
    current: Any,
    shape: Shape | None = None,
    at: Place = (),
    equal: EqualSecrets = NO_EQUALS,
) -> Any:
    """The value after a patch of the ``current`` one; UNSET where nothing is left of it.

    ``shape`` is that of the value, None for a free-form one, and ``at`` is its place. A new secret
    that is ``equal`` to the stored one becomes that, so that nothing changes. Raises
    ``InvalidSettings`` for a mask in a list that stands for no secret.
    """
    return _Walk(equal).value(patch, current, shape, at)


class _Walk(Struct, frozen=True):
    equal: EqualSecrets

    def value(
        self, patch: Any, current: Any, shape: Shape | None, at: Place, *, whole: bool = False
    ) -> Any:
        """``whole`` says that the patch takes the place of the current value."""
        if isinstance(patch, Replace):
            return self.value(patch.value, current, shape, at, whole=True)
        if isinstance(patch, Kept):
            return kept(patch, current, at)
        if isinstance(patch, list):
            return self._elements(patch, current, shape, at)
        if not isinstance(patch, dict):
            return patch
        if is_reference(patch):
            return unless_equal(patch, current, self.equal)
        return self._members(patch, current, shape, at, whole=whole)

    def _members(
        self, patch: Tree, current: Any, shape: Shape | None, at: Place, *, whole: bool
    ) -> Any:
        olds = current if is_object(current) else {}
        members = dict(patch) if whole else olds | patch  # in the order of the result
        for name in [name for name in members if name in patch]:
            old, inner = olds.get(name), inside(shape, name)
            members[name] = self.value(patch[name], old, inner, (*at, name), whole=whole)
            if members[name] is UNSET:
                del members[name]
        if current is None and not members and any(whole or m is not UNSET for m in patch.values()):
            return UNSET  # nothing but masks, and nothing that they could stand for
        return _completed(members, olds, shape) if isinstance(shape, Record) else members

    def _elements(self, patch: list[Any], current: Any, shape: Shape | None, at: Place) -> Any:
        """An element is one value: it takes the place of the one that it continues."""
        inner = inside(shape, "*")
        has_secrets = holds_new_secret(patch)
        if not has_secrets and not holds_records(inner):
            return patch
        olds: list[Any] = [None] * len(patch)
        if has_secrets or known(current, shape) is not current:
            olds = counterparts(patch, current if isinstance(current, list) else [], at)
        places = [
            ((*at, i), new, old) for i, (new, old) in enumerate(zip(patch, olds, strict=True))
        ]
        for place, new, old in places:
            check_element(new, old, place)
        return [self.value(new, old, inner, place, whole=True) for place, new, old in places]


def _completed(members: Tree, olds: Tree, shape: Record) -> Tree:
    """The members of a typed object, in its order, then those that it does not have."""
    typed = {name: members.get(name, member.default) for name, member in shape.members.items()}
    others = {} if shape.open else unknown(olds, shape)
    return typed | unknown(members, shape) | others


def unknown(members: Tree, shape: Record) -> Tree:
    """The members that this release does not know: a change keeps each as it is.

    While two releases serve one database, the older one meets settings of the newer one. It
    neither shows them (``shape.known``) nor takes them from a body.
    """
    return {name: member for name, member in members.items() if name not in shape.members}
