"""The rule that a kept secret is sent nowhere else.

Without it, an editor who may not read a secret could change the address beside it and have it
sent to a server of their own.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from events.errors import FieldError
from events.pointers import MARK, Changes, Path, Tree, apply, join, overlaps, split
from events.secrets.destinations import RECORDS, Destination, Destinations, record_of
from events.secrets.references import holds_secret, is_erased, places
from events.setting_types import SecretRecord
from events.settings import SETTING_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NAMED = 100  # one answer names no more
_MOST_LISTED = 3  # addresses in a message

Addresses = tuple[Destination, ...]


class MovedSecret(Struct, frozen=True, kw_only=True):
    """A secret that a change keeps, but would send elsewhere; ``path`` is that address's."""

    path: str
    error: FieldError


def moved_secrets(
    before: Tree, changes: Changes, past: Iterable[Tree] = (), *, erased_version: int = 0
) -> Iterator[MovedSecret]:
    """The secrets that changes of the settings ``before`` keep, and send to other addresses.

    Each is compared with ``before``, or with the ``past`` settings that it is restored from. A
    secret that is in neither was sent with the change, by a caller who knows it.
    """
    names = frozenset[str]().union(*(_CONCERNED[split(path)[0]] for path in changes))
    known = _known_addresses((before, *past), names, changes, erased_version)
    if not known:
        return  # most changes end here, and fast
    after = apply(changes, before)
    destinations = Destinations(after)
    compared: dict[tuple[int, int], bool] = {}  # secrets of one record share their addresses

    def stays(at: Path, then: Addresses) -> bool:
        now = destinations.of(at)
        pair = (id(now), id(then))
        if pair not in compared:
            compared[pair] = _are_same(now, then, record_of(at))
        return compared[pair]

    moved = (
        _moved_secret(after, at, destinations.of(at), known[secret_id][0])
        for at, secret_id in _secrets(after, names, erased_version)
        if secret_id in known and not any(stays(at, then) for then in known[secret_id])
    )
    yield from islice(moved, _MOST_NAMED)


def _known_addresses(
    past: Iterable[Tree], names: frozenset[str], changes: Changes, erased_version: int
) -> dict[str, list[Addresses]]:
    """The addresses of each secret that the changes may concern, by its id."""
    known: dict[str, list[Addresses]] = {}
    for settings in past:
        destinations = Destinations(settings)
        for at, secret_id in _secrets(settings, names, erased_version):
            if _is_touched(at, changes):
                known.setdefault(secret_id, []).append(destinations.of(at))
    return known


def _secrets(
    settings: Tree, names: frozenset[str], erased_version: int
) -> Iterator[tuple[Path, str]]:
    """The secrets of some settings that can still be opened: paths and ids, in their order."""
    chosen = {n: value for n, value in settings.items() if n in names and holds_secret(value)}
    for place in places(chosen):
        if not is_erased(place.reference, erased_version):
            yield place.at, place.reference[MARK]["id"]


def _is_touched(at: Path, changes: Changes) -> bool:
    """Whether changes can touch the secret at a path, or an address of it."""
    roots = [pointer.partition("/*")[0] for pointer in record_of(at).sent_to]
    return any(overlaps(path, root) for path in changes for root in (join(at), *roots))


def _are_same(now: Addresses, then: Addresses, record: SecretRecord) -> bool:
    if record.may_shrink:
        return {address.text for address in now} <= {address.text for address in then}
    return _compared(now) == _compared(then)


def _compared(addresses: Addresses) -> list[tuple[tuple[str, ...], str]]:
    # Members have no order, elements have one: two addresses must not trade their places.
    return sorted(map(_key, addresses), key=lambda key: key[0])


def _key(address: Destination) -> tuple[tuple[str, ...], str]:
    return address.in_record, address.text


def _moved_secret(after: Tree, at: Path, now: Addresses, then: Addresses) -> MovedSecret:
    kept = frozenset(map(_key, now)) & frozenset(map(_key, then))
    new = [address for address in now if _key(address) not in kept]
    gone = [address for address in then if _key(address) not in kept]
    path = (*new, *gone, *now)[0].path
    where = f"would send it to {_listed(new or gone)}"
    if not new:
        where = f"would not send it to {_listed(gone)}" if gone else "would exchange its addresses"
    message = (
        f"This secret is kept for {_listed(then)}. The change of {path} {where}."
        " Send the secret again with it, or remove the secret"
    )
    loc = ("body", *_location(after, at))
    error = FieldError(loc=loc, msg=message, type="secret_address_changed")
    return MovedSecret(path=path, error=error)


def _listed(addresses: Iterable[Destination]) -> str:
    shown = sorted({address.shown for address in addresses})
    more = len(shown) - _MOST_LISTED
    listed = ", ".join(shown[:_MOST_LISTED])
    return (f"{listed} and {more} more" if more > 0 else listed) or "the default address"


def _location(settings: Any, at: Path) -> Iterator[str | int]:
    for token in at:
        is_position = isinstance(settings, list)
        settings = settings[int(token)] if is_position else settings[token]
        yield int(token) if is_position else token


def _concerned() -> dict[str, frozenset[str]]:
    """For each setting, those whose secrets a change of it could send elsewhere."""
    concerned = {name: {name} for name in SETTING_NAMES}
    for record, tokens in RECORDS:
        for pointer in record.sent_to:
            concerned[split(pointer)[0]].add(tokens[0])
    return {name: frozenset(others) for name, others in concerned.items()}


_CONCERNED = _concerned()
