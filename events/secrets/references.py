"""References: what the events hold in place of a secret's value, ``{"$secret": {"id": ...}}``.

Each value that is set gets a new id, even if it equals the one before: no stored byte tells whether
two values are equal. (References of older events also hold a ``fingerprint``. The key that made it
is destroyed.) If the secret is part of a URL, the reference also holds the rest of the URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from events.pointers import MARK, Path, Tree, is_reference, join
from events.secrets.credential_urls import in_url, labels
from events.secrets.masks import ERASED, MASK

if TYPE_CHECKING:
    from collections.abc import Iterator


# Members of a reference. ``at`` lists the positions of credentials in the URL.
URL = "url"
AT = "at"
ADDRESS = "address"  # the value itself is an address


def revealed(reference: Tree, value: Any) -> Any:
    """The secret as it was sent: its opened ``value``, or the URL with that in it."""
    if URL not in reference:
        return value
    parts = value if isinstance(value, list) else [str(value)]
    return in_url(reference[URL], parts, reference.get(AT))


def shown_reference(reference: Tree, shown: str) -> str:
    """A reference as the mask that is ``shown``, or as the URL with its credentials masked."""
    if URL not in reference:
        return shown
    at = reference.get(AT)
    return in_url(reference[URL], [shown] * (1 if at is None else len(at)), at)


def same_parts(first: Tree, second: Tree) -> bool:
    """Whether the URLs of two references have the same credentials, by the parameters' names."""
    return _labels(first) == _labels(second)


def _labels(reference: Tree) -> list[str]:
    return labels(reference[URL], reference[AT]) if AT in reference else [""]


def is_erased(reference: Tree, erased_version: int) -> bool:
    """Whether a reference's sealed value was destroyed: its id starts with the version that set it.

    ``erased_version`` is the state's: the values up to it were destroyed; 0 for none.
    """
    version, _, _ = reference[MARK]["id"].partition(".")
    return erased_version > 0 and int(version) <= erased_version


def mask(value: Any, erased_version: int = 0) -> Any:
    """The value as every reader may see it; ``erased_version`` is the state's."""
    # Every answer passes through here, and most values are leaves: they get no call of their own.
    if isinstance(value, dict):
        if MARK in value:
            shown = ERASED if is_erased(value, erased_version) else MASK
            return shown_reference(value, shown)
        return {
            name: member if type(member) in LEAVES else mask(member, erased_version)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [item if type(item) in LEAVES else mask(item, erased_version) for item in value]
    return value


LEAVES = frozenset((str, int, float, bool, type(None)))


class SecretPlacement(msgspec.Struct, frozen=True, kw_only=True):
    """A secret's reference, with its path in the settings and the path that the vault binds.

    The vault binds ``*`` for a position in a list, so that a secret may move with its element.
    """

    at: Path
    bound: Path
    reference: Tree


def places(value: Any, at: Path = (), bound: Path = ()) -> Iterator[SecretPlacement]:
    """Every secret of the settings."""
    if is_reference(value):
        yield SecretPlacement(at=at, bound=bound, reference=value)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*at, name), (*bound, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from places(item, (*at, str(position)), (*bound, "*"))


def holds_secret(value: Any) -> bool:
    """Whether a stored value holds a secret; faster than ``places``."""
    if isinstance(value, dict):
        inner: Any = value.values()
        if MARK in value:
            return True
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return any(holds_secret(member) for member in inner if type(member) not in LEAVES)


def changed_secrets(before: Tree, after: Tree) -> list[str]:
    """The paths at which the secrets of two settings differ, as JSON Pointers."""
    old, new = _ids(before), _ids(after)
    return [path for path in old | new if old.get(path) != new.get(path)]


def _ids(settings: Tree) -> dict[str, str]:
    return {join(place.at): place.reference[MARK]["id"] for place in places(settings)}
