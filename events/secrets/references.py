"""Secrets as the events see them: references only, never values.

A secret that a client sends is a ``Plain`` from the moment its body is read. The vault
seals it: a reference ``{"$secret": {"id"}}`` takes its place. Each value that is set gets a
new id, whatever it is: nothing that is stored tells whether two values are equal.
(References of older events hold a ``fingerprint`` too. The key that made it is destroyed.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from events.pointers import MARK, Tree, is_reference, join
from events.secrets.credential_names import (
    ERASED,
    MASK,
    Address,
    has_credential_form,
    in_url,
    is_ambiguous,
    is_mask,
    is_user_at,
    labels,
    read_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


URL = "url"
AT = "at"
ADDRESS = "address"  # in a reference: the value that it stands for is an address itself


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
        # Where nobody can say which host is meant, nothing of it may look like an address.
        return Plain(text, sent=text) if is_ambiguous(text) else _read_address(address, text)
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


def holds_secret(value: Any) -> bool:
    """Whether there is a secret in a stored value; cheaper than looking for its place."""
    if isinstance(value, dict):
        inner: Any = value.values()
        if MARK in value:
            return True
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return any(holds_secret(one) for one in inner if type(one) not in _LEAVES)


def differing(one: Tree, other: Tree) -> list[str]:
    """The paths at which the secrets of two settings differ."""
    ours, theirs = _ids(one), _ids(other)
    return [at for at in ours | theirs if ours.get(at) != theirs.get(at)]


def _ids(settings: Tree) -> dict[str, str]:
    return {join(place.at): place.reference[MARK]["id"] for place in places(settings)}
