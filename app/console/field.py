"""One setting as a field of a form: its value as a text, and a text as a value. Pure."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, Struct

from app.console.line_ends import as_typed, with_line_ends
from events.bodies.parsing import parse
from events.pointers import same, split

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["text", "long", "integer", "number", "switch", "choice", "lines", "json", "secret"]

CLEAR = "clear:"  # before a secret's path: the name of the box that removes it
RESET = "reset:"  # before a path: the name of the button that resets it to its default
_INTEGER = re.compile(r"[-+]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(
    r"[-+]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE
)
_SWITCH = {"on": True, "off": False}


class Field(Struct, frozen=True, kw_only=True):
    """A setting: its path, its value, that value as a form's text, and what a form may set."""

    path: str
    section: str
    label: str
    kind: Kind
    nullable: bool
    value: Any
    text: str
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None  # as browsers count: UTF-16 code units
    choices: tuple[Any, ...] = ()
    computed: bool = False  # from other settings: no form edits it
    description: str = ""
    unit: str = ""
    default: Any = UNSET  # UNSET where there is none

    @property
    def id(self) -> str:
        """Its id on a page."""
        return "f" + self.path.replace("/", "-")

    @property
    def has_switch(self) -> bool:
        """Whether a switch shows its value: it is on or off, and nothing else."""
        return self.kind == "switch" and type(self.value) is bool

    @property
    def differs(self) -> bool:
        """Whether its value is not its default."""
        return self.default is not UNSET and not same(self.value, self.default)

    @property
    def default_text(self) -> str:
        """Its default as a form's text."""
        return text_of(self.kind, self.default)

    @property
    def options(self) -> dict[str, Any]:
        """The choices by their text, with the current value even where it is none of them."""
        options = {str(choice): choice for choice in self.choices}
        return options | {self.text: self.value} if self.text else options

    @property
    def is_unchanged_as_shown(self) -> bool:
        """Whether its text, sent back as it is, stands for its value."""
        if self.kind in ("secret", "json") or self.value is None or self.value in ("", []):
            return True
        value = value_of(self, self.text)
        if self.kind in ("integer", "number"):  # 1 and 1.0 have one text
            is_number = not isinstance(value, str) and type(self.value) is not bool
            return is_number and value == self.value
        return same(value, self.value)


def text_of(kind: Kind, value: Any) -> str:
    """A value as a form's text; '' for None and for every secret."""
    if value is None or kind == "secret":
        return ""
    match kind:
        case "switch":
            return "on" if value else "off"
        case "lines":
            return as_typed("\n".join(map(str, value)))
        case "json":
            return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        case _:
            return as_typed(str(value))


def typed_text(field: Field, form: Mapping[str, list[str]]) -> str:
    """A field's text in a form; the text that the page showed where the form has none."""
    return form.get(field.path, [field.text])[-1]  # a switch that is on sends "off" before


def edited_value(field: Field, form: Mapping[str, list[str]]) -> Any:
    """The value that a form gives a field; UNSET where it leaves the field as it is.

    Raises ``MalformedJSON``.
    """
    if field.computed:
        return UNSET
    if RESET + field.path in form:
        return field.default
    if CLEAR + field.path in form:
        return UNSET if field.value is None else None
    text = typed_text(field, form)
    if text == field.text:
        return UNSET
    value = value_of(field, text)
    if field.kind == "lines" and not value and not field.value:
        return UNSET  # blank lines in an empty list
    return UNSET if same(value, field.value) else value


def value_of(field: Field, text: str) -> Any:
    """The value that a text stands for.

    A text that cannot be read stays a text, for the API to refuse. Raises ``MalformedJSON``.
    """
    match field.kind:
        case "lines":
            lines = [line for line in text.split("\n") if line]
            return lines or (None if field.nullable else [])
        case "json":
            return parse(text.encode(), len(split(field.path))) if text.strip() else None
        case _ if not text and (field.nullable or field.kind not in ("text", "long")):
            return None
        case "switch":
            return _SWITCH.get(text, text)
        case "choice":
            return field.options.get(text, text)
        case "integer" | "number":
            return _number(field, text)
        case _:
            return with_line_ends(field.value, text) if isinstance(field.value, str) else text


def _number(field: Field, text: str) -> Any:
    """The number of a text, of the field's kind; the text itself where it is no such number."""
    if field.kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if field.kind == "integer":
        return int(number) if number.is_integer() else text
    return number if isfinite(number) else text
