"""Members that only another release knows. What it set stays, whatever this one writes.

While two releases serve one database, the older one meets settings of the newer. It shows none of
them (``shape.known``) and takes none; beside what a body changes, it keeps each as it is. A past
state that is restored, and a copy, bring them along.
"""

from __future__ import annotations

from typing import Any

from events.secrets.merge import counterparts
from events.shape import SETTINGS, Listing, Mapping, Record, Shape, known


def kept(value: Any, current: Any, shape: Shape = SETTINGS, at: tuple[str, ...] = ()) -> Any:
    """The value with the members of ``current`` that this release does not know.

    An element of a list has those of the element that it continues.
    """
    if known(current, shape) is current:
        return value
    match shape:
        case Record(members=members) if _are(dict, value, current):
            names = () if shape.open else (name for name in current if name not in members)
            unknown = {name: current[name] for name in names}
            inner = {
                name: kept(value[name], current.get(name), of, (*at, name))
                for name, of in shape.inner.items()
                if name in value
            }
            return value | inner | unknown
        case Listing(item=item) if _are(list, value, current):
            olds = counterparts(value, current, at)
            pairs = zip(value, olds, strict=True)
            return [kept(new, old, item, (*at, "*")) for new, old in pairs]
        case Mapping(value=of) if _are(dict, value, current):
            return {name: kept(one, current.get(name), of, at) for name, one in value.items()}
        case _:
            return value


def _are(kind: type, value: Any, current: Any) -> bool:
    return isinstance(value, kind) and isinstance(current, kind)
