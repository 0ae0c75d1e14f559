"""Free-form values of a body: any names, any values. Names and forms tell which are secrets."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from events.bodies.findings import Findings
from events.bodies.value_schemas import Within, holds_schema, is_schema, within_schema
from events.errors import Location
from events.pointers import Tree, is_reference
from events.secrets.credential_names import (
    Verdict,
    is_cookie,
    only_describes,
    speaks_of_credential,
    verdict,
)
from events.secrets.credential_urls import is_ambiguous
from events.secrets.masks import is_mask
from events.secrets.pairs import named_value
from events.secrets.randomness import looks_random
from events.secrets.values import KEPT, Plain, Shown, read_text


class FreeFormReader:
    """Reads free-form values of one body.

    ``stored`` says that they are stored settings: they may hold references, and nothing is changed.
    ``whole`` says that they take the place of the stored values, so that null is a value. Else null
    removes a member while ``merging``, which is everywhere outside of lists.
    """

    def __init__(self, findings: Findings, *, stored: bool, whole: bool) -> None:
        self._findings = findings
        self._stored = stored
        self._whole = whole

    def merged_members(self, value: Tree, loc: Location, *, secret: bool = False) -> Tree:
        """Members that are merged into the stored ones; UNSET removes one."""
        return self._members(value, loc, merging=True, secret=secret)

    def plain_members(self, value: Tree, loc: Location, *, secret: bool = False) -> Tree:
        """Members that take the place of all stored ones. An empty secret is left out."""
        members = self._members(value, loc, merging=False, secret=secret)
        return {name: member for name, member in members.items() if member is not UNSET}

    def _members(self, value: Tree, loc: Location, *, merging: bool, secret: bool) -> Tree:
        naming, valued, value_name = named_value(value) or (None, None, "")
        return {
            name: self.value(
                "" if name == naming else value_name if name == valued else name,
                sent,
                (*loc, name),
                merging=merging,
                secret=secret and not only_describes(name),
            )
            for name, sent in value.items()
            if self._findings.is_storable(name, (*loc, name))
        }

    def value(
        self, name: str, value: Any, loc: Location, *, merging: bool, secret: bool = False
    ) -> Any:
        """A value of any type, under a name. ``secret`` says that it stands below a secret name."""
        if isinstance(value, Shown):
            return value.kept()
        if isinstance(value, str):
            return self._named_text(name, value, loc, secret=secret)
        if value is None:
            return UNSET if merging and not self._stored else None
        if isinstance(value, dict):
            return self._object(name, value, loc, merging=merging, secret=secret)
        if isinstance(value, list):
            return self._list(name, value, loc, secret=secret)
        return value

    def _named_text(self, name: str, text: str, loc: Location, *, secret: bool) -> Any:
        if self._stored:
            return text
        if not secret and not (name and speaks_of_credential(name, text)):
            return self.text(text, loc)
        if not text:  # as the value of a setting it is what was sent; in a patch it removes
            return "" if self._whole else UNSET
        if is_mask(text):
            return KEPT
        self._findings.count_secret()
        return Plain(text, sent=text)

    def text(self, value: str, loc: Location) -> Any:
        """A text with an ordinary name: its form may say that it is a secret all the same."""
        if self._stored:
            return value
        read = read_text(value)
        if read is None:
            return value
        if isinstance(read, Plain):
            self._findings.count_secret()
            if read.url is None and is_ambiguous(value):
                message = "Percent-encode / ? # and \\ in a URL's user information"
                self._findings.error(loc, "ambiguous_url", message)
        return read

    def _object(self, name: str, value: Tree, loc: Location, *, merging: bool, secret: bool) -> Any:
        if self._stored and is_reference(value):
            return value
        if not secret and name and (kind := holds_schema(name, value)) is not None:
            schema = self._schema if kind is Within.SCHEMA else self._schemas_by_name
            return schema(value, loc, merging=merging)
        members = self.merged_members if merging else self.plain_members
        secret = secret or _is_secret(name) or is_cookie(name)  # cookies by their names
        return members(value, loc, secret=secret)

    def _list(self, name: str, value: list[Any], loc: Location, *, secret: bool) -> list[Any]:
        secret = secret or _is_secret(name)
        elements = (
            self._pair(element, (*loc, i), secret=secret)
            if _is_pair(element)
            else self.value(name, element, (*loc, i), merging=False, secret=secret)
            for i, element in enumerate(value)
        )
        # An element that is removed would move the others: in a list, "" stays.
        return ["" if element is UNSET else element for element in elements]

    def _pair(self, pair: list[Any], loc: Location, *, secret: bool) -> list[Any]:
        """``[name, value]``, as some clients keep headers; the value may be several."""
        name, value = pair
        read_name = self._named_text("", name, (*loc, 0), secret=secret)
        if isinstance(value, list):
            return [read_name, self._list(name, value, (*loc, 1), secret=secret)]
        read = self._named_text(name, value, (*loc, 1), secret=secret)
        return [read_name, "" if read is UNSET else read]

    # -- JSON Schema: it names parameters, but does not hold their values

    def _schema(self, value: Tree, loc: Location, *, merging: bool, secret: bool = False) -> Any:
        return {
            name: self._of_schema(name, sent, (*loc, name), merging=merging, secret=secret)
            for name, sent in value.items()
            if self._findings.is_storable(name, (*loc, name))
        }

    def _schemas_by_name(self, value: Tree, loc: Location, *, merging: bool) -> Any:
        """Schemas by the names of parameters. A member that is no schema is an ordinary value."""
        return {
            name: self._schema(sent, (*loc, name), merging=merging, secret=_is_secret(name))
            if is_schema(sent)
            else self.value(name, sent, (*loc, name), merging=merging)
            for name, sent in value.items()
            if self._findings.is_storable(name, (*loc, name))
        }

    def _of_schema(
        self, name: str, value: Any, loc: Location, *, merging: bool, secret: bool
    ) -> Any:
        """A member of a schema. ``secret``: the schema is of a parameter with a secret name."""
        if value is None or isinstance(value, Shown):
            return self.value("", value, loc, merging=merging)
        match within_schema(name):
            case Within.SCHEMAS_BY_NAME if isinstance(value, dict):
                return self._schemas_by_name(value, loc, merging=merging)
            case Within.SCHEMA if isinstance(value, dict):
                return self._schema(value, loc, merging=merging)
            case Within.SCHEMA if isinstance(value, list):
                return [self._schema_in_list(schema, (*loc, i)) for i, schema in enumerate(value)]
            case Within.VALUE:
                return self.by_form(value, loc, merging=merging, secret=secret)
            case Within.OTHER:
                return self.value(name, value, loc, merging=merging, secret=secret)
            case _:
                return self.value("", value, loc, merging=merging)

    def _schema_in_list(self, value: Any, loc: Location) -> Any:
        if isinstance(value, dict):
            return self._schema(value, loc, merging=False)
        return self.value("", value, loc, merging=False)

    def by_form(self, value: Any, loc: Location, *, merging: bool, secret: bool = False) -> Any:
        """A value under names that say nothing, such as a schema's default: its form decides.

        With ``secret``, it is of a parameter with a secret name: random-looking text is secret too.
        """
        if isinstance(value, dict) and not is_reference(value):
            return {
                name: self.by_form(member, (*loc, name), merging=merging, secret=secret)
                for name, member in value.items()
                if self._findings.is_storable(name, (*loc, name))
            }
        if isinstance(value, list):
            return [
                self.by_form(element, (*loc, i), merging=False, secret=secret)
                for i, element in enumerate(value)
            ]
        secret = secret and isinstance(value, str) and looks_random(value)
        return self.value("", value, loc, merging=merging, secret=secret)


def _is_secret(name: str) -> bool:
    """Whether a name makes all below it secret."""
    return bool(name) and verdict(name) is Verdict.YES


def _is_pair(element: Any) -> bool:
    """Whether an element of a list is ``[name, value]`` or ``[name, [value, ...]]``."""
    if not isinstance(element, list) or len(element) != 2:  # noqa: PLR2004  # a pair
        return False
    name, value = element
    texts = [name, *value] if isinstance(value, list) else [name, value]
    return all(type(text) is str or isinstance(text, Shown) for text in texts)
