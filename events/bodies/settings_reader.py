"""Reads the settings of a body along their shape: checks, converts, and finds the secrets."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
from msgspec import UNSET

from events import shape
from events.assistant_bodies import READ_ONLY
from events.bodies import parsing
from events.bodies.findings import Findings
from events.bodies.free_form_reader import FreeFormReader
from events.bodies.parsing import MAX_SAFE_INTEGER
from events.bodies.reasons import REASON, clean_reason
from events.bodies.validation import MOST_ERRORS, describe, nearest_name_hint
from events.errors import Location, MalformedJSON
from events.merging import Replace
from events.pointers import Tree, is_reference
from events.secrets.masks import is_mask
from events.secrets.values import KEPT, Kept, Plain, Shown
from events.setting_types import Reason
from events.shape import SETTINGS

_TRUE = frozenset(("y", "yes", "t", "on"))
_FALSE = frozenset(("n", "no", "f", "off"))
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_NUMBER_SEPARATORS = re.compile(r"[\s\-.()\[\]{}]")


class SettingsReader:
    """Walks one body along the shape of the settings, and collects what it finds.

    ``strict`` makes unknown members errors. ``stored`` says that these are stored settings: they
    may hold references, and nothing is changed. ``whole`` says that values take the place of the
    stored ones, so that null is a value. ``with_reason`` says that the body may hold a reason.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        stored: bool = False,
        whole: bool = False,
        with_reason: bool = False,
    ) -> None:
        self.reason: str | None = None
        self.findings = Findings()
        self._free_form = FreeFormReader(self.findings, stored=stored, whole=whole)
        self._with_reason = with_reason
        self._strict = strict
        self._stored = stored
        self._whole = whole
        self._merging = not whole  # outside of lists: null removes a free-form member

    # -- the body as a whole, and stored settings

    def check_stored(self, settings: Tree) -> None:
        """Hold stored settings against today's rules."""
        self._record(SETTINGS, settings, ("body",))
        for name, member in SETTINGS.members.items():
            if member.reads == "phone_numbers" and isinstance(settings[name], list):
                self._phone_numbers(settings[name], ("body", name))
            if member.reads == "schema" and isinstance(settings[name], dict):
                self._with_parsed_schema(settings[name], ("body", name))

    def patch(self, body: Tree) -> Tree:
        """The settings of a body, as a tree for ``events.patching``."""
        tree: Tree = {}
        for name, value in body.items():
            loc = ("body", name)
            if name == REASON and self._with_reason:
                self.reason = self.read_reason(value, loc)
            elif (member := SETTINGS.members.get(name)) is not None:
                read = self._top_level(member, value, loc)
                if read is not UNSET:
                    tree[name] = read
            elif name not in READ_ONLY:
                self._unknown(SETTINGS, name, loc)
        return tree

    def read_reason(self, value: Any, loc: Location) -> str | None:
        """A reason without blanks around it, and without a secret."""
        if value is None:
            return None
        read = self._scalar(shape.Scalar(type=Reason, nullable=False, secret=False), value, loc)
        return clean_reason(str(value)) if isinstance(read, str | Plain | Kept) else None

    def _top_level(self, member: shape.Member, value: Any, loc: Location) -> Any:
        if isinstance(value, str):
            trimmed = value.strip()
            value = trimmed if member.reads == "trimmed" else (value if trimmed else None)
        if value is UNSET:
            value = None
            if member.null == "ignored":
                self.findings.error(loc, "not_removable", "This member cannot be removed")
        if value is None and member.null == "ignored":
            return UNSET
        if value is None and member.null == "defaults":
            return Replace(member.default)
        if member.reads == "schema" and isinstance(value, dict):
            value = self._with_parsed_schema(value, loc)
        read = self._value(member.shape, value, loc)
        if member.reads == "phone_numbers" and isinstance(read, list):
            return self._phone_numbers(read, loc)
        return read

    def _with_parsed_schema(self, value: Tree, loc: Location) -> Tree:
        schema = value.get("structured_data_schema")
        if isinstance(schema, str):
            try:
                schema = parsing.parse(schema.encode(), depth=2)  # in the body, in custom_settings
            except MalformedJSON as error:
                self.findings.error((*loc, "structured_data_schema"), "json_invalid", error.rule)
                return value
            value = value | {"structured_data_schema": schema}
        if schema is not None and not isinstance(schema, dict):
            message = "Input should be an object, or a JSON string of one"
            self.findings.error((*loc, "structured_data_schema"), "dict_type", message)
        return value

    def _phone_numbers(self, numbers: list[Any], loc: Location) -> list[str]:
        texts = [number if isinstance(number, str) else "" for number in numbers]
        stripped = [_NUMBER_SEPARATORS.sub("", text) for text in texts]
        for position, number in enumerate(stripped):
            # A value that is no string has its error already; a URL with a secret is a string.
            if isinstance(numbers[position], str | Plain | Kept) and not _E164.fullmatch(number):
                message = "Input should be a phone number in E.164 form, such as +14155551234"
                self.findings.error((*loc, position), "string_pattern_mismatch", message)
        return list(dict.fromkeys(stripped))

    # -- values, by shape

    def _value(self, kind: shape.Shape, value: Any, loc: Location) -> Any:
        if value is None and kind.nullable:
            return None
        if isinstance(value, Shown):
            return value.kept()
        match kind:
            case shape.Scalar():
                return self._scalar(kind, value, loc)
            case shape.Record() if isinstance(value, dict):
                return self._record(kind, value, loc)
            case shape.Listing() if isinstance(value, list):
                return [self._element(kind, item, (*loc, i)) for i, item in enumerate(value)]
            case shape.Mapping() if isinstance(value, dict):
                return self._mapping(kind, value, loc)
            case shape.FreeForm() if isinstance(value, dict):
                return self._free_form_map(kind, value, loc)
            case shape.Listing():
                self.findings.error(loc, "list_type", "Input should be a valid list")
            case shape.Record():
                self.findings.error(loc, "model_attributes_type", "Input should be a valid object")
            case _:
                self.findings.error(loc, "dict_type", "Input should be a valid object")
        return value

    def _record(self, kind: shape.Record, value: Tree, loc: Location) -> Tree:
        tree = {}
        for name, sent in value.items():
            at = (*loc, name)
            if member := kind.members.get(name):
                tree[name] = self._value(member.shape, sent, at)
            elif not kind.open:
                self._unknown(kind, name, at)
            elif self.findings.is_storable(name, at):
                tree[name] = self._free_form.value(name, sent, at, merging=not self._whole)
        return tree

    def _element(self, kind: shape.Listing, value: Any, loc: Location) -> Any:
        if isinstance(kind.item, shape.Record) and isinstance(value, dict):
            for name, member in kind.item.members.items():
                if member.required and name not in value:
                    self.findings.error((*loc, name), "missing", "Field required")
        if isinstance(kind.item, shape.FreeForm) and isinstance(value, dict):
            return self._free_form.plain_members(value, loc)
        merging, self._merging = self._merging, False
        try:
            return self._value(kind.item, value, loc)
        finally:
            self._merging = merging

    def _mapping(self, kind: shape.Mapping, value: Tree, loc: Location) -> Tree:
        secret = isinstance(kind.value, shape.Scalar) and kind.value.secret
        return {
            name: UNSET
            if secret and not self._stored and (sent is None or sent == "")
            else self._value(kind.value, sent, (*loc, name))
            for name, sent in value.items()
            if self.findings.is_storable(name, (*loc, name))
        }

    def _free_form_map(self, kind: shape.FreeForm, value: Tree, loc: Location) -> Tree:
        if kind.replace and self._whole:
            return {
                name: self._custom_setting(name, sent, (*loc, name))
                for name, sent in value.items()
                if self.findings.is_storable(name, (*loc, name))
            }
        if not self._merging:
            return self._free_form.plain_members(value, loc)
        if not kind.replace:
            return self._free_form.merged_members(value, loc)
        return {
            name: UNSET
            if sent is None and not self._stored
            else Replace(self._custom_setting(name, sent, (*loc, name)))
            for name, sent in value.items()
            if self.findings.is_storable(name, (*loc, name))
        }

    def _custom_setting(self, name: str, value: Any, loc: Location) -> Any:
        if name == "structured_data_schema" and isinstance(value, dict):
            return self._free_form.by_form(value, loc, merging=False)
        return self._free_form.value(name, value, loc, merging=False)

    def _scalar(self, kind: shape.Scalar, value: Any, loc: Location) -> Any:
        if self._stored and is_reference(value):
            return value
        if kind.secret:
            if value == "" and kind.nullable:
                return None
            if isinstance(value, str) and is_mask(value):
                return KEPT
            self.findings.count_secret()
        if isinstance(value, str):
            value = _boolean_word(value) if kind.type is bool else value
        try:
            read = msgspec.convert(value, kind.type, strict=False)
        except msgspec.ValidationError as error:
            self.findings.error(loc, *describe(str(error), kind.type))
            return value
        self._check_number(read, loc)
        if kind.secret:
            return Plain(read)
        return self._free_form.text(read, loc) if isinstance(read, str) else read

    def _check_number(self, number: Any, loc: Location) -> None:
        if isinstance(number, float) and not math.isfinite(number):
            self.findings.error(loc, "finite_number", "Input should be a finite number")
        if type(number) is int and abs(number) > MAX_SAFE_INTEGER:
            self.findings.error(loc, "int_parsing_size", "Input should not be beyond 2^53")

    def _unknown(self, kind: shape.Record, name: str, loc: Location) -> None:
        if not self._strict:
            self.findings.ignore(loc)
        elif len(self.findings.errors) < MOST_ERRORS:  # looking for near names is slow
            hint = nearest_name_hint(name, kind.members)
            self.findings.error(loc, "extra_forbidden", f"Unknown member{hint}")


def _boolean_word(text: str) -> str | bool:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else text
