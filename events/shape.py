"""The shape of the settings: their Structs as a tree that validation and defaults walk.

It is made from ``msgspec.inspect`` and from the marks that ``events.setting_types`` explains, once,
at import.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from hashlib import sha256
from operator import is_
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, inspect

from events.settings import Settings
from events.upcasters import GENERATION

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_CHOICE = 100  # characters; looking for near choices is slow


class Scalar(Struct, frozen=True, kw_only=True):
    """A string, number, boolean or literal; ``type`` is an annotation with the bounds."""

    type: Any
    nullable: bool
    secret: bool


class Record(Struct, frozen=True, kw_only=True, dict=True):
    """A typed object. If ``open``, it takes unknown members as free-form values."""

    members: dict[str, Member]
    nullable: bool
    open: bool

    @cached_property
    def inner(self) -> dict[str, Shape]:
        """The members that are typed objects, or hold typed objects."""
        shapes = {name: member.shape for name, member in self.members.items()}
        return {name: shape for name, shape in shapes.items() if holds_records(shape)}


class Listing(Struct, frozen=True, kw_only=True):
    """A list. It is one value, and replaced whole."""

    item: Shape
    nullable: bool
    natural_key: tuple[str, ...]


class Mapping(Struct, frozen=True, kw_only=True):
    """An object with any names, and values of one shape."""

    value: Shape
    nullable: bool


class FreeForm(Struct, frozen=True, kw_only=True):
    """An object with any names and any values. If ``replace``, members are replaced whole."""

    nullable: bool
    replace: bool


Shape = Scalar | Record | Listing | Mapping | FreeForm


class Member(Struct, frozen=True, kw_only=True):
    """A member of a ``Record``."""

    shape: Shape
    required: bool
    default: Any  # JSON value; never changed in place
    null: str  # what null means in a body: ``ignored``, ``defaults``, or '' for null itself
    reads: str = ""  # how a value in a body is converted; '' if it is not
    group: str = ""  # the group in which pages show it; '' for the last
    label: str = ""  # what people call it; '' if its name says it
    description: str = ""  # one sentence about it
    unit: str = ""  # of its number
    effect: str = ""  # when a running call follows a change; '' for as the object around it


def holds_records(shape: Shape | None) -> bool:
    """Whether a shape is a typed object, or one of lists or maps of them."""
    match shape:
        case Listing(item=inner) | Mapping(value=inner):
            return holds_records(inner)
        case _:
            return isinstance(shape, Record)


def _shape(kind: inspect.Type, marks: dict[str, Any], *, nullable: bool = False) -> Shape:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            return _shape(inner, marks | (extra or {}), nullable=nullable)
        case inspect.UnionType(types=types):
            (inner,) = (t for t in types if not isinstance(t, inspect.NoneType))
            return _shape(inner, marks, nullable=True)
        case inspect.StructType(fields=fields):
            members = {field.name: _member(field) for field in fields}
            return Record(members=members, nullable=nullable, open=marks.get("open", False))
        case inspect.ListType(item_type=item):
            natural_key = marks.get("natural_key", ())
            return Listing(item=_shape(item, {}), nullable=nullable, natural_key=natural_key)
        case inspect.DictType() if marks.get("free_form"):
            return FreeForm(nullable=nullable, replace=marks.get("replace", False))
        case inspect.DictType(value_type=value):
            return Mapping(value=_shape(value, {}), nullable=nullable)
        case _:
            secret = marks.get("secret", False)
            return Scalar(type=_scalar_type(kind), nullable=nullable, secret=secret)


def _scalar_type(kind: inspect.Type) -> Any:
    match kind:
        case inspect.BoolType():
            return bool
        case inspect.IntType(ge=ge, le=le):
            return Annotated[int, Meta(ge=ge, le=le)]
        case inspect.FloatType(ge=ge, le=le):
            return Annotated[float, Meta(ge=ge, le=le)]
        case inspect.StrType(min_length=shortest, max_length=longest):
            return Annotated[str, Meta(min_length=shortest, max_length=longest)]
        case inspect.LiteralType(values=values):
            return Literal[values]
        case _:
            raise TypeError(f"a setting of a type that has no shape: {kind}")


def _member(field: inspect.Field) -> Member:
    default: Any = None
    if field.default is not msgspec.NODEFAULT:
        default = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.to_builtins(field.default_factory())
    marks = _marks(field.type)
    return Member(
        shape=_shape(field.type, {}),
        required=field.required,
        default=default,
        null=marks.get("null", ""),
        reads=marks.get("reads", ""),
        group=marks.get("group", ""),
        label=marks.get("label", ""),
        description=marks.get("description", ""),
        unit=marks.get("unit", ""),
        effect=marks.get("effect", ""),
    )


def _marks(kind: inspect.Type) -> dict[str, Any]:
    match kind:
        case inspect.Metadata(type=inner, extra=extra, extra_json_schema=schema):
            about = (
                {"description": schema["description"]} if schema and "description" in schema else {}
            )
            return about | (extra or {}) | _marks(inner)
        case inspect.UnionType(types=types):
            return {name: mark for t in types for name, mark in _marks(t).items()}
        case _:
            return {}


def _root() -> Record:
    root = _shape(inspect.type_info(Settings), {})
    if not isinstance(root, Record):
        raise TypeError("Settings is a Struct")
    return root


SETTINGS = _root()


# The state does not depend on these.
_SHOWN_WITH = frozenset(("group", "label", "description", "unit", "effect"))


def _described(part: Any) -> Any:
    """A part of a shape as JSON, the same for all versions of Python and of the libraries."""
    match part:
        case Scalar(type=kind):
            choices = get_args(kind) if get_origin(kind) is Literal else None
            plain = "" if choices else getattr(kind, "__origin__", kind).__name__
            bounds = [dict(meta.__rich_repr__()) for meta in getattr(kind, "__metadata__", ())]
            return ["Scalar", plain, choices, bounds, part.nullable, part.secret]
        case Struct():
            members = msgspec.structs.asdict(part)
            about = {name: _described(members[name]) for name in members.keys() - _SHOWN_WITH}
            return [type(part).__name__, sorted(about.items())]
        case dict():
            return [[name, _described(member)] for name, member in part.items()]
        case _:
            return part


# Identifies the settings that a stored state was folded with: their names, order, types, bounds,
# defaults and marks, and the upcasters of older events.
DIGEST = sha256(msgspec.json.encode([GENERATION, _described(SETTINGS)])).hexdigest()[:16]


def natural_keys(
    shape: Shape = SETTINGS, at: tuple[str, ...] = ()
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By path, the lists whose elements have a natural key: the names of the key's members."""
    if isinstance(shape, Listing):
        return {at: shape.natural_key} if shape.natural_key else {}
    if not isinstance(shape, Record):
        return {}
    keys: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name, member in shape.members.items():
        keys |= natural_keys(member.shape, (*at, name))
    return keys


