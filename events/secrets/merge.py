"""What becomes of secrets when settings are merged, restored or copied: kept, moved or dropped.

Where a kept secret may stand is another question: ``events.secrets.destinations`` answers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from events.errors import FieldError, InvalidSettings
from events.pointers import MARK, Tree, is_reference
from events.secrets.credential_names import is_mask
from events.secrets.destinations import origin
from events.secrets.references import KEPT, URL, Kept, Place, Plain, place_of, same_parts
from events.shape import find, known, natural_keys

if TYPE_CHECKING:
    from collections.abc import Callable

_NATURAL_KEYS = natural_keys()


# For the id of a secret that is new, those of stored ones that are known to have its value.
EqualSecrets = Mapping[str, frozenset[str]]
_NONE: EqualSecrets = {}


def settle(value: Any, current: Any, at: Place = (), equal: EqualSecrets = _NONE) -> Any:
    """The value with each KEPT filled from what is stored, and ``equal`` secrets left as stored.

    Raises ``InvalidSettings`` where a mask was sent for a list's element that has no secret;
    elsewhere a mask for nothing is UNSET: nothing.
    """
    if isinstance(value, Kept):
        return _kept(value, current, at)
    if is_reference(value):
        return _unless_equal(value, current, equal)
    if isinstance(value, dict):
        olds = current if isinstance(current, dict) and not is_reference(current) else {}
        settled = {
            name: settle(member, olds.get(name), (*at, name), equal)
            for name, member in value.items()
        }
        kept = {name: member for name, member in settled.items() if member is not UNSET}
        return UNSET if value and not kept and current is None else kept
    if isinstance(value, list):
        if not _holds_secret(value):
            return value
        olds_of = counterparts(value, current if isinstance(current, list) else [], at)
        pairs = list(enumerate(zip(value, olds_of, strict=True)))
        for position, (element, old) in pairs:
            _check_element(element, old, (*at, position))
        return [settle(element, old, (*at, position), equal) for position, (element, old) in pairs]
    return value


def _kept(kept: Kept, current: Any, at: Place) -> Any:
    """What a mask stands for; another module says whether it may stay."""
    if kept.url is None:
        nothing = UNSET if kept.sent is None else kept.sent
        return current if is_reference(current) else nothing
    if not is_reference(current) or URL not in current:
        if kept.mixed:
            raise _unmatched(at, "The mask was sent for a credential that is not stored; send it")
        return kept.url
    edited = {MARK: current[MARK]} | place_of(kept)
    if kept.mixed and kept.url != current[URL]:
        message = "Send all credentials of a URL, or leave all of them masked"
        raise _unmatched(at, message)
    if not same_parts(edited, current):
        raise _unmatched(at, "The URL has other credentials than the stored one; send them all")
    return edited


def _unless_equal(new: Tree, current: Any, equal: EqualSecrets) -> Tree:
    """The new reference, or the stored one where both stand for the same value."""
    if not equal or not is_reference(current):
        return new
    if current[MARK]["id"] not in equal.get(new[MARK]["id"], ()):
        return new
    return new | {MARK: current[MARK]}


def _check_element(value: Any, current: Any, at: Place) -> None:
    """An element is one value: a mask in it must have a secret to keep."""
    if value == KEPT and not is_reference(current):
        raise _unmatched(at, "The mask was sent for a secret that is not stored; send its value")
    if isinstance(value, dict):
        olds = current if isinstance(current, dict) else {}
        for name, member in value.items():
            _check_element(member, olds.get(name), (*at, name))


def _unmatched(at: Place, message: str) -> InvalidSettings:
    error = FieldError(loc=("body", *at), msg=message, type="secret_mask_unmatched")
    return InvalidSettings((error,))


def counterparts(
    news: list[Any], olds: list[Any], at: Place, *, by_position: bool = True
) -> list[Any]:
    """For each new element the old one that it continues; None where that is not certain.

    First by all of it that is no secret, then by a natural key that only one has, last by
    position, while the list is as long as it was: without a natural key, or where the key's
    first member (the provider) stayed. A secret must not reach another provider or server with
    its element's place.
    """
    key = _NATURAL_KEYS.get(tuple(map(str, at)), ())
    found: dict[int, int] = {}
    ours = known(olds, find(at))  # a client may have read no more
    _pair(found, news, ours, _without_secrets_text, unique=False)
    if key:
        _pair(found, news, ours, lambda element: _key_of(element, key), unique=True)
    if by_position and len(key) != 1 and len(news) == len(olds):  # else positions have moved
        free = set(range(len(olds))).difference(found.values())
        for i, new in enumerate(news):
            if i not in found and i in free and _same_kind(new, olds[i], key):
                found[i] = i
    return [olds[found[i]] if i in found else None for i in range(len(news))]


def _same_kind(new: Any, old: Any, key: tuple[str, ...]) -> bool:
    return not key or _key_of(new, key[:1]) == _key_of(old, key[:1])


def _pair(
    found: dict[int, int],
    news: list[Any],
    olds: list[Any],
    key_of: Callable[[Any], str],
    *,
    unique: bool,
) -> None:
    """Pair what is not paired yet and has the same key, in order; or only a key that is unique."""
    taken = set(found.values())
    waiting: dict[str, deque[int]] = {}
    for position, old in enumerate(olds):
        if position not in taken:
            waiting.setdefault(key_of(old), deque()).append(position)
    asking: dict[str, list[int]] = {}
    for position, new in enumerate(news):
        if position not in found:
            asking.setdefault(key_of(new), []).append(position)
    for key, positions in asking.items():
        places = waiting.get(key, deque())
        if unique and (len(positions) > 1 or len(places) > 1):
            continue
        for position in positions[: len(places)]:
            found[position] = places.popleft()


def _key_of(element: Any, key: tuple[str, ...]) -> str:
    if isinstance(element, dict):
        return repr([_without_secrets(element.get(name)) for name in key])
    return repr(_without_secrets(element))


def _without_secrets_text(element: Any) -> str:
    return repr(_without_secrets(element))


def _without_secrets(value: Any) -> Any:
    """What of a value is no secret, and where it has one; in a URL, all but the user."""
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


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return is_reference(value) or any(map(_holds_secret, value.values()))
    if isinstance(value, list):
        return any(map(_holds_secret, value))
    return isinstance(value, Kept | Plain)


def with_secrets_of(
    target: Any,
    current: Any,
    at: Place = (),
    *,
    restorable: frozenset[str] = frozenset(),
    adding: bool = True,
) -> Any:
    """``target`` as it is but for its secrets, which become those of ``current``.

    A place that holds a secret in either has afterwards what ``current`` has there: UNSET
    where it has nothing. Elements that only ``current`` has are gone, with their secrets.
    References of ``target`` whose ids are ``restorable`` stay. Without ``adding``, a place that
    holds no secret in ``target`` gets none.
    """
    if is_reference(target) and target[MARK]["id"] in restorable:
        return target
    if is_reference(target) or (adding and is_reference(current)):
        return _current_secret(target, current)
    if isinstance(target, list):
        olds = current if isinstance(current, list) else []
        olds_of = counterparts(target, olds, at, by_position=False)
        pairs = [
            (one, old if _servers(one) == _servers(old) else None)
            for one, old in zip(target, olds_of, strict=True)
        ]
        kept = [
            with_secrets_of(one, old, at, restorable=restorable, adding=adding)
            for one, old in pairs
        ]
        return [one for one in kept if one is not UNSET]
    if adding and isinstance(current, dict) and target is None:
        return _only_secrets(current) or None
    if not isinstance(target, dict):
        return target
    members_now = current if isinstance(current, dict) else {}
    added = _only_secrets(members_now) if adding else {}
    names = [*target, *(name for name in added if name not in target)]
    members = {
        name: with_secrets_of(
            target.get(name),
            members_now.get(name),
            (*at, name),
            restorable=restorable,
            adding=adding,
        )
        for name in names
    }
    return {
        name: None if _is_null_by_now(member, target.get(name), members_now, name) else member
        for name, member in members.items()
        if member is not UNSET
    }


def _is_null_by_now(restored: Any, target: Any, members_now: Tree, name: str) -> bool:
    """Whether a map held secrets alone, none of which comes back, and is null since."""
    return restored == {} and bool(target) and members_now.get(name, UNSET) is None


def _servers(element: Any) -> list[str]:
    """The hosts that an element speaks of: a secret is not for others than those."""
    if is_reference(element):
        return [origin(element[URL])] if URL in element else []
    if isinstance(element, dict):
        return sorted(host for member in element.values() for host in _servers(member))
    if isinstance(element, list):
        return [host for item in element for host in _servers(item)]
    return [origin(element)] if isinstance(element, str) and "://" in element else []


def _current_secret(target: Any, current: Any) -> Any:
    if is_reference(target) and URL in target:
        same_host = is_reference(current) and URL in current
        same_host = same_host and origin(current[URL]) == origin(target[URL])
        if not same_host or not same_parts(current, target):
            return target[URL]
        return target | {MARK: current[MARK]}
    if is_reference(current) and URL in current:
        return target  # a URL is a value of its own: without user information it has no secret
    return current if is_reference(current) else UNSET


def _only_secrets(tree: Tree) -> Tree:
    found = {}
    for name, member in tree.items():
        if is_reference(member):
            if URL not in member:
                found[name] = member
        elif isinstance(member, dict) and (inner := _only_secrets(member)):
            found[name] = inner
    return found
