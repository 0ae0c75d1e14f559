"""Secrets as the events see them: references only, never values.

A secret that a client sends is a ``Plain`` from the moment its body is read. The vault
seals it: a reference ``{"$secret": {"id", "fingerprint"}}`` takes its place. Equal values
have equal fingerprints, so "unchanged" and "rotated" can be told without the value.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from events.credentials import (
    ERASED,
    MASK,
    Address,
    has_credential_form,
    in_url,
    is_mask,
    is_user_at,
    labels,
    read_url,
)
from events.errors import FieldError, InvalidSettings
from events.pointers import MARK, Tree, is_reference, join
from events.shape import natural_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


URL = "url"
AT = "at"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:\-]*://")
_ORIGIN = re.compile(r"[^/]*//[^/?#]*")
_NATURAL_KEYS = natural_keys()

Path = tuple[str, ...]
Place = tuple[str | int, ...]  # a path whose list positions are integers


class Plain:
    """A secret's value on its way to the vault. It prints as the mask, and encodes as nothing.

    ``url`` is what the value was part of: a URL, here without its credentials. Where these are
    more than the user information, the value is a list of them, and ``at`` says where they stood.
    ``sent`` is what the client sent, where no definition says that it is secret.
    """

    __slots__ = ("at", "sent", "url", "value")

    def __init__(
        self,
        value: str | float | list[str],
        url: str | None = None,
        at: tuple[int, ...] | None = None,
        *,
        sent: str | float | None = None,
    ) -> None:
        self.value = value
        self.url = url
        self.at = at
        self.sent = sent

    def __repr__(self) -> str:
        return f"Plain({MASK})"


class Kept(msgspec.Struct, frozen=True):
    """The mask, sent back: leave the secret as it is, perhaps in a URL that was edited.

    ``sent`` is the text itself, where it stays a text if there is no secret to keep. ``mixed`` says
    that the URL brings other credentials as well.
    """

    url: str | None = None
    at: tuple[int, ...] | None = None
    sent: str | None = None
    mixed: bool = False


KEPT: Final = Kept()


def read_text(text: str) -> Plain | Kept | None:
    """What a text is by its form, whatever its name: a secret, a mask, or None for neither.

    Every string of a body passes through here.
    """
    if (address := read_url(text)) is not None:
        return _read_address(address, text)
    if has_credential_form(text):
        return Plain(text, sent=text)
    return Kept(sent=text) if text[:1] in _MASK_STARTS and is_mask(text) else None


_MASK_STARTS = frozenset(("*", ".", "e"))


def _read_address(address: Address, text: str) -> Plain | Kept:
    masked = [is_mask(part) for part in address.parts]
    if not any(masked):
        if address.has_user_alone:
            return Plain(address.parts[0], address.url, sent=text)
        return Plain(list(address.parts), address.url, address.at, sent=text)
    if not all(masked):
        address = _masked_alone(address, masked)
    at = None if address.has_user_alone else address.at
    return Kept(url=address.url, at=at, sent=text, mixed=not all(masked))


def _masked_alone(address: Address, masked: list[bool]) -> Address:
    """The address with its readable parts back in their places."""
    url, moved = address.url, 0
    at, parts = [], []
    for place, part, is_masked in zip(address.at, address.parts, masked, strict=True):
        if is_masked:
            at.append(place + moved)
            parts.append(part)
            continue
        text = f"{part}@" if is_user_at(url, place + moved) else part
        url = url[: place + moved] + text + url[place + moved :]
        moved += len(text)
    return Address(url=url, at=tuple(at), parts=tuple(parts))


def revealed(reference: Tree, value: Any) -> Any:
    """What a reference stands for, as it was sent: its value, or the URL that it is part of."""
    if URL not in reference:
        return value
    parts = value if isinstance(value, list) else [str(value)]
    return in_url(reference[URL], parts, reference.get(AT))


def shown_reference(reference: Tree, shown: str) -> str:
    """A reference as it is shown: masked, or as the URL with its credentials masked."""
    if URL not in reference:
        return shown
    at = reference.get(AT)
    return in_url(reference[URL], [shown] * (1 if at is None else len(at)), at)


def place_of(one: Plain | Kept) -> Tree:
    """The members of a reference that say which URL its secret is part of."""
    if one.url is None:
        return {}
    return {URL: one.url} if one.at is None else {URL: one.url, AT: list(one.at)}


def same_parts(one: Tree, other: Tree) -> bool:
    """Whether two references' URLs have the same credentials, by the parameters' names."""
    return _labels(one) == _labels(other)


def _labels(reference: Tree) -> list[str]:
    return labels(reference[URL], reference[AT]) if AT in reference else [""]


def is_erased(reference: Tree, erased_version: int) -> bool:
    """Whether a reference's sealed value was destroyed: its id says with which version it came."""
    version, _, _ = reference[MARK]["id"].partition(".")
    return erased_version > 0 and int(version) <= erased_version


