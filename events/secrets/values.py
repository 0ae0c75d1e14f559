"""Secrets in a body: the values and the masks that a client sends.

A secret's value is a ``Plain`` from the moment its body is read until the vault seals it. From then
on, a reference stands in its place (``events.secrets.references``).
"""

from __future__ import annotations

from typing import Any, Final, Self

import msgspec

from events.pointers import Tree
from events.secrets.credential_forms import has_credential_form
from events.secrets.credential_urls import Address, is_ambiguous, is_user_at, read_url
from events.secrets.masks import MASK, is_mask
from events.secrets.references import AT, URL


class Plain:
    """A secret's value on its way to the vault. It prints as the mask, and no encoder takes it.

    Of a URL, ``url`` is the rest, without its credentials. If the only one is the user information,
    ``value`` is that. Else ``value`` lists the credentials, and ``at`` their positions in ``url``.
    ``sent`` is what the client sent, unless the secret is one by the definition of its setting.
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
    """A mask that was sent back: the secret stays as it is, perhaps in a URL that was edited.

    ``url`` and ``at`` are those of ``Plain``. ``sent`` is the text itself: it stays a text if there
    is no secret to keep. ``mixed`` says that the URL also holds credentials that are not masked.
    """

    url: str | None = None
    at: tuple[int, ...] | None = None
    sent: str | None = None
    mixed: bool = False


KEPT: Final = Kept()


class Shown(str):
    """A mask that knows the secret for which it is shown, so that it is never taken for a text."""

    __slots__ = ("reference",)
    reference: Tree

    def __new__(cls, mask: str, reference: Tree) -> Self:
        """``mask`` is what is shown of the secret with this ``reference``."""
        shown = super().__new__(cls, mask)
        shown.reference = reference
        return shown

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self

    def kept(self) -> Kept:
        """The mask as one that was sent back."""
        at = self.reference.get(AT)
        return Kept(url=self.reference.get(URL), at=None if at is None else tuple(at))


def read_text(text: str) -> Plain | Kept | None:
    """What a text is by its form alone: a secret, a mask, or None for neither.

    Every string of a body passes through here.
    """
    if (address := read_url(text)) is not None:
        # Which host is meant may be uncertain: then no part may look like an address.
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
    """The address with the masked credentials alone: readable ones are back in the URL."""
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


def url_members(secret: Plain | Kept) -> Tree:
    """The members of a reference that hold the URL around the secret; empty without a URL."""
    if secret.url is None:
        return {}
    return {URL: secret.url} if secret.at is None else {URL: secret.url, AT: list(secret.at)}
