"""Secrets as the events see them: references only, never values.

A secret that a client sends is a ``Plain`` from the moment its body is read. The vault
seals it: a reference ``{"$secret": {"id"}}`` takes its place. Each value that is set gets a
new id, whatever it is: nothing that is stored tells whether two values are equal.
(References of older events hold a ``fingerprint`` too. The key that made it is destroyed.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from events.pointers import MARK, Tree, is_reference, join

if TYPE_CHECKING:
    from collections.abc import Iterator


MASK = "********"
ERASED = "erased"  # shown where the sealed value was destroyed
URL = "url"

_CREDENTIALS = (
    "key", "keys", "token", "secret", "secrets", "password", "passwords", "passwd", "passphrase",
    "pass", "pwd", "bearer", "jwt", "dsn", "authorization", "credential", "credentials",
    "private", "cookie", "cookies",
)  # fmt: skip
_QUALIFIERS = "api auth access bearer client secret private refresh session signing db admin user"
# Also as one word, such as ``apikey`` and ``authtoken``.
_CREDENTIAL_WORDS = frozenset(_CREDENTIALS).union(
    qualifier + word for qualifier in _QUALIFIERS.split() for word in _CREDENTIALS
)
# Words of ``clientSecret``, of ``DBpassword``, and of ``auth_token``.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_RUNS = re.compile(r"[A-Z]+|[a-z]+")
_PARTS = re.compile(r"[A-Za-z]+")
_ONLY_MASK = re.compile(r"[*.]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:\-]*://")
_AUTHORITY_ENDS = re.compile(r"[/?#]")
_BLANK = re.compile(r"\s")

Path = tuple[str, ...]
Place = tuple[str | int, ...]  # a path whose list positions are integers


class Plain:
    """A secret's value on its way to the vault. It prints as the mask, and encodes as nothing.

    ``url`` is what the value was part of: a URL, here without its user information.
    """

    __slots__ = ("url", "value")

    def __init__(self, value: str | float, url: str | None = None) -> None:
        self.value = value
        self.url = url

    def __repr__(self) -> str:
        return f"Plain({MASK})"


class Kept(msgspec.Struct, frozen=True):
    """The mask, sent back: leave the secret as it is, perhaps in a URL that was edited."""

    url: str | None = None


KEPT: Final = Kept()
# Members of a pair that say what its ``value`` is.
NAMING = ("name", "key", "header", "id")


def speaks_of_credential(name: str) -> bool:
    """Whether a free-form member's name says that its value is a credential.

    Whole words only, in snake, kebab or camel case: ``apiKey`` does, ``keyterms`` does not.
    """
    splits = (_WORDS, _RUNS, _PARTS)
    return any(
        word.lower() in _CREDENTIAL_WORDS for split in splits for word in split.findall(name)
    )


def is_mask(text: str) -> bool:
    """Whether a value is only what some server showed in place of a secret."""
    return text == ERASED or _ONLY_MASK.fullmatch(text) is not None


def read_url(text: str) -> Plain | Kept | None:
    """The user information of a URL as a secret of its own; None where there is none.

    Takes time in proportion to the text: every string of a body passes through here.
    """
    text = text.strip()
    if (scheme := _SCHEME.match(text)) is None or "@" not in text or _BLANK.search(text):
        return None
    rest = text[scheme.end() :]
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if not at:
        _, colon, port = authority.partition(":")
        if not colon or port.isdecimal() or not port:
            return None  # the @ stands in the path or the query
        user = rest.rpartition("@")[0]  # a password that was not percent-encoded
    if not user:
        return None
    url = scheme[0] + rest[len(user) + 1 :]
    return Kept(url=url) if is_mask(user) else Plain(user, url=url)


def in_url(url: str, user: str) -> str:
    """A URL with its user information back in its place."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}@{rest}"


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
            return in_url(value[URL], shown) if URL in value else shown
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
