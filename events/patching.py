"""What a patch makes of a stored value: one walk over both.

It merges objects member by member (RFC 7396, but UNSET removes, so that null stays a value), puts
stored secrets in place of the masks that came back, and adds what a body cannot say: defaults, and
members that only another release knows. What the patch does not name stays the same object.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from events.merging import Replace
from events.pointers import Place, Tree, is_object, is_reference
from events.secrets.counterparts import counterparts
from events.secrets.merge import NO_EQUALS, EqualSecrets, holds_new_secret, kept, unless_equal
from events.secrets.references import LEAVES
from events.secrets.values import Kept
from events.shape import Record, Shape, holds_records, inside, known


def patched(
    patch: Any,
    current: Any,
    shape: Shape | None = None,
    at: Place = (),
    *,
    equal: EqualSecrets = NO_EQUALS,
    whole: bool = False,
) -> Any:
    """The value after a patch of the ``current`` one; UNSET where nothing is left of it.

    ``shape`` is that of the value, None for a free-form one, and ``at`` is its place. A new secret
    that is ``equal`` to the stored one becomes that, so that nothing changes. If ``whole``, the
    patch takes the place of the current value. Raises ``InvalidSettings`` for a mask that stands
    for no secret, where it cannot be left out.
    """
    if isinstance(patch, Replace):
        return patched(patch.value, current, shape, at, equal=equal, whole=True)
    if isinstance(patch, Kept):
        return kept(patch, current, at)
    if isinstance(patch, list):
        return _elements(patch, current, shape, at, equal)
    if not isinstance(patch, dict):
        return patch
    if is_reference(patch):
        return unless_equal(patch, current, equal)
    olds = current if is_object(current) else {}
    members = dict(patch) if whole else olds | patch  # in the order of the result
    for name in [name for name in members if name in patch]:
        new = patch[name]
        if type(new) not in LEAVES:  # a leaf needs no call of its own
            inner, place = inside(shape, name), (*at, name)
            new = patched(new, olds.get(name), inner, place, equal=equal, whole=whole)
        if new is UNSET:
            del members[name]
        else:
            members[name] = new
    if current is None and not members and any(whole or m is not UNSET for m in patch.values()):
        return UNSET  # nothing but masks, and nothing that they could stand for
    return _completed(members, olds, shape) if isinstance(shape, Record) else members


def _elements(
    patch: list[Any], current: Any, shape: Shape | None, at: Place, equal: EqualSecrets
) -> list[Any]:
    """A list is one value: an element takes the place of the one that it continues."""
    inner, olds = inside(shape, "*"), [None] * len(patch)
    if holds_new_secret(patch) or known(current, shape) is not current:
        olds = counterparts(patch, current if isinstance(current, list) else [], at)
    elif not holds_records(inner):
        return patch
    return [
        patched(new, old, inner, (*at, position), equal=equal, whole=True)
        for position, (new, old) in enumerate(zip(patch, olds, strict=True))
    ]


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
