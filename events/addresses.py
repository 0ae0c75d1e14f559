"""Where a secret is sent, and the rule that a kept secret is sent nowhere else.

Without it, an editor who may not read a secret could change the address beside it and have it
sent to a server of their own. ``events.settings.SECRET_RECORDS`` says which addresses belong to
which secret; here they are found and compared.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from events.credentials import NAMING
from events.errors import FieldError
from events.pointers import MARK, Changes, Tree, apply, is_reference, join, overlaps, split
from events.secrets import URL, Path, holds_secret, is_erased, places
from events.settings import SECRET_RECORDS, SETTING_NAMES, SecretRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NAMED = 100  # one answer names no more
_DEFAULT_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\s\"'<>]+)")
_PLAIN_HOST = re.compile(r"(?:[a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::\d*)?")
# What is an address without a scheme, under any name: a host with a port, an IP address.
_BARE_HOST = re.compile(r"(?:[\w.\-]+:\d{2,5}|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?:/\S*)?")
_TEMPLATE = re.compile(r"[{<%$]+\s*([\w.\-]+)\s*[}>%]*")
_BLANK = re.compile(r"\s")
_PATH = re.compile(r"/(?![/\\])")
_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Members whose value is an address, whatever it looks like.
_ADDRESS_WORDS = frozenset((
    "address", "authority", "domain", "endpoint", "gateway", "host", "hosts", "hostname", "ip",
    "origin", "port", "proxy", "scheme", "server", "servers", "subdomain", "upstream", "uri",
    "uris", "url", "urls",
))  # fmt: skip
# Members whose value may be a part of a host's name: a plain word there gives it no other owner.
_PART_WORDS = frozenset(("account", "base", "cluster", "instance", "region", "resource", "tenant"))
_PLAIN_WORD = re.compile(r"[\w\-]*")
_ADDRESS_ENDINGS = ("url", "uri", "host", "hostname", "endpoint", "domain")
_PROVIDER_WORDS = frozenset(("provider", "vendor"))


class Address(Struct, frozen=True, kw_only=True):
    """An address: the part of a value that decides who is spoken to, and where it stands."""

    path: str
    text: str


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
    concerned = frozenset[str]().union(*(_CONCERNED[split(path)[0]] for path in changes))
    known: dict[str, list[list[Address]]] = {}
    for settings in (before, *past):
        for at, secret_id in _secrets(settings, concerned, erased_version):
            if _is_touched(at, changes):
                known.setdefault(secret_id, []).append(list(addresses_of(settings, at)))
    if not known:
        return  # as for most changes, which are to be fast
    after = apply(changes, before)
    kept = (one for one in _secrets(after, concerned, erased_version) if one[1] in known)
    for at, secret_id in islice(kept, _MOST_NAMED):
        now = list(addresses_of(after, at))
        if _texts(now) not in map(_texts, known[secret_id]):
            yield _moved(after, at, now, known[secret_id][0])


def _secrets(
    settings: Tree, names: Iterable[str], erased_version: int
) -> Iterator[tuple[Path, str]]:
    for place in places({n: settings[n] for n in names if holds_secret(settings[n])}):
        if not is_erased(place.reference, erased_version):
            yield place.at, place.reference[MARK]["id"]


def _is_touched(at: Path, changes: Changes) -> bool:
    """Whether changes can touch an address of the secret at a place."""
    sent_to = [pointer.partition("/*")[0] for pointer in _record_of(at).sent_to]
    return any(overlaps(path, pointer) for path in changes for pointer in sent_to)


def _texts(addresses: Iterable[Address]) -> frozenset[str]:
    return frozenset(one.text for one in addresses)


def _moved(after: Tree, at: Path, now: list[Address], then: list[Address]) -> MovedSecret:
    texts_now, texts_then = _texts(now), _texts(then)
    new = [one for one in now if one.text not in texts_then]
    gone = [one for one in then if one.text not in texts_now]
    place = (*new, *gone)[0].path
    message = (
        f"This secret was set to be sent to {_list(texts_then)}, and with this change of {place} it"
        f" would be sent to {_list(texts_now)}; send its value with the change, or remove it"
    )
    loc = ("body", *_location(after, at))
    return MovedSecret(
        path=place, error=FieldError(loc=loc, msg=message, type="secret_address_changed")
    )


def _list(texts: Iterable[str]) -> str:
    return ", ".join(sorted(texts)) or "its provider's own address"


def _location(settings: Any, at: Path) -> Iterator[str | int]:
    for token in at:
        is_position = isinstance(settings, list)
        settings = settings[int(token)] if is_position else settings[token]
        yield int(token) if is_position else token


# -- the addresses of a secret


def addresses_of(settings: Tree, at: Path) -> Iterator[Address]:
    """The addresses that the secret at a place is sent to."""
    record = _record_of(at)
    roots = list(_roots(record, settings, at))
    found = [one for path, value in roots for one in _walk(value, path, at, record)]
    yield from found
    variables = frozenset(name for one in found for name in _TEMPLATE.findall(one.text))
    if variables:
        for path, value in roots:
            yield from _walk(value, path, at, record, variables)


def _record_of(at: Path) -> SecretRecord:
    for record, tokens in _RECORDS:
        if len(at) >= len(tokens) and all(t in ("*", a) for t, a in zip(tokens, at, strict=False)):
            return record
    return SecretRecord(secrets=join(at[:1]), sent_to=(join(at[:1]),))


def _roots(record: SecretRecord, settings: Tree, at: Path) -> Iterator[tuple[Path, Any]]:
    """The parts of the settings in which the addresses of a record stand, by path."""
    position = next((a for t, a in zip(split(record.secrets), at, strict=False) if t == "*"), "")
    for pointer in record.sent_to:
        path = tuple(position if one == "*" else one for one in split(pointer))
        value: Any = settings
        for token in path:
            value = value[int(token)] if isinstance(value, list) else (value or {}).get(token)
        if not record.by_member or not _is_container(value[at[len(path)]]):
            yield path, value
            continue
        for name, member in value.items():
            if name == at[len(path)] or not _is_container(member):
                yield (*path, name), member


def _walk(
    value: Any,
    path: Path,
    at: Path,
    record: SecretRecord,
    variables: frozenset[str] = frozenset(),
    name: str | None = None,
) -> Iterator[Address]:
    """The addresses in a value at a path, as far as they are those of the secret at ``at``."""
    name = path[-1] if name is None else name
    if isinstance(value, dict) and not is_reference(value):
        named = _name_of_pair(value)
        for member, inner in value.items():
            said = named if named and member.lower() == "value" else member
            yield from _walk(inner, (*path, member), at, record, variables, said)
    elif isinstance(value, list):
        for position, item in _elements(value, path, at, record):
            yield from _walk(item, (*path, str(position)), at, record, variables, name)
    else:
        for text in _addresses_in(value, name, record, variables):
            yield Address(path=join(path), text=text)


def _elements(
    values: list[Any], path: Path, at: Path, record: SecretRecord
) -> Iterator[tuple[int, Any]]:
    """The elements of a list, without the others of one that holds a secret and its address."""
    if at[: len(path)] == path and len(at) > len(path):
        own = int(at[len(path)])
        if any(_walk(values[own], (*path, str(own)), at, record)):
            others = ((i, item) for i, item in enumerate(values) if i != own)
            yield own, values[own]
            yield from ((i, item) for i, item in others if not _is_container(item))
            return
    yield from enumerate(values)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list) and not is_reference(value)


def _name_of_pair(value: Tree) -> str | None:
    """What the value of a pair such as ``{"name": "host", "value": ...}`` is called."""
    members = {name.lower(): member for name, member in value.items()}
    named = (members.get(naming) for naming in NAMING)
    found = next((one for one in named if isinstance(one, str)), None)
    return found if "value" in members else None


def _addresses_in(
    value: Any, name: str, record: SecretRecord, variables: frozenset[str]
) -> Iterator[str]:
    if is_reference(value):
        if URL not in value and (name in variables or _meaning_of(name) == "address"):
            yield value[MARK]["id"]  # an address that is a secret itself: which one, nobody sees
        value = value.get(URL)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    text = str(value).strip()
    if urls := [origin(found[0]) for found in _URL.finditer(text)]:
        yield from urls
    elif not text or _PATH.match(text):
        return
    elif (
        text.startswith(("//", "\\\\"))
        or name in variables
        or _BARE_HOST.fullmatch(text)
        or _is_named(name, text, record)
    ):
        yield text.lstrip("/\\").split("/")[0].lower() or text


def _is_named(name: str, text: str, record: SecretRecord) -> bool:
    """Whether a member's name says that its value is an address, or a provider."""
    match _meaning_of(name):
        case "provider":
            return record.providers
        case "address":
            return not _BLANK.search(text)
        case "part":
            return not _PLAIN_WORD.fullmatch(text)
        case _:
            return False


