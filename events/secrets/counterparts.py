"""Which stored element of a list an element of a body continues, so that it keeps its secrets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from events.pointers import Place, is_reference
from events.secrets.masks import is_mask
from events.secrets.references import URL
from events.secrets.values import KEPT, Kept, Plain
from events.shape import find, known, natural_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    Pairs = dict[int, int]  # by the position of a new element, that of the old one

_NATURAL_KEYS = natural_keys()


def counterparts(
    news: list[Any], olds: list[Any], at: Place, *, by_position: bool = True
) -> list[Any]:
    """For each new element the old one that it continues; None where that is not certain.

    ``at`` is the place of the list. Elements are paired by three rules, one after another:

    - their content without secrets is the same;
    - their natural keys are the same, and no other element has that key;
    - with ``by_position``, their positions are the same, in a list that is as long as it was. If
      there is a natural key, its first member (the provider) must be the same as well.

    A secret must not reach another provider or server because its element took another's place.
    """
    key = _NATURAL_KEYS.get(tuple(map(str, at)), ())
    pairs: Pairs = {}
    comparable = known(olds, find(at))  # clients see no members that this release does not know
    _pair_by(_content, pairs, news, comparable, unique=False)
    if key:
        _pair_by(lambda element: _key_of(element, key), pairs, news, comparable, unique=True)
    if by_position and len(key) != 1 and len(news) == len(olds):
        _pair_by_position(pairs, news, olds, key)
    return [olds[pairs[i]] if i in pairs else None for i in range(len(news))]


def _pair_by_position(pairs: Pairs, news: list[Any], olds: list[Any], key: tuple[str, ...]) -> None:
    free = set(range(len(olds))).difference(pairs.values())
    for i, new in enumerate(news):
        if i not in pairs and i in free and _is_same_kind(new, olds[i], key):
            pairs[i] = i


def _is_same_kind(new: Any, old: Any, key: tuple[str, ...]) -> bool:
    return not key or _key_of(new, key[:1]) == _key_of(old, key[:1])


def _pair_by(
    key_of: Callable[[Any], str], pairs: Pairs, news: list[Any], olds: list[Any], *, unique: bool
) -> None:
    """Pair elements with the same key that are not paired yet, in order; or only unique keys."""
    new_positions = _positions(key_of, news, frozenset(pairs))
    old_positions = _positions(key_of, olds, frozenset(pairs.values()))
    for key, positions in new_positions.items():
        places = old_positions.get(key, deque())
        if unique and (len(positions) > 1 or len(places) > 1):
            continue
        while positions and places:
            pairs[positions.popleft()] = places.popleft()


def _positions(
    key_of: Callable[[Any], str], elements: list[Any], paired: frozenset[int]
) -> dict[str, deque[int]]:
    positions: dict[str, deque[int]] = {}
    for position, element in enumerate(elements):
        if position not in paired:
            positions.setdefault(key_of(element), deque()).append(position)
    return positions


def _key_of(element: Any, key: tuple[str, ...]) -> str:
    if isinstance(element, dict):
        return repr([_without_secrets(element.get(name)) for name in key])
    return _content(element)


def _content(element: Any) -> str:
    return repr(_without_secrets(element))


def _without_secrets(value: Any) -> Any:
    """The value with one sign in place of each secret. Of a URL, the rest stays."""
    if isinstance(value, Kept | Plain):
        return (KEPT, value.url)
    if is_reference(value):
        return (KEPT, value.get(URL))
    if isinstance(value, dict):
        return sorted((name, repr(_without_secrets(member))) for name, member in value.items())
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if isinstance(value, str) and is_mask(value):
        return (KEPT, None)  # as it reads when it is sent back
    return value
