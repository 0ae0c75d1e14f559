"""Settings that only another release knows: this one keeps them as they are.

While two releases serve one database, the older one meets settings of the newer one. It neither
shows them (``shape.known``) nor takes them from a body. A change keeps each as it is, and so do a
restored state and a copy.
"""

from __future__ import annotations

from typing import Any

from events.secrets.counterparts import counterparts
from events.shape import SETTINGS, Listing, Mapping, Record, Shape, known


def with_unknown_members(
    value: Any, current: Any, shape: Shape = SETTINGS, at: tuple[str, ...] = ()
) -> Any:
    """The value with the members of ``current`` that this release does not know.

    An element of a list gets those of the stored element that it continues.
    """
    if known(current, shape) is current:
        return value
    match shape:
        case Record(members=members) if _are_both(dict, value, current):
            names = () if shape.open else (name for name in current if name not in members)
            unknown = {name: current[name] for name in names}
            inner = {
                name: with_unknown_members(value[name], current.get(name), of, (*at, name))
                for name, of in shape.inner.items()
                if name in value
            }
            return value | inner | unknown
        case Listing(item=item) if _are_both(list, value, current):
            olds = counterparts(value, current, at)
            pairs = zip(value, olds, strict=True)
            return [with_unknown_members(new, old, item, (*at, "*")) for new, old in pairs]
        case Mapping(value=of) if _are_both(dict, value, current):
            return {
                name: with_unknown_members(member, current.get(name), of, at)
                for name, member in value.items()
            }
        case _:
            return value


def _are_both(kind: type, value: Any, current: Any) -> bool:
    return isinstance(value, kind) and isinstance(current, kind)
