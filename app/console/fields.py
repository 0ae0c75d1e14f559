"""The settings as fields of forms: derived from their Structs, so a new setting appears by itself.

Pure: an assistant's settings go in, fields come out; a form's texts go in, values come out.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.console.formatting import labels
from app.console.line_ends import as_typed, with_line_ends
from events import shape
from events.bodies.parsing import parse
from events.bodies.patch import read_patch
from events.bodies.untouched import untouched
from events.derived import COMPUTED
from events.errors import InvalidSettings, MalformedJSON
from events.merging import Replace
from events.pointers import covers, join, overlaps, put, same, split
from events.secret_paths import under_policy
from events.secrets.credential_names import Verdict, verdict
from events.secrets.masks import is_mask
from events.secrets.values import Kept, Plain, read_text
from events.settings import GROUPS
from events.shape import Listing, Record, Scalar, Shape, takes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from events.policy import Policy

Kind = Literal["text", "long", "integer", "number", "switch", "choice", "lines", "json", "secret"]

_GENERAL = "General"  # the last group: what names no other is in it
_ELSEWHERE = frozenset(("is_active",))  # has a switch of its own
_LONG = re.compile(r"prompt|message|text|description")
_INTEGER = re.compile(r"[-+]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(
    r"[-+]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE
)
_BETWEEN = re.compile(r"[\s\"',]+")
_HIDING = ("text", "long", "lines", "json")
_SWITCH = {"on": True, "off": False}
CLEAR = "clear:"  # before a secret's path: take it away


class Field(Struct, frozen=True, kw_only=True):
    """One setting: what it is, the value that it has, and that value as a form's text."""

    path: str
    section: str
    label: str
    kind: Kind
    nullable: bool
    value: Any
    text: str
    least: float | None = None
    most: float | None = None
    longest: int | None = None
    choices: tuple[Any, ...] = ()
    computed: bool = False  # from other settings: nobody edits it

    @property
    def id(self) -> str:
        """What names it on a page."""
        return "f" + self.path.replace("/", "-")

    @property
    def named(self) -> dict[str, Any]:
        """What may be chosen, by its text; what stands there is among it."""
        named = {str(choice): choice for choice in self.choices}
        return named | {self.text: self.value} if self.text else named


class Group(Struct, frozen=True, kw_only=True):
    """Settings that belong together."""

    title: str
    fields: list[Field]

    @property
    def id(self) -> str:
        """What names it on a page."""
        return self.title.lower().replace(" ", "-")


def groups(settings: Mapping[str, Any]) -> list[Group]:
    """All settings of an assistant, as it is shown."""
    names: dict[str, list[str]] = {title: [] for title in GROUPS}
    general = names.setdefault(_GENERAL, [])
    for name, member in shape.SETTINGS.members.items():
        if name not in _ELSEWHERE:
            (names.setdefault(member.group, []) if member.group else general).append(name)
    names[_GENERAL] = names.pop(_GENERAL)
    shown = {title: [f for name in of for f in _of(name, settings)] for title, of in names.items()}
    for found in shown.values():  # what is in no section would seem to be in the one above it
        found.sort(key=lambda one: bool(one.section))
    return [Group(title=title, fields=found) for title, found in shown.items() if found]


def every(settings: Mapping[str, Any]) -> list[Field]:
    """All fields, whatever they belong to."""
    return [one for group in groups(settings) for one in group.fields]


def _of(name: str, settings: Mapping[str, Any]) -> Iterator[Field]:
    return _fields(shape.SETTINGS.members[name].shape, (name,), settings.get(name))


def _fields(one: Shape, at: tuple[str, ...], value: Any) -> Iterator[Field]:
    if isinstance(one, Record):
        inner = value if isinstance(value, dict) else {}
        for name, member in one.members.items():
            yield from _fields(member.shape, (*at, name), inner.get(name))
    else:
        yield _field(one, at, value)


def _field(one: Scalar | Any, at: tuple[str, ...], value: Any) -> Field:
    *sections, label = labels(at)
    bounds = next(iter(getattr(getattr(one, "type", None), "__metadata__", ())), msgspec.Meta())
    kind = _kind(one, at[-1], value)
    field = Field(
        path=join(at),
        section=" \u203a ".join(sections),
        label=label,
        kind=kind,
        nullable=one.nullable,
        value=value,
        text=_text(kind, value),
        least=_unless(bounds.ge, lambda bound: value < bound, value),
        most=_unless(bounds.le, lambda bound: value > bound, value),
        longest=_unless(bounds.max_length, lambda bound: _width(value) > bound, value),
        choices=get_args(one.type) if kind == "choice" else (),
        computed=join(at) in COMPUTED,
    )
    if _gives_back(field):
        return field
    return replace(field, kind="json", text=_text("json", value))


def _gives_back(one: Field) -> bool:
    """Whether the control of a field, left alone, stands for the value that it shows."""
    if one.kind in ("secret", "json") or one.value is None or one.value in ("", []):
        return True
    read = _read(one, one.text)
    if one.kind in ("integer", "number"):  # a whole number is one of both kinds
        return not isinstance(read, str) and type(one.value) is not bool and read == one.value
    return same(read, one.value)


def _unless(bound: Any, is_beyond: Callable[[Any], bool], value: Any) -> Any:
    """A bound for the browser; none that what stands there is beyond, or no form could be sent."""
    if bound is None or value is None:
        return bound
    try:
        return None if is_beyond(bound) else bound
    except TypeError:  # it is of another type than today's
        return None


