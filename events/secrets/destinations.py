"""Where each secret of the settings is sent.

``events.settings.SECRET_RECORDS`` says which addresses belong to which secret; here they are found.
Takes time in proportion to the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from events.pointers import MARK, Path, Place, Tree, is_reference, join, split
from events.secrets.addresses import addresses_in, folded, meaning_of, origin
from events.secrets.pairs import is_pair, name_of_pair
from events.secrets.references import ADDRESS, URL
from events.secrets.templates import may_hold_placeholder
from events.setting_types import SecretRecord
from events.settings import SECRET_RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECORDS = tuple((record, split(record.secrets)) for record in SECRET_RECORDS)
_RECORDS_IN = {
    setting: [pair for pair in RECORDS if pair[1][0] == setting] for _, (setting, *_) in RECORDS
}
_SEALED = "a sealed address"


class Destination(Struct, frozen=True, kw_only=True):
    """An address that a secret is sent to: where it stands, and the text that is compared."""

    place: Place
    text: str
    is_sealed: bool = False
    anywhere: bool = False  # its place is not compared

    @property
    def path(self) -> str:
        """The JSON Pointer of the address."""
        return join(tuple(map(str, self.place)))

    @property
    def in_record(self) -> tuple[str, ...]:
        """The place without positions in lists, because elements move."""
        if self.anywhere:
            return ()
        return tuple("*" if isinstance(token, int) else token for token in self.place)

    @property
    def shown(self) -> str:
        """The address as a message may show it."""
        return _SEALED if self.is_sealed else self.text


def record_of(at: Path) -> SecretRecord:
    """The record of the secret at a path; without one, the record is the setting around it."""
    for record, tokens in _RECORDS_IN.get(at[0], ()):
        if len(at) >= len(tokens) and all(t in ("*", a) for t, a in zip(tokens, at, strict=False)):
            return record
    return SecretRecord(secrets=join(at[:1]), sent_to=(join(at[:1]),))


class Destinations:
    """The addresses of the secrets in settings. Each part of the settings is read once."""

    def __init__(self, settings: Tree) -> None:
        self._settings = settings
        self._parts: dict[tuple[Place, bool], _Part] = {}
        self._scopes: dict[tuple[str, ...], tuple[Destination, ...]] = {}

    def of(self, at: Path) -> tuple[Destination, ...]:
        """The addresses that the secret at a path is sent to."""
        record = record_of(at)
        scope = self._scope(record, at)
        if scope not in self._scopes:
            self._scopes[scope] = tuple(self._in_scope(record, at))
        secret = _value_at(self._settings, at)
        return self._scopes[scope] if URL not in secret else self._of_url(at, secret[URL], scope)

    def _of_url(self, at: Path, url: str, scope: tuple[str, ...]) -> tuple[Destination, ...]:
        """Credentials in a URL are sent to its host, wherever the other addresses stand."""
        if at not in self._scopes:
            others = sorted(self._scopes[scope], key=lambda other: other.text)
            own = Destination(place=at, text=origin(url), anywhere=True)
            self._scopes[at] = (own, *(structs.replace(other, anywhere=True) for other in others))
        return self._scopes[at]

    def _scope(self, record: SecretRecord, at: Path) -> tuple[str, ...]:
        """A key that secrets share if they have the same addresses, as pointers."""
        tokens = split(record.secrets)
        own = at[: len(tokens) + record.by_member]
        elements = (join(tuple(map(str, element))) for element in self._own_elements(at))
        return (join(own), *elements)

    def _in_scope(self, record: SecretRecord, at: Path) -> Iterator[Destination]:
        parts = [self._part(place, providers=record.providers) for place in _roots(record, at)]
        own = self._own_elements(at)
        member = at[: len(split(record.secrets)) + 1] if record.by_member else ()
        is_record = bool(member) and _is_container(_value_at(self._settings, member))

        def is_seen(place: Place) -> bool:
            if is_record and place[: len(member)] != member and len(place) > len(member):
                return False  # it is inside of another member
            return all(_is_beside(place, element) for element in own)

        addresses = [a for part in parts for a in part.addresses if is_seen(a.place)]
        yield from addresses
        if any(
            may_hold_placeholder(address.text) for address in addresses
        ):  # any value may fill it
            yield from (text for part in parts for text in part.plain if is_seen(text.place))

    def _part(self, place: Place, *, providers: bool) -> _Part:
        key = (place, providers)
        if key not in self._parts:
            self._parts[key] = _Part(providers=providers)
            self._parts[key].read(_value_at(self._settings, place), place, str(place[-1]))
        return self._parts[key]

    def _own_elements(self, at: Path) -> list[Place]:
        """The list elements around a secret that hold an address."""
        value: Any = self._settings
        place: Place = ()
        own: list[Place] = []
        for token in at:
            if isinstance(value, list):
                place = (*place, int(token))
                value = value[int(token)]
                if isinstance(value, dict) and not is_pair(value) and self._has_address(place):
                    own.append(place)
            else:
                place = (*place, token)
                value = value[token]
        return own

    def _has_address(self, place: Place) -> bool:
        return bool(self._part(place, providers=True).addresses)


class _Part:
    """What a part of the settings holds: its addresses, and every plain text and number.

    ``providers`` says whether the name of a provider is an address.
    """

    def __init__(self, *, providers: bool) -> None:
        self.addresses: list[Destination] = []
        self.plain: list[Destination] = []
        self._providers = providers

    def read(self, value: Any, place: Place, name: str) -> None:
        """Collect what a value holds that stands at a place, under a name."""
        if isinstance(value, dict) and not is_reference(value):
            value_name = name_of_pair(value)
            for member, inner in value.items():
                at = (*place, member)
                self._note(member, at, "")  # the name of a member may be a host
                if value_name is not None and member.lower() == "value":
                    self.read(inner, at, value_name)
                else:
                    self.read(inner, at, member)
        elif isinstance(value, list):
            value_name = value[0] if is_pair(value) else name
            for position, inner in enumerate(value):
                self.read(inner, (*place, position), value_name if position else name)
        else:
            self._note(value, place, name)
            if isinstance(value, str | int | float):
                self.plain.append(Destination(place=place, text=folded(str(value))))

    def _note(self, value: Any, place: Place, name: str) -> None:
        if is_reference(value):
            if URL not in value:
                if ADDRESS in value[MARK] or meaning_of(name) == "address":
                    secret_id = value[MARK]["id"]
                    self.addresses.append(Destination(place=place, text=secret_id, is_sealed=True))
                return
            value = value[URL]
        if name or isinstance(value, str):
            texts = addresses_in(value, name, providers=self._providers)
            self.addresses.extend(Destination(place=place, text=text) for text in texts)


def _roots(record: SecretRecord, at: Path) -> Iterator[Place]:
    """The places at or below which the addresses of a secret stand."""
    positions = [a for t, a in zip(split(record.secrets), at, strict=False) if t == "*"]
    for pointer in record.sent_to:
        yield tuple(int(positions[0]) if t == "*" else t for t in split(pointer))


def _value_at(settings: Any, place: Iterable[str | int]) -> Any:
    for token in place:
        if isinstance(settings, list):
            settings = settings[int(token)]
        else:
            settings = settings.get(token) if isinstance(settings, dict) else None
    return settings


def _is_beside(place: Place, element: Place) -> bool:
    """Whether a place is inside a list's element, outside the list, or a plain value in it."""
    in_list = place[: len(element) - 1] == element[:-1]
    return not in_list or place[: len(element)] == element or len(place) == len(element)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list) and not is_reference(value)