@lru_cache(maxsize=4096)
def _meaning_of(name: str) -> Literal["provider", "address", "part", ""]:
    words = {word.lower() for word in _NAME_WORDS.findall(name)}
    if words & _PROVIDER_WORDS:
        return "provider"
    if words & _ADDRESS_WORDS or name.lower().endswith(_ADDRESS_ENDINGS):
        return "address"
    return "part" if words & _PART_WORDS else ""


def origin(url: str) -> str:
    """The scheme, host and port of a URL in one spelling; all of it where they are not plain.

    Programs read a URL that is not plain in different ways (one with a backslash, say): such a
    URL is the same address as another one only where both are the same text.
    """
    found = _URL.match(url.strip())
    if found is None:
        return url.strip()
    scheme, (user, _, host) = found[1].lower(), found[2].rpartition("@")
    host = host.lower()
    if not _PLAIN_HOST.fullmatch(host) or "\\" in user:
        return url.strip()
    name, _, port = host.partition(":") if "[" not in host else host.partition("]")
    port = port.lstrip(":") or _DEFAULT_PORTS.get(scheme, "")
    return f"{scheme}://{name.rstrip('.')}:{port}".rstrip(":")


# -- tables made from the records, once

_RECORDS = tuple((record, split(record.secrets)) for record in SECRET_RECORDS)


def _concerned() -> dict[str, frozenset[str]]:
    """For each setting, those whose secrets a change of it could send elsewhere."""
    found = {name: {name} for name in SETTING_NAMES}
    for record, tokens in _RECORDS:
        for pointer in record.sent_to:
            found[split(pointer)[0]].add(tokens[0])
    return {name: frozenset(others) for name, others in found.items()}


_CONCERNED = _concerned()
