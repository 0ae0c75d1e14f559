"""Validation: values against types, and the errors that name each broken rule."""

from __future__ import annotations

import difflib
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from events import pointers
from events.errors import FieldError, InvalidSettings, Location
from events.pointers import POINTER, POINTER_BELOW, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


T = TypeVar("T", bound=Struct)
MOST_ERRORS = 100  # one answer names no more
_LONGEST_NAME = 100


def read_struct(kind: type[T], body: Any, *, strict: bool = False) -> T:
    """A small body as its Struct; raises ``InvalidSettings`` with an error for each member.

    ``strict`` refuses a text for a number or a boolean: where rights are at stake, nothing is
    guessed.
    """
    try:
        return msgspec.convert(body, kind, strict=strict)
    except msgspec.ValidationError as error:
        if not isinstance(body, dict):
            message = "Input should be a valid object"
            errors = [FieldError(loc=("body",), msg=message, type="model_attributes_type")]
        else:
            errors = [
                e
                for m in msgspec.structs.fields(kind)
                for e in _member_errors(m, body, strict=strict)
            ]
            errors += _unknown_members(kind, body)
        raise InvalidSettings(tuple(errors) or (_error_of(error, ("body",), kind),)) from None


def read_list(body: Any, kind: Any, most: int) -> list[Any]:
    """A body that is a list of at most so many values; raises ``InvalidSettings`` for each."""
    if not isinstance(body, list):
        error = FieldError(loc=("body",), msg="Input should be a valid list", type="list_type")
        raise InvalidSettings((error,))
    if len(body) > most:
        message = f"List should have at most {most} items"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_long"),))
    read: list[Any] = []
    errors: list[FieldError] = []
    for position, value in enumerate(body):
        try:
            read.append(msgspec.convert(value, kind, strict=False))
        except msgspec.ValidationError as error:
            errors.append(_error_of(error, ("body", position), kind))
    if errors:
        raise InvalidSettings(tuple(errors[:MOST_ERRORS]))
    return read


def _unknown_members(kind: type[Struct], body: Tree) -> Iterator[FieldError]:
    """An error for each member that a Struct forbids because it is unknown."""
    if kind.__struct_config__.forbid_unknown_fields:
        unknown = (name for name in body if name not in kind.__struct_fields__)
        for name in islice(unknown, MOST_ERRORS):
            message = f"Unknown member{nearest_name_hint(name, kind.__struct_fields__)}"
            yield FieldError(loc=("body", name), msg=message, type="extra_forbidden")


def nearest_name_hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, if any is near."""
    nearest = difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def _member_errors(
    member: msgspec.structs.FieldInfo, body: Tree, *, strict: bool
) -> Iterator[FieldError]:
    loc = ("body", member.name)
    if member.name not in body:
        if member.required:
            yield FieldError(loc=loc, msg="Field required", type="missing")
        return
    try:
        msgspec.convert(body[member.name], member.type, strict=strict)
    except msgspec.ValidationError as error:
        yield _error_of(error, loc, member.type)


def _error_of(error: msgspec.ValidationError, loc: Location, kind: Any) -> FieldError:
    rule, _, place = str(error).partition(" - at `$")
    inside = tuple(
        int(token) if token.isdecimal() else token
        for token in re.split(r"[.\[\]]", place.rstrip("`"))
        if token
    )
    if named := _OF_A_MEMBER.fullmatch(rule):
        inside = (*inside, named[1])
    code, message = describe(rule, kind)
    return FieldError(loc=(*loc, *inside), msg=message, type=code)


_OF_A_MEMBER = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)


def describe(message: str, kind: Any = None) -> tuple[str, str]:
    """A message of msgspec as the (type, msg) of a ``FieldError``, as FastAPI's clients know them.

    No word of it is Python's. ``kind`` is the annotation that a value did not fit.
    """
    if message.startswith("Invalid enum value"):
        return "literal_error", f"Input should be {' or '.join(map(repr, _choices(kind)))}"
    for pattern, code, text in _DESCRIPTIONS:
        if match := re.match(pattern, message):
            return code.format(*match.groups()), text.format(*match.groups())
    if match := re.match(r"Expected `([^`]+)`", message):
        expected = [_JSON_TYPES[word] for word in match[1].split(" | ") if word in _JSON_TYPES]
        if expected:
            names = " or ".join(name for _, name in expected)
            return f"{expected[0][0]}_type", f"Input should be a valid {names}"
    return "value_error", "Input should be a valid value"


def _choices(kind: Any) -> Iterator[Any]:
    """The choices of the literals in an annotation."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        for part in get_args(kind):
            yield from _choices(part)


# The type names of msgspec, with those in FastAPI's error codes and those of JSON.
_JSON_TYPES = {
    "int": ("int", "integer"),
    "float": ("float", "number"),
    "bool": ("bool", "boolean"),
    "str": ("string", "string"),
    "array": ("list", "list"),
    "object": ("dict", "object"),
}
_DESCRIPTIONS = (
    (rf"Expected `str` matching regex '(?:{re.escape(POINTER)}|{re.escape(POINTER_BELOW)})'", "json_pointer", pointers.RULE),
    (r"Expected `str` of length <= (\d+)", "string_too_long", "String should have at most {} characters"),
    (r"Expected `str` of length >= (1)$", "string_too_short", "String should have at least {} character"),
    (r"Expected `str` of length >= (\d+)", "string_too_short", "String should have at least {} characters"),
    (r"Expected `array` of length <= (\d+)", "too_long", "List should have at most {} items"),
    (r"Expected `array` of length >= (1)$", "too_short", "List should have at least {} item"),
    (r"Expected `array` of length >= (\d+)", "too_short", "List should have at least {} items"),
    (r"Expected `object` of length <= (\d+)", "too_long", "Object should have at most {} members"),
    (r"Expected `str` matching regex (.*)", "string_pattern_mismatch", "String should match pattern {}"),
    (r"Expected `\w+(?: \| null)?` >= (\S+)", "greater_than_equal", "Input should be greater than or equal to {}"),
    (r"Expected `\w+(?: \| null)?` <= (\S+)", "less_than_equal", "Input should be less than or equal to {}"),
    (r"Expected `int(?: \| null)?`, got `str`", "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    (r"Expected `int(?: \| null)?`, got `float`", "int_from_float", "Input should be a valid integer, got a number with a fractional part"),
    (r"Expected `float(?: \| null)?`, got `str`", "float_parsing", "Input should be a valid number"),
    (r"Expected `bool(?: \| null)?`, got `str`", "bool_parsing", "Input should be a valid boolean"),
    (r"Number out of range", "finite_number", "Input should be a finite number"),
    (r"Integer value out of range", "int_parsing_size", "Input should not be beyond 2^53"),
    (r"Object contains unknown field", "extra_forbidden", "Unknown member"),
    (r"(?:Invalid RFC3339|Expected `datetime)", "datetime_parsing", "Input should be a valid RFC 3339 date and time with a zone"),
    (r"(?:Missing|Object missing) required", "missing", "Field required"),
)  # fmt: skip