def _width(text: str) -> int:
    """The length of a text as browsers count it."""
    return len(text.encode("utf-16-le")) // 2


def _kind(one: Shape, name: str, value: Any) -> Kind:
    match one:
        case Scalar(secret=True):
            return "secret"
        case Scalar(type=kind):
            return _scalar_kind(kind, name, value)
        case Listing(item=Scalar(secret=False, nullable=False) as item) if takes_text(item):
            return "lines"
        case _:
            return "json"


def _scalar_kind(kind: Any, name: str, value: Any) -> Kind:
    if get_origin(kind) is Literal:
        return "choice"
    base = getattr(kind, "__origin__", kind)
    simple: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    is_long = _LONG.search(name) or "\n" in as_typed(str(value))
    return simple.get(base, "long" if is_long else "text")


def _text(kind: Kind, value: Any) -> str:
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


def edit_of(one: Field, form: Mapping[str, list[str]]) -> Any:
    """What a form makes of a field; UNSET where it leaves it as it was, or does not have it.

    Raises ``MalformedJSON``.
    """
    if one.computed:
        return UNSET
    if CLEAR + one.path in form:
        return UNSET if one.value is None else None
    text = form.get(one.path, [one.text])[0]
    if text == one.text:
        return UNSET
    value = _read(one, text)
    if one.kind == "lines" and not value and not one.value:
        return UNSET  # blank lines where there were none
    return UNSET if same(value, one.value) else value


def _read(one: Field, text: str) -> Any:
    """What a text stands for; one that stands for nothing is sent as it is, and refused."""
    match one.kind:
        case "lines":
            lines = [line for line in text.split("\n") if line]
            return lines or (None if one.nullable else [])
        case "json":
            return parse(text.encode(), len(split(one.path))) if text.strip() else None
        case _ if not text and (one.nullable or one.kind not in ("text", "long")):
            return None
        case "switch":
            return _SWITCH.get(text, text)
        case "choice":
            return one.named.get(text, text)
        case "integer" | "number":
            return _number(one, text)
        case _:
            return with_line_ends(one.value, text) if isinstance(one.value, str) else text


def _number(one: Field, text: str) -> Any:
    """The number that a text writes, of the kind that the setting has."""
    if one.kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if one.kind == "integer":
        return int(number) if number.is_integer() else text
    return number if isfinite(number) else text


def typed_secrets(found: list[Field], form: Mapping[str, list[str]], policy: Policy) -> list[Field]:
    """The fields in which a secret was typed: no page holds it."""
    return [
        one
        for one in found
        if CLEAR + one.path not in form
        and (text := form.get(one.path, [one.text])[0]) != one.text
        and (one.kind == "secret" or _hides(one, text, policy))
    ]


def _hides(one: Field, text: str, policy: Policy) -> bool:
    """Whether the API would seal something that was typed; guessed where it cannot be read."""
    if one.kind not in _HIDING:
        return False
    try:
        value = _read(one, text)
        sent = put({}, one.path, value)
        patch = under_policy(read_patch(sent).tree, policy)
        typed = untouched(patch, sent, put({}, one.path, one.value))
        return _seals(typed) or _replaces_hidden(one.value, value)
    except (MalformedJSON, InvalidSettings):
        return _may_hide(one, text, policy)


def _may_hide(one: Field, text: str, policy: Policy) -> bool:
    """Whether a text that cannot be read may hold a secret that its page did not show."""
    if is_hidden(one.value):  # what took a mask's place is not shown
        return True
    stood = {line for line in one.text.split("\n") if line[-1:] not in ("{", "[")}
    lines = [line for line in text.split("\n") if line not in stood]
    parts = [part for line in lines for part in _BETWEEN.split(line)]
    if any(isinstance(read_text(part), Plain) for part in (*lines, *parts)):
        return True
    if one.kind != "json":
        return False
    rules = (path.partition("/*")[0] for path in policy.secret_paths)
    return any(overlaps(rule, one.path) for rule in rules) or any(map(_may_be_named_so, parts))


def _may_be_named_so(text: str) -> bool:
    return verdict(text) is not Verdict.NO


def _seals(tree: Any) -> bool:
    if isinstance(tree, Replace):
        return _seals(tree.value)
    if isinstance(tree, dict):
        return any(map(_seals, tree.values()))
    if isinstance(tree, list):
        return any(map(_seals, tree))
    return isinstance(tree, Plain)


def _replaces_hidden(before: Any, after: Any) -> bool:
    """Whether a value takes the place of a mask: it is as secret as what that stands for."""
    if isinstance(before, dict) and isinstance(after, dict):
        return any(_replaces_hidden(before.get(name), value) for name, value in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return any(map(_replaces_hidden, before, after))
    return isinstance(before, str) and is_mask(before) and bool(after) and after != before


def can_differ(found: list[Field], path: str) -> bool:
    """Whether two people's changes of the fields can meet at a path: at, above or in one."""
    return bool(path) and any(
        covers(path, one.path) or (one.kind == "json" and covers(one.path, path)) for one in found
    )


def is_hidden(value: Any) -> bool:
    """Whether a value that was shown holds a mask: it cannot be sent back as what it was."""
    if isinstance(value, dict):
        return any(map(is_hidden, value.values()))
    if isinstance(value, list):
        return any(map(is_hidden, value))
    return isinstance(value, str) and isinstance(read_text(value), Kept)
