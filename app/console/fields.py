"""The settings as fields of forms: derived from their Structs, so a new setting appears by itself.

Pure: an assistant's settings go in, fields come out; a form's texts go in, a merge patch comes out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct

from app.console.showing import words
from events import shape
from events.credentials import Verdict, is_mask, verdict
from events.errors import InvalidSettings, MalformedJSON
from events.merging import Replace
from events.parsing import parse
from events.patch import read_patch
from events.pointers import covers, join, put, split
from events.secret_paths import under_policy
from events.secrets import Kept, Plain, read_text
from events.shape import Listing, Record, Scalar, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from events.policy import Policy

Kind = Literal["text", "long", "integer", "number", "switch", "choice", "lines", "json", "secret"]

# What people look for together. A setting that is named nowhere is general.
_GROUPS: dict[str, tuple[str, ...]] = {
    "Model and prompt": (
        "llm_settings", "llm_provider", "llm_provider_config", "llm_fallback_providers",
    ),
    "Voice": ("tts_settings", "tts_limit", "backchannel_settings"),
    "Transcription": ("stt_settings", "stt_limit"),
    "Calling": (
        "interruption_settings", "idle_message", "max_idle_messages", "idle_timeout",
        "max_call_length", "end_call_message", "transfer_call_message",
        "conversation_continuity_enabled", "bypass_numbers",
    ),
    "Tools": ("tools_settings",),
    "Knowledge": ("rag_settings",),
    "After the call": (
        "webhook_url", "webhook_headers", "sms_webhook_url", "messaging_service_sid",
    ),
    "Safety": ("recording_settings", "api_keys"),
}  # fmt: skip
_GENERAL = "General"
_ELSEWHERE = frozenset(("is_active",))  # has a switch of its own
_LONG = re.compile(r"prompt|message|text|description")
_INTEGER = re.compile(r"-?\d{1,20}")
_NUMBER = re.compile(r"-?(\d{1,20}(\.\d{1,20})?|\.\d{1,20})")
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
    choices: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What names it on a page."""
        return "f" + self.path.replace("/", "-")


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
    named = {name for names in _GROUPS.values() for name in names} | _ELSEWHERE
    general = tuple(name for name in shape.SETTINGS.members if name not in named)
    return [
        Group(title=title, fields=[f for name in names for f in _of(name, settings)])
        for title, names in {**_GROUPS, _GENERAL: general}.items()
    ]


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
    kind = _kind(one, at[-1], value)
    bounds = next(iter(getattr(getattr(one, "type", None), "__metadata__", ())), msgspec.Meta())
    return Field(
        path=join(at),
        section=" \u203a ".join(words(token) for token in at[:-1]),
        label=words(at[-1]),
        kind=kind,
        nullable=one.nullable,
        value=value,
        text=_text(kind, value),
        least=bounds.ge,
        most=bounds.le,
        longest=bounds.max_length,
        choices=get_args(one.type) if kind == "choice" else (),
    )


def _kind(one: Shape, name: str, value: Any) -> Kind:
    match one:
        case Scalar(secret=True):
            return "secret"
        case Scalar(type=kind):
            return _scalar_kind(kind, name, value)
        case Listing(item=Scalar()) if not any(map(_has_lines, value or ())):
            return "lines"
        case _:
            return "json"


def _scalar_kind(kind: Any, name: str, value: Any) -> Kind:
    if get_origin(kind) is Literal:
        return "choice"
    base = getattr(kind, "__origin__", kind)
    simple: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    is_long = _LONG.search(name) or _has_lines(value)
    return simple.get(base, "long" if is_long else "text")


def _text(kind: Kind, value: Any) -> str:
    if value is None or kind == "secret":
        return ""
    match kind:
        case "switch":
            return "on" if value else "off"
        case "lines":
            return "\n".join(map(str, value))
        case "json":
            return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        case _:
            return as_typed(str(value))


def as_typed(text: str) -> str:
    """A text as forms send it, with one kind of line ends: browsers know no other."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _has_lines(value: Any) -> bool:
    return "\n" in as_typed(str(value))


class Wanted(Struct, frozen=True, kw_only=True):
    """What a form wants changed: a merge patch, and what could not be read, by path."""

    patch: dict[str, Any]
    errors: dict[str, str]
    paths: list[str]


def wanted(found: list[Field], form: Mapping[str, list[str]]) -> Wanted:
    """What a form changes; a field that it does not have, or left as it was, is kept."""
    patch: dict[str, Any] = {}
    errors: dict[str, str] = {}
    paths = []
    for one in found:
        try:
            value = _wanted(one, form)
        except MalformedJSON as error:
            errors[one.path] = f"This is no JSON: {error}"
            continue
        if value is not UNSET:
            paths.append(one.path)
            patch = put(patch, one.path, value)
    return Wanted(patch=patch, errors=errors, paths=paths)


def _wanted(one: Field, form: Mapping[str, list[str]]) -> Any:
    if CLEAR + one.path in form:
        return None
    text = form.get(one.path, [one.text])[0]
    if text == one.text:
        return UNSET
    value = _value(one, text)
    return merge_patch(one.value, value) if one.kind == "json" else value


def _value(one: Field, text: str) -> Any:
    """What a text stands for; one that stands for nothing is sent as it is, and refused."""
    match one.kind:
        case "lines":
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return lines or (None if one.nullable else [])
        case "json":
            return parse(text.encode()) if text.strip() else None
        case _ if not text and (one.nullable or one.kind not in ("text", "long")):
            return None
        case "switch":
            return _SWITCH.get(text, text)
        case "integer" if _INTEGER.fullmatch(text):
            return int(text)
        case "number" if _NUMBER.fullmatch(text):
            return float(text)
        case _:
            return text


def typed_secrets(found: list[Field], form: Mapping[str, list[str]], policy: Policy) -> list[Field]:
    """The fields in which somebody typed a secret: no page holds it."""
    return [
        one
        for one in found
        if CLEAR + one.path not in form
        and (text := form.get(one.path, [one.text])[0]) != one.text
        and (one.kind == "secret" or _hides(one, text, policy))
    ]


def _hides(one: Field, text: str, policy: Policy) -> bool:
    """Whether the API would seal something of a text; guessed for one that it cannot read."""
    if one.kind not in _HIDING:
        return False
    try:
        value = _value(one, text)
        patch = read_patch(put({}, one.path, value))
        return _seals(under_policy(patch.tree, policy)) or _replaces_hidden(one.value, value)
    except (MalformedJSON, InvalidSettings):
        parts = _BETWEEN.split(text) if one.kind == "json" else text.split("\n")
        has_form = any(isinstance(read_text(each), Plain) for each in parts)
        is_ruled = bool(policy.secret_paths)
        return has_form or (one.kind == "json" and (is_ruled or any(map(_may_be_named_so, parts))))


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


def merge_patch(before: Any, after: Any) -> Any:
    """What turns one JSON value into another (RFC 7396)."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone = dict.fromkeys(before.keys() - after.keys())
    changed = {
        name: merge_patch(before.get(name), value)
        for name, value in after.items()
        if name not in before or before[name] != value
    }
    return gone | changed


def take_out(tree: dict[str, Any], path: str) -> None:
    """Remove a path, where it is, and what would be empty without it: that would make an object."""
    _take_out(tree, split(path))


def _take_out(tree: dict[str, Any], names: tuple[str, ...]) -> None:
    name, *below = names
    inner = tree.get(name)
    if below and isinstance(inner, dict):
        _take_out(inner, tuple(below))
    if not below or inner == {}:
        tree.pop(name, None)


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
