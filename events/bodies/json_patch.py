"""JSON Patch (RFC 6902) over the settings as readers see them: masked.

The library ``jsonpatch`` applies the operations. This module limits how much they may put in place,
and reports every malformed operation. ``events.bodies.documents`` decides about masks.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import jsonpatch
from msgspec import UNSET

from events import pointers
from events.bodies.documents import Document, size
from events.bodies.parsing import MAX_DEPTH, count
from events.bodies.validation import MOST_ERRORS
from events.errors import DomainError, FieldError, InvalidSettings, Location
from events.limits import LARGEST, MOST_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.bodies.patch import SettingsPatch
    from events.pointers import Tree

_MOST_OPERATIONS = 1000
_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}
_WRONG_ESCAPE = re.compile("~(?![01])")


class PatchTestFailed(DomainError):
    """The ``test`` operation at a position failed: its path holds another value."""

    def __init__(self, position: int, path: str) -> None:
        super().__init__(position, path)
        self.position = position
        self.path = path


def read_json_patch(
    body: Any, settings: Tree, erased_version: int = 0, *, strict: bool = False
) -> SettingsPatch:
    """Apply operations to stored settings; what they change is the patch.

    ``body`` is parsed JSON. Neither it nor ``settings`` is changed.
    Raises ``PatchTestFailed``, and ``InvalidSettings``: its places are those of an operation,
    ``("body", 2, "path")``, or those of the settings that would result.
    """
    before = Document(settings, erased_version)
    after = _applied(_operations(body), before.copy())
    return before.became(after, strict=strict)


# -- operations

_Rule = tuple[Location, str, str]  # where it is broken, the type and the message of its error
_TOO_MUCH = ("too_large", f"The operations put more than {LARGEST} bytes in place")
_TOO_MANY = ("too_many", f"The operations put more than {MOST_VALUES} values in place")
_TOO_DEEP = ("too_deep", f"The settings would be nested deeper than {MAX_DEPTH} levels")
_NO_PLACE = ("no_such_path", "There is no such place, or none for this operation")
_NO_OBJECT = ("model_attributes_type", "Input should be a valid object")


def _operations(body: Any) -> list[Tree]:
    if not isinstance(body, list):
        raise _invalid((("body",), "list_type", "Input should be a valid list of operations"))
    if len(body) > _MOST_OPERATIONS:
        message = f"A patch may hold at most {_MOST_OPERATIONS} operations"
        raise _invalid((("body",), "too_long", message))
    broken = (rule for i, sent in enumerate(body) for rule in _broken(sent, ("body", i)))
    if rules := tuple(itertools.islice(broken, MOST_ERRORS)):
        raise _invalid(*rules)
    return body


def _broken(sent: Any, at: Location) -> Iterator[_Rule]:
    if not isinstance(sent, dict):
        yield at, *_NO_OBJECT
        return
    kind = sent.get("op", UNSET)
    if kind is UNSET:
        yield (*at, "op"), "missing", "Field required"
    elif not isinstance(kind, str) or kind not in _MEMBERS:
        yield (*at, "op"), "literal_error", f"Input should be {' or '.join(map(repr, _MEMBERS))}"
    else:
        for name in _MEMBERS[kind]:
            yield from _broken_member(sent, name, (*at, name))


def _broken_member(sent: Tree, name: str, at: Location) -> Iterator[_Rule]:
    if name not in sent:
        yield at, "missing", "Field required"
    elif name != "value" and not isinstance(sent[name], str):
        yield at, "string_type", "Input should be a valid string"
    elif name != "value" and not _is_pointer(sent[name]):
        yield at, "json_pointer", "Input should be a JSON Pointer, such as /llm_settings/top_p"


def _is_pointer(text: str) -> bool:
    return (not text or text[0] == "/") and not _WRONG_ESCAPE.search(text)


def _applied(operations: list[Tree], document: Tree) -> Tree:
    """The document after the operations. It is changed in place, or replaced by one of them."""
    room, values = LARGEST, MOST_VALUES
    for position, operation in enumerate(operations):
        at = ("body", position)
        for value in _put(operation, document, at):
            values -= count(value)
            if values < 0:
                raise _invalid((at, *_TOO_MANY))
            room -= size(value)
            if room < 0:
                raise _invalid((at, *_TOO_MUCH))
        document = _after(operation, document, at)
    return document


def _put(operation: Tree, document: Tree, at: Location) -> Iterator[Any]:
    """The value that an operation puts in place: repeated copies must not grow without end."""
    if operation["op"] == "remove":
        return
    if operation["op"] == "test":
        _value_at(operation["path"], document, (*at, "path"))
        return
    value = operation.get("value")
    if operation["op"] in ("move", "copy"):
        value = _value_at(operation["from"], document, (*at, "from"))
    if not _fits(value, MAX_DEPTH - operation["path"].count("/")):
        raise _invalid((at, *_TOO_DEEP))
    yield value


def _value_at(path: str, document: Tree, at: Location) -> Any:
    try:
        pointer = jsonpatch.JsonPointer(path)
        holder, name = pointer.to_last(document)
        if name == "-" and isinstance(holder, list):  # the position after the last element
            raise _invalid((at, *_NO_PLACE))
        return holder if name is None else pointer.walk(holder, name)
    except jsonpatch.JsonPointerException:
        raise _invalid((at, *_NO_PLACE)) from None


def _after(operation: Tree, document: Tree, at: Location) -> Tree:
    # The library's errors hold the document itself, secrets included: they are never passed on.
    if operation["op"] == "test":  # the library's own test takes true for 1
        if not pointers.alike(_value_at(operation["path"], document, at), operation["value"]):
            raise PatchTestFailed(int(at[-1]), operation["path"])
        return document
    try:
        document = jsonpatch.apply_patch(document, [operation], in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        raise _invalid(((*at, "path"), *_NO_PLACE)) from None
    if not isinstance(document, dict):
        raise _invalid((at, *_NO_OBJECT))
    return document


def _fits(value: Any, levels: int) -> bool:
    """Whether a value is nested no deeper than so many levels."""
    if not isinstance(value, dict | list):
        return True
    members: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_fits(member, levels - 1) for member in members)


def _invalid(*broken: _Rule) -> InvalidSettings:
    return InvalidSettings(tuple(FieldError(loc=at, type=kind, msg=m) for at, kind, m in broken))
