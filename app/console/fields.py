"""All settings as fields of forms, in groups: derived from the settings, so a new one appears.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from msgspec import UNSET, Meta, Struct
from msgspec.structs import replace

from app.assistants.setting_labels import labels
from app.console import texts
from app.console.field import Field, Kind, text_of
from app.console.line_ends import as_typed
from events import shape
from events.derived import COMPUTED
from events.pointers import join
from events.settings import GROUPS
from events.shape import Listing, Member, Record, Scalar, Shape, takes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# What operators change on most days, in the order in which a page shows it.
_ESSENTIALS = (
    "/name", "/llm_settings/welcome_message", "/llm_settings/system_prompt", "/llm_provider",
    "/llm_provider_config/model", "/tts_settings/voice_id", "/tts_settings/speed",
    "/stt_settings/language", "/tools_settings/end_call/enabled",
    "/tools_settings/transfer_call/enabled", "/tools_settings/transfer_call/transfer_numbers",
    "/tools_settings/send_sms/enabled",
)  # fmt: skip
_NOT_FIELDS = frozenset(("is_active",))  # a button of its own switches it
_LONG = re.compile(r"prompt|message|text|description")


class Group(Struct, frozen=True, kw_only=True):
    """Settings that belong together."""

    title: str
    fields: list[Field]

    @property
    def id(self) -> str:
        """Its id on a page."""
        return self.title.lower().replace(" ", "-")

    @property
    def differing(self) -> int:
        """How many of its settings differ from their defaults."""
        return sum(field.differs for field in self.fields)


def groups(settings: Mapping[str, Any]) -> list[Group]:
    """All settings of an assistant, as the API shows them; each is in one group."""
    titled = {
        title: [field for name in names for field in _fields_of(name, settings)]
        for title, names in _names_by_group().items()
    }
    by_path = {field.path: field for fields in titled.values() for field in fields}
    essentials = [by_path[path] for path in _ESSENTIALS if path in by_path]
    found = [Group(title=texts.Assistant.essentials, fields=essentials)]
    for title, fields in titled.items():
        others = [field for field in fields if field.path not in _ESSENTIALS]
        others.sort(key=lambda field: bool(field.section))  # those without a heading come first
        found.append(Group(title=title, fields=others))
    return [group for group in found if group.fields]


def _names_by_group() -> dict[str, list[str]]:
    """The names of the settings by the title of their group, the general group first."""
    names: dict[str, list[str]] = {texts.Assistant.general: [], **{title: [] for title in GROUPS}}
    for name, member in shape.SETTINGS.members.items():
        if name not in _NOT_FIELDS:
            names.setdefault(member.group or texts.Assistant.general, []).append(name)
    return names


def all_fields(settings: Mapping[str, Any]) -> list[Field]:
    """The fields of all groups."""
    return [field for group in groups(settings) for field in group.fields]


def _fields_of(name: str, settings: Mapping[str, Any]) -> Iterator[Field]:
    member = shape.SETTINGS.members[name]
    default = UNSET if member.required else member.default
    return _fields(member, (name,), settings.get(name), default)


def _fields(member: Member, at: tuple[str, ...], value: Any, default: Any) -> Iterator[Field]:
    """The fields of a setting: of a record, those of its members."""
    if not isinstance(member.shape, Record):
        yield _field(member, at, value, default)
        return
    members = value if isinstance(value, dict) else {}
    for name, inner in member.shape.members.items():
        yield from _fields(
            inner, (*at, name), members.get(name), _default(name, inner, value, default)
        )


def _default(name: str, member: Member, record: Any, default: Any) -> Any:
    """The default of a record's member; ``default`` is that of the record, which may be None."""
    if isinstance(default, dict):
        return default.get(name, member.default)
    is_absent = not isinstance(record, dict)
    return None if is_absent or member.shape.nullable else member.default


def _field(member: Member, at: tuple[str, ...], value: Any, default: Any) -> Field:
    inner: Scalar | Any = member.shape
    *sections, label = labels(at)
    bounds = next(iter(getattr(getattr(inner, "type", None), "__metadata__", ())), Meta())
    kind = _kind(inner, at[-1], value)
    field = Field(
        path=join(at),
        section=" \u203a ".join(sections),
        label=label,
        kind=kind,
        nullable=inner.nullable,
        value=value,
        text=text_of(kind, value),
        minimum=_bound(bounds.ge, lambda bound: value < bound, value),
        maximum=_bound(bounds.le, lambda bound: value > bound, value),
        max_length=_bound(bounds.max_length, lambda bound: _utf16_length(value) > bound, value),
        choices=get_args(inner.type) if kind == "choice" else (),
        computed=join(at) in COMPUTED,
        description=member.description,
        unit=member.unit,
        default=UNSET if join(at) in COMPUTED else default,
    )
    if field.is_unchanged_as_shown:
        return field
    return replace(field, kind="json", text=text_of("json", value))


def _bound(bound: Any, is_broken: Callable[[Any], bool], value: Any) -> Any:
    """A bound for the browser; None where the current value breaks it.

    A browser sends no form with a value out of bounds, not even one that nobody touched.
    """
    if bound is None or value is None:
        return bound
    try:
        return None if is_broken(bound) else bound
    except TypeError:  # the value is of an older type
        return None


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _kind(inner: Shape, name: str, value: Any) -> Kind:
    match inner:
        case Scalar(secret=True):
            return "secret"
        case Scalar(type=scalar):
            return _scalar_kind(scalar, name, value)
        case Listing(item=Scalar(secret=False, nullable=False) as item) if takes_text(item):
            return "lines"
        case _:
            return "json"


def _scalar_kind(scalar: Any, name: str, value: Any) -> Kind:
    if get_origin(scalar) is Literal:
        return "choice"
    base = getattr(scalar, "__origin__", scalar)
    simple: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    is_long = _LONG.search(name) or "\n" in as_typed(str(value))
    return simple.get(base, "long" if is_long else "text")
