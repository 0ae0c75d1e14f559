"""Where a secret is sent, and the rule that a kept secret is sent nowhere else.

Without it, an editor who may not read a secret could change the address beside it and have it
sent to a server of their own. ``events.settings.SECRET_RECORDS`` says which addresses belong to
which secret; here they are found and compared.

Only a URL that every program reads alike is compared by its scheme, host and port. Whatever else
may be an address, or a part of one, is compared whole: better a change that is refused than a
secret that is sent away. Everything here takes time in proportion to the settings.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, structs

from events.errors import FieldError
from events.pointers import MARK, Changes, Tree, apply, is_reference, join, overlaps, split
from events.secrets.credential_names import NAMING
from events.secrets.references import ADDRESS, URL, Path, Place, holds_secret, is_erased, places
from events.settings import SECRET_RECORDS, SETTING_NAMES, SecretRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NAMED = 100  # one answer names no more
_LONGEST_NAME = 200  # characters; the end of a longer name decides
_DEFAULT_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
# A URL whose host is the same to every program; what follows its authority does not matter.
_PLAIN_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]{0,30})://(?:[\w.~%!$&()*+,;=:\-]*@)?"
    r"([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::(\d*))?(?=[/?#]|\Z)",
    re.ASCII,
)
# What may be an address: slashes, a name with dots, an IP address, a name with a port.
_SIGN = re.compile(
    r"[/\\]{2}|:[/\\]|\blocalhost\b|\d\.\d{1,3}\.\d{1,3}\.\d|\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z_]:\d{2,5}(?!\d)"
    r"|[\w\-][.\u3002\uff0e\uff61](?!(?:txt|json|wav|ya?ml|xml|html|csv|pdf|png|jpe?g|ogg|flac)\b)"
    r"[^\W\d_]{2,24}(?![\w])"
)
_TEMPLATE = re.compile(r"[{}<>$]|%\(|%\w{1,50}%|\[\[|(?:^|[/.]):\w")
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")
_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# The last word of a name whose value is an address, or decides about one, whatever it looks like.
_ADDRESS_WORDS = frozenset((
    "broker", "callback", "endpoint", "gateway", "host", "hostname", "https", "ip", "port", "proxy",
    "scheme", "server", "ssl", "tls", "upstream", "uri", "url", "webhook",
))  # fmt: skip
_ADDRESS_ENDINGS = ("url", "uri", "host", "endpoint", "urls", "uris", "hosts", "endpoints")
# The last word of a name whose value may be a part of a host's name, unless it is a plain word.
_PART_WORDS = frozenset(
    ("account", "base", "bucket", "cluster", "domain", "instance", "region", "resource", "tenant")
)
_PART_SIGN = re.compile(r"[./:@#?%\\]")
_PROVIDER_WORDS = frozenset(("provider", "vendor"))
_SEALED = "a sealed address"


class Destination(Struct, frozen=True, kw_only=True):
    """An address of a record: the text that decides who is spoken to, and where it stands."""

    place: Place
    text: str
    is_sealed: bool = False
    anywhere: bool = False  # where it stands does not matter

    @property
    def path(self) -> str:
        """Its JSON Pointer."""
        return join(tuple(map(str, self.place)))

    @property
    def in_record(self) -> tuple[str, ...]:
        """Where it stands, without the positions in lists: elements move."""
        if self.anywhere:
            return ()
        return tuple("*" if isinstance(token, int) else token for token in self.place)

    @property
    def shown(self) -> str:
        """As a message may show it."""
        return _SEALED if self.is_sealed else self.text


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
    known: dict[str, list[tuple[Destination, ...]]] = {}
    for settings in (before, *past):
        found = _Addresses(settings)
        for at, secret_id in _secrets(settings, concerned, erased_version):
            if _is_touched(at, changes):
                known.setdefault(secret_id, []).append(found.of(at))
    if not known:
        return  # as for most changes, which are to be fast
    after = apply(changes, before)
    found = _Addresses(after)
    compared: dict[tuple[int, int], bool] = {}  # secrets of one record share their addresses

    def stays(at: Path, then: tuple[Destination, ...]) -> bool:
        pair = (id(found.of(at)), id(then))
        if pair not in compared:
            compared[pair] = _stays(found.of(at), then, _record_of(at))
        return compared[pair]

    moved = (
        _moved(after, at, found.of(at), known[secret_id][0])
        for at, secret_id in _secrets(after, concerned, erased_version)
        if secret_id in known and not any(stays(at, then) for then in known[secret_id])
    )
    yield from islice(moved, _MOST_NAMED)


def _secrets(
    settings: Tree, names: Iterable[str], erased_version: int
) -> Iterator[tuple[Path, str]]:
    for place in places({n: settings[n] for n in names if holds_secret(settings[n])}):
        if not is_erased(place.reference, erased_version):
            yield place.at, place.reference[MARK]["id"]


def _is_touched(at: Path, changes: Changes) -> bool:
    """Whether changes can touch the secret at a place, or an address of it."""
    roots = [pointer.partition("/*")[0] for pointer in _record_of(at).sent_to]
    return any(overlaps(path, root) for path in changes for root in (join(at), *roots))


def _stays(
    now: tuple[Destination, ...], then: tuple[Destination, ...], record: SecretRecord
) -> bool:
    if record.may_shrink:
        return {one.text for one in now} <= {one.text for one in then}
    return _compared(now) == _compared(then)


def _compared(found: tuple[Destination, ...]) -> list[tuple[tuple[str, ...], str]]:
    # Members have no order, elements have one: two addresses must not trade their places.
    return sorted(((one.in_record, one.text) for one in found), key=lambda one: one[0])


def _moved(
    after: Tree, at: Path, now: tuple[Destination, ...], then: tuple[Destination, ...]
) -> MovedSecret:
    kept = frozenset(_compared(now)) & frozenset(_compared(then))
    new = [one for one in now if (one.in_record, one.text) not in kept]
    gone = [one for one in then if (one.in_record, one.text) not in kept]
    path = (*new, *gone, *now)[0].path
    where = f"would send it to {_list(new or gone)}"
    if not new:
        where = f"would not send it to {_list(gone)}" if gone else "would exchange its addresses"
    message = (
        f"This secret is kept for {_list(then)}. The change of {path} {where}."
        " Send the secret again with it, or remove the secret"
    )
    loc = ("body", *_location(after, at))
    error = FieldError(loc=loc, msg=message, type="secret_address_changed")
    return MovedSecret(path=path, error=error)


def _list(found: Iterable[Destination]) -> str:
    shown = sorted({one.shown for one in found})
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""  # noqa: PLR2004 (enough to tell)
    return ", ".join(shown[:3]) + more or "the default address"


def _location(settings: Any, at: Path) -> Iterator[str | int]:
    for token in at:
        is_position = isinstance(settings, list)
        settings = settings[int(token)] if is_position else settings[token]
        yield int(token) if is_position else token


# -- the addresses of a secret


def _record_of(at: Path) -> SecretRecord:
    for record, tokens in _RECORDS:
        if len(at) >= len(tokens) and all(t in ("*", a) for t, a in zip(tokens, at, strict=False)):
            return record
    return SecretRecord(secrets=join(at[:1]), sent_to=(join(at[:1]),))


class _Scalars(Struct):
    """What a part of the settings holds: its addresses, and every plain text and number."""

    found: list[Destination]
    plain: list[Destination]


class _Addresses:
    """The addresses of the secrets in settings. Each part of them is read once."""

    def __init__(self, settings: Tree) -> None:
        self._settings = settings
        self._parts: dict[tuple[Place, bool], _Scalars] = {}
        self._scopes: dict[tuple[str, ...], tuple[Destination, ...]] = {}

    def of(self, at: Path) -> tuple[Destination, ...]:
        """The addresses that the secret at a place is sent to."""
        record = _record_of(at)
        scope = self._scope(record, at)
        if scope not in self._scopes:
            self._scopes[scope] = tuple(self._in_scope(record, at))
        secret = _value_at(self._settings, at)
        return self._scopes[scope] if URL not in secret else self._of_url(at, secret[URL], scope)

    def _of_url(self, at: Path, url: str, scope: tuple[str, ...]) -> tuple[Destination, ...]:
        """The credentials of a URL are sent to its own host; where the others stand is nothing."""
        if at not in self._scopes:
            others = sorted(self._scopes[scope], key=lambda one: one.text)
            own = Destination(place=at, text=origin(url), anywhere=True)
            self._scopes[at] = (own, *(structs.replace(one, anywhere=True) for one in others))
        return self._scopes[at]

    def _scope(self, record: SecretRecord, at: Path) -> tuple[str, ...]:
        """What tells secrets with other addresses apart: the elements and members of a record."""
        tokens = split(record.secrets)
        own = at[: len(tokens) + record.by_member]
        return (join(own), *(join(tuple(map(str, one))) for one in self._own_elements(at)))

    def _in_scope(self, record: SecretRecord, at: Path) -> Iterator[Destination]:
        parts = [self._part(place, providers=record.providers) for place in _roots(record, at)]
        own = self._own_elements(at)
        member = at[: len(split(record.secrets)) + 1] if record.by_member else ()
        is_record = bool(member) and _is_container(_value_at(self._settings, member))

        def is_seen(one: Destination) -> bool:
            if is_record and one.place[: len(member)] != member and len(one.place) > len(member):
                return False  # it is another member's, and not beside all of them
            return all(_is_beside(one.place, element) for element in own)

        found = [one for part in parts for one in part.found if is_seen(one)]
        yield from found
        if any(_TEMPLATE.search(one.text) for one in found):  # any value may be put in there
            yield from (one for part in parts for one in part.plain if is_seen(one))

    def _part(self, place: Place, *, providers: bool) -> _Scalars:
        key = (place, providers)
        if key not in self._parts:
            part = _Scalars(found=[], plain=[])
            _read(_value_at(self._settings, place), place, str(place[-1]), part, providers)
            self._parts[key] = part
        return self._parts[key]

    def _own_elements(self, at: Path) -> list[Place]:
        """The list elements around a secret that name its address themselves."""
        value: Any = self._settings
        place: Place = ()
        own: list[Place] = []
        for token in at:
            if isinstance(value, list):
                place = (*place, int(token))
                value = value[int(token)]
                if isinstance(value, dict) and not _is_pair(value) and self._has_address(place):
                    own.append(place)
            else:
                place = (*place, token)
                value = value[token]
        return own

    def _has_address(self, place: Place) -> bool:
        return bool(self._part(place, providers=True).found)


def _roots(record: SecretRecord, at: Path) -> Iterator[Place]:
    """The places at or below which the addresses of a secret stand."""
    position = next((a for t, a in zip(split(record.secrets), at, strict=False) if t == "*"), "0")
    for pointer in record.sent_to:
        yield tuple(int(position) if one == "*" else one for one in split(pointer))


def _value_at(settings: Any, place: Iterable[str | int]) -> Any:
    for token in place:
        if isinstance(settings, list):
            settings = settings[int(token)]
        else:
            settings = settings.get(token) if isinstance(settings, dict) else None
    return settings


def _is_beside(place: Place, element: Place) -> bool:
    """Whether a place is in an element of a list, or outside of the list, or plain in it."""
    in_list = place[: len(element) - 1] == element[:-1]
    return not in_list or place[: len(element)] == element or len(place) == len(element)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list) and not is_reference(value)


def _read(value: Any, place: Place, name: str, into: _Scalars, providers: bool) -> None:  # noqa: FBT001
    if isinstance(value, dict) and not is_reference(value):
        named = _name_of_pair(value)
        for member, inner in value.items():
            _note(member, "", (*place, member), into, providers)  # hosts may be names, too
            said = named if named is not None and member.lower() == "value" else member
            _read(inner, (*place, member), said, into, providers)
    elif isinstance(value, list):
        is_pair = _is_pair(value)
        for position, inner in enumerate(value):
            said = value[0] if is_pair and position else name
            _read(inner, (*place, position), said, into, providers)
    else:
        _note(value, name, place, into, providers)
        if isinstance(value, str | int | float):
            text = _folded(str(value))
            into.plain.append(Destination(place=place, text=text))


def _note(value: Any, name: str, place: Place, into: _Scalars, providers: bool) -> None:  # noqa: FBT001
    if is_reference(value):
        if URL not in value:
            if ADDRESS in value[MARK] or _meaning_of(name) == "address":
                one = Destination(place=place, text=value[MARK]["id"], is_sealed=True)
                into.found.append(one)
            return
        value = value[URL]
    if name or isinstance(value, str):
        texts = _addresses_in(value, name, providers=providers)
        into.found.extend(Destination(place=place, text=text) for text in texts)


def _is_pair(value: Any) -> bool:
    """Whether a value is ``{"name": "host", "value": ...}`` or ``["host", ...]``."""
    if isinstance(value, dict):
        return _name_of_pair(value) is not None
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)  # noqa: PLR2004


def _name_of_pair(value: Tree) -> str | None:
    if len(value) > 8:  # noqa: PLR2004 (a pair has few members)
        return None
    members = {name.lower(): member for name, member in value.items()}
    named = (members.get(naming) for naming in NAMING)
    found = next((one for one in named if isinstance(one, str)), None)
    return found if "value" in members else None


def _addresses_in(value: Any, name: str, *, providers: bool) -> Iterator[str]:
    """The addresses in a plain value, each as the text that is compared."""
    meaning = _meaning_of(name)
    if not isinstance(value, str):
        if meaning == "address" and value is not None:
            yield str(value).lower()
    elif meaning == "provider":
        yield from [_folded(value)] if providers and value else ()
    elif (plain := _plain_origin(value)) is not None:
        yield plain
    elif meaning == "address":
        yield from [_folded(value)] if value and not _PATH.fullmatch(value) else ()
    elif meaning == "part" and _PART_SIGN.search(value):
        yield _folded(value)
    elif _SIGN.search(value):
        # Of prose, each word that may be an address; of anything else, all of it.
        words = value.split()
        signs = filter(_SIGN.search, words if len(words) > 1 else [value])
        yield from (_plain_origin(word) or _folded(word) for word in signs)


@lru_cache(maxsize=4096)
def _meaning_of(name: str) -> Literal["provider", "address", "part", ""]:
    name = unicodedata.normalize("NFKC", name[-_LONGEST_NAME:])
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    last = words[-1] if words else ""
    last = last if last in _ADDRESS_WORDS else last.removesuffix("s")
    if last in _PROVIDER_WORDS:
        return "provider"
    if last in _ADDRESS_WORDS or last == "proxie" or name.lower().endswith(_ADDRESS_ENDINGS):
        return "address"
    return "part" if last in _PART_WORDS else ""


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def looks_like_address(value: Any) -> bool:
    """Whether a secret's value is an address itself, as far as its form tells."""
    if not isinstance(value, str) or any(blank in value for blank in " \n"):
        return False
    return "//" in value or ":/" in value or "\\" in value or _HOST.fullmatch(value) is not None


_HOST = re.compile(r"[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,8}\.[^\W\d_]{2,24}(?::\d{1,5})?(?:/.*)?")


def origin(url: str) -> str:
    """The scheme, host and port of a URL in one spelling; all of it where they are not plain."""
    return _plain_origin(url) or _folded(url)


def _plain_origin(text: str) -> str | None:
    found = _PLAIN_URL.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    if rest[:1] in ("?", "#") and "@" in rest:  # to some programs the host comes after that
        return None
    scheme, host = found[1].lower(), found[2].lower().rstrip(".")
    port = found[3] or ""
    return f"{scheme}://{host}" + (
        f":{port}" if port != _DEFAULT_PORTS.get(scheme, "") and port else ""
    )


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