def find(place: tuple[str | int, ...]) -> Shape | None:
    """The shape of the value at a place of the settings; None inside free-form values."""
    shape: Shape | None = SETTINGS
    for token in place:
        shape = inside(shape, token)
    return shape


def inside(shape: Shape | None, token: str | int) -> Shape | None:
    """The shape of a member or an element; None inside free-form values."""
    match shape:
        case Record(members=members):
            return members[str(token)].shape if token in members else None
        case Listing(item=inner) | Mapping(value=inner):
            return inner
        case _:
            return None


def has(place: Iterable[str]) -> bool:
    """Whether settings can hold a value at a place; free-form values can hold any member."""
    return bool(matching(place, any_member=None))


def matching(place: Iterable[str], any_member: str | None = "*") -> list[Shape | None]:
    """The shapes at a place, in which ``*`` is any member; None for a free-form value."""
    shapes: list[Shape | None] = [SETTINGS]
    for token in place:
        shapes = [inner for shape in shapes for inner in _inside(shape, token, any_member)]
    return shapes


def _inside(shape: Shape | None, token: str, any_member: str | None) -> list[Shape | None]:
    match shape:
        case Record(members=members) if token == any_member:
            return [member.shape for member in members.values()]
        case Record(members=members) if token in members:
            return [members[token].shape]
        case Listing(item=inner) | Mapping(value=inner):
            return [inner]
        case None | FreeForm() | Record(open=True):
            return [None]
        case _:
            return []


