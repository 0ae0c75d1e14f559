"""All settings as fields of forms, in groups: derived from the settings, so a new one appears.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import replace

from app.console.field import Field, Kind, text_of
from app.console.formatting import labels
from app.console.line_ends import as_typed
from events import shape
from events.derived import COMPUTED
from events.pointers import join
from events.settings import GROUPS
from events.shape import Listing, Record, Scalar, Shape, takes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_GENERAL = "General"  # the last group: settings that name no other
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


def groups(settings: Mapping[str, Any]) -> list[Group]:
    """All settings of an assistant, as the API shows them."""
    titled = {
        title: [field for name in names for field in _fields_of(name, settings)]
        for title, names in _names_by_group().items()
    }
    for fields in titled.values():  # a heading ends nowhere: fields without one come first
        fields.sort(key=lambda field: bool(field.section))
    return [Group(title=title, fields=fields) for title, fields in titled.items() if fields]


def _names_by_group() -> dict[str, list[str]]:
    """The names of the settings by the title of their group, the general group last."""
    names: dict[str, list[str]] = {title: [] for title in GROUPS}
    general = names.setdefault(_GENERAL, [])
    for name, member in shape.SETTINGS.members.items():
        if name not in _NOT_FIELDS:
            (names.setdefault(member.group, []) if member.group else general).append(name)
    names[_GENERAL] = names.pop(_GENERAL)
    return names


def all_fields(settings: Mapping[str, Any]) -> list[Field]:
    """The fields of all groups."""
    return [field for group in groups(settings) for field in group.fields]


def _fields_of(name: str, settings: Mapping[str, Any]) -> Iterator[Field]:
    return _fields(shape.SETTINGS.members[name].shape, (name,), settings.get(name))


def _fields(inner: Shape, at: tuple[str, ...], value: Any) -> Iterator[Field]:
    """The fields of a setting: of a record, those of its members."""
    if isinstance(inner, Record):
        members = value if isinstance(value, dict) else {}
        for name, member in inner.members.items():
            yield from _fields(member.shape, (*at, name), members.get(name))
    else:
        yield _field(inner, at, value)


def _field(inner: Scalar | Any, at: tuple[str, ...], value: Any) -> Field:
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