def mask(value: Any, erased_version: int = 0) -> Any:
    """The value as anybody may see it; ``erased_version`` is the state's."""
    # Every answer passes through here, leaf by leaf: most of them need no call of their own.
    if isinstance(value, dict):
        if MARK in value:
            shown = ERASED if is_erased(value, erased_version) else MASK
            return shown_reference(value, shown)
        return {
            name: member if type(member) in _LEAVES else mask(member, erased_version)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [item if type(item) in _LEAVES else mask(item, erased_version) for item in value]
    return value


_LEAVES = frozenset((str, int, float, bool, type(None)))


def settle(value: Any, current: Any, at: Place = (), *, erased_version: int = 0) -> Any:
    """The value with each KEPT filled from what is stored, and equal secrets left as stored.

    Raises ``InvalidSettings`` where a mask was sent for a list's element that has no secret,
    or inside a URL of another host; elsewhere a mask for nothing is UNSET: nothing.
    """
    if isinstance(value, Kept):
        return _kept(value, current, at)
    if is_reference(value):
        return _unless_equal(value, current, erased_version)
    if isinstance(value, dict):
        olds = current if isinstance(current, dict) and not is_reference(current) else {}
        settled = {
            name: settle(member, olds.get(name), (*at, name), erased_version=erased_version)
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
        return [
            settle(element, old, (*at, position), erased_version=erased_version)
            for position, (element, old) in pairs
        ]
    return value


def _kept(kept: Kept, current: Any, at: Place) -> Any:
    if kept.url is None:
        nothing = UNSET if kept.sent is None else kept.sent
        return current if is_reference(current) else nothing
    if not is_reference(current) or URL not in current:
        if kept.mixed:
            raise _unmatched(at, "The mask was sent for a credential that is not stored; send it")
        return kept.url
    if _origin(kept.url) != _origin(current[URL]):
        # Whoever may edit a URL must not be able to send its credentials to a host of theirs.
        raise _unmatched(at, "The mask was sent in a URL of another host; send the credentials")
    edited = {MARK: current[MARK]} | place_of(kept)
    if kept.mixed and kept.url != current[URL]:
        message = "Send all credentials of a URL, or leave all of them masked"
        raise _unmatched(at, message)
    if not same_parts(edited, current):
        raise _unmatched(at, "The URL has other credentials than the stored one; send them all")
    return edited


def _origin(url: str) -> str:
    found = _ORIGIN.match(url)
    return found[0].lower() if found else url


def _unless_equal(new: Tree, current: Any, erased_version: int) -> Tree:
    """The new reference, or the stored one where both stand for the same value."""
    if not is_reference(current) or is_erased(current, erased_version):
        return new
    if new[MARK]["fingerprint"] != current[MARK]["fingerprint"]:
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
    _pair(found, news, olds, _without_secrets_text, unique=False)
    if key:
        _pair(found, news, olds, lambda element: _key_of(element, key), unique=True)
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
        return [_origin(element[URL])] if URL in element else []
    if isinstance(element, dict):
        return sorted(host for member in element.values() for host in _servers(member))
    if isinstance(element, list):
        return [host for item in element for host in _servers(item)]
    is_url = isinstance(element, str) and _SCHEME.match(element.strip())
    return [_origin(element.strip())] if is_url else []


def _current_secret(target: Any, current: Any) -> Any:
    if is_reference(target) and URL in target:
        same_host = is_reference(current) and URL in current
        same_host = same_host and _origin(current[URL]) == _origin(target[URL])
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


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret stands, and how the vault binds that: a secret moves with its element."""

    at: Path
    bound: Path  # as ``at``, with ``*`` for the position in a list
    reference: Tree


def places(value: Any, at: Path = (), bound: Path = ()) -> Iterator[Standing]:
    """Every secret of the settings."""
    if is_reference(value):
        yield Standing(at=at, bound=bound, reference=value)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*at, name), (*bound, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from places(item, (*at, str(position)), (*bound, "*"))


def differing(one: Tree, other: Tree) -> list[str]:
    """The paths at which the secrets of two settings differ."""
    ours, theirs = _fingerprints(one), _fingerprints(other)
    return [at for at in ours | theirs if ours.get(at) != theirs.get(at)]


def _fingerprints(settings: Tree) -> dict[str, str]:
    return {join(place.at): place.reference[MARK]["fingerprint"] for place in places(settings)}