def takes_text(shape: Scalar) -> bool:
    """Whether a scalar takes any text: it is no number, boolean or literal."""
    return getattr(shape.type, "__origin__", shape.type) is str


def nearest(shape: Shape | None, value: Any) -> Any:
    """The valid value that is nearest to an invalid one; UNSET if none is near."""
    if not isinstance(shape, Scalar):
        return UNSET
    if get_origin(shape.type) is Literal:
        close = difflib.get_close_matches(str(value)[:_LONGEST_CHOICE], get_args(shape.type), n=1)
        return close[0] if close else UNSET
    for bounds in getattr(shape.type, "__metadata__", ()):
        near = _within(value, bounds)
        if near != value and _accepts(shape, near):
            return near
    return UNSET


def _accepts(shape: Scalar, value: Any) -> bool:
    try:
        msgspec.convert(value, shape.type)
    except msgspec.ValidationError:
        return False
    return True


def _within(value: Any, bounds: Meta) -> Any:
    if isinstance(value, str) and bounds.max_length is not None:
        return value[: bounds.max_length]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _clamp(value, bounds)
    return value


def _clamp(value: float, bounds: Meta) -> float:
    least, most = bounds.ge, bounds.le
    if least is not None and value < least:
        return least
    return most if most is not None and value > most else value


def with_defaults(value: Any, shape: Shape | None = SETTINGS) -> Any:
    """The value with defaults for the missing members of its typed objects."""
    match shape:
        case Record(members=members) if isinstance(value, dict):
            typed = {
                name: with_defaults(value[name], member.shape) if name in value else member.default
                for name, member in members.items()
            }
            return typed | {name: v for name, v in value.items() if name not in members}
        case Listing(item=item) if isinstance(value, list):
            return [with_defaults(element, item) for element in value]
        case Mapping(value=inner) if isinstance(value, dict):
            return {name: with_defaults(member, inner) for name, member in value.items()}
        case _:
            return value


def known(value: Any, shape: Shape | None = SETTINGS) -> Any:
    """The value without the members of typed objects that only another release knows.

    The same object where there are none.
    """
    match shape:
        case Record(members=members) if isinstance(value, dict):
            if not shape.open and not value.keys() <= members.keys():  # rare
                value = {name: member for name, member in value.items() if name in members}
            for name, inner in shape.inner.items():
                old = value.get(name)
                if old and (new := known(old, inner)) is not old:
                    value = value | {name: new}
            return value
        case Listing(item=item) if isinstance(value, list):
            news = [known(element, item) for element in value]
            return value if all(map(is_, value, news)) else news
        case Mapping(value=of) if isinstance(value, dict):
            members = {name: known(member, of) for name, member in value.items()}
            return value if all(map(is_, value.values(), members.values())) else members
        case _:
            return value


def are_known(settings: bytes) -> bool:
    """Whether settings, as JSON, hold no member that ``known`` leaves out; reads them once.

    Also False for settings of a form that this release does not have.
    """
    try:
        _KNOWN.decode(settings)
    except msgspec.ValidationError:
        return False
    return True


def _reader(shape: Shape) -> Any:
    """A type that reads a value of the shape, and makes no objects of what it holds."""
    kind: Any = msgspec.Raw
    match shape:
        case Record(members=members):
            fields = [(name, _reader(one.shape), _UNSET) for name, one in members.items()]
            kind = msgspec.defstruct("Known", fields, forbid_unknown_fields=not shape.open) | None
        case Listing(item=item) if holds_records(item):
            kind = list[_reader(item)] | None  # type: ignore[misc]  # made at run time
        case Mapping(value=of) if holds_records(of):
            kind = dict[str, _reader(of)] | None  # type: ignore[misc]
        case _:
            pass
    return kind


_UNSET = msgspec.field(default=UNSET)
_KNOWN = msgspec.json.Decoder(_reader(SETTINGS))
