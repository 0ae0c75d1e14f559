"""What a client's body says: read, checked and normalized before anything is decided.

All broken rules of a body are collected, so that one answer names them all. A patch is a
tree for ``events.merging``: UNSET removes a member, ``Replace`` sets a whole subtree, ``Plain`` is a secret on its way to the vault and ``KEPT`` is a mask sent back.
"""

from __future__ import annotations

import difflib
import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from events import pointers, shape
from events.bodies import parsing
from events.bodies.parsing import MAX_SAFE_INTEGER
from events.bodies.value_schemas import Within, holds_schema, is_schema, within_schema
from events.errors import FieldError, InvalidSettings, Location, MalformedJSON
from events.merging import Replace
from events.pointers import MARK, POINTER, POINTER_BELOW, Paths, Tree, is_reference, join
from events.secrets.credential_names import (
    MASK,
    Verdict,
    is_ambiguous,
    is_cookie,
    is_mask,
    looks_random,
    named_value,
    only_describes,
    speaks_of_credential,
    verdict,
)
from events.secrets.references import (
    AT,
    KEPT,
    URL,
    Kept,
    Plain,
    place_of,
    read_text,
    shown_reference,
)
from events.settings import READ_ONLY, Reason
from events.shape import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T", bound=Struct)

REASON = "change_description"
MOST_ERRORS = 100  # one answer names no more
_MOST_SECRETS = 1000
_LONGEST_NAME = 100
_TRUE = frozenset(("y", "yes", "t", "on"))
_FALSE = frozenset(("n", "no", "f", "off"))
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_NUMBER_SEPARATORS = re.compile(r"[\s\-.()\[\]{}]")
COMPUTED = ("/tools_settings/enabled_tools",)  # paths that ``derive`` sets
# The tools that the server knows, in the order in which ``enabled_tools`` lists them.
_BUILT_IN_TOOLS = {
    "end_call": "endCall",
    "transfer_call": "transferCall",
    "dtmf_solver": "dtmfSolver",
    "send_sms": "sendSms",
}


class Shown(str):
    """A mask that knows the stored secret for which it is shown; wherever it gets, it is no text."""

    __slots__ = ("reference",)
    reference: Tree

    def __new__(cls, mask: str, reference: Tree) -> Self:
        """``mask`` is what is shown of the secret that ``reference`` stands for."""
        shown = super().__new__(cls, mask)
        shown.reference = reference
        return shown

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self

    def kept(self) -> Kept:
        """What its mask says when it is sent back."""
        at = self.reference.get(AT)
        return Kept(url=self.reference.get(URL), at=None if at is None else tuple(at))


class SettingsPatch(Struct, frozen=True, kw_only=True):
    """A body, understood. ``ignored`` are the pointers of members that nobody knows.

    ``sent`` is what ``tree`` was read of, and ``broken`` the rules that it breaks: neither counts
    where it came back as it was shown (``events.bodies.untouched``).
    """

    tree: Tree
    reason: str | None = None
    ignored: tuple[str, ...] = ()
    sent: Tree = {}
    broken: tuple[FieldError, ...] = ()

    def checked(self) -> Self:
        """The patch itself; raises ``InvalidSettings`` with every error."""
        if self.broken:
            raise InvalidSettings(self.broken[:MOST_ERRORS])
        return self


def read_patch(body: Any, *, strict: bool = False) -> SettingsPatch:
    """Read the body of a PATCH or a PUT; raises ``InvalidSettings`` with every error.

    ``strict`` makes unknown members errors that suggest the nearest known name.
    """
    return read_edit(body, strict=strict).checked()


def read_edit(body: Any, *, strict: bool = False) -> SettingsPatch:
    """As ``read_patch``, but the rules that it breaks stand in it: raises for no object alone."""
    return _read(body, _Reader(strict=strict, with_reason=True))


def read_create(body: Any, *, strict: bool = False, lenient: bool = False) -> SettingsPatch:
    """Read the body of a creation, whose values stand for themselves: null is one everywhere.

    A mask stands for a secret that is not there. Raises ``InvalidSettings``, which names them all;
    where ``lenient``, they are left out and stand among ``ignored``.
    """
    reader = _Reader(strict=strict, whole=True, with_reason=True)
    read = _read(body, reader, required=("name",))
    tree = _without_masks(read.tree, ("body",), reader, lenient=lenient)
    return msgspec.structs.replace(
        read, tree=tree, ignored=tuple(reader.ignored), broken=tuple(reader.errors)
    ).checked()


def read_whole(members: Tree, *, strict: bool = False) -> SettingsPatch:
    """Read settings that take the place of the stored ones, whole; UNSET removes one.

    In free-form maps, null is a value here. The rules that are broken stand in the patch.
    """
    reader = _Reader(strict=strict, whole=True)
    tree = {
        name: Replace(value.value if isinstance(value, Replace) else value)
        for name, value in reader.patch(members).items()
    }
    return SettingsPatch(
        tree=tree, ignored=tuple(reader.ignored), sent=members, broken=tuple(reader.errors)
    )


def read_reason(value: Any) -> str | None:
    """The reason that a body gives; raises ``InvalidSettings``."""
    reader = _Reader()
    reason = reader.reason(value, ("body", REASON))
    if reader.errors:
        raise InvalidSettings(tuple(reader.errors))
    return reason


def rename(body: Tree) -> Tree:
    """The body with the names and forms of other API versions turned into today's."""
    body = dict(body)
    _alias(body, "backchannel_generation_settings", "backchannel_settings")
    if isinstance(llm := body.get("llm_settings"), dict) and "model" in llm:
        body["llm_settings"] = {name: value for name, value in llm.items() if name != "model"}
        config = body.get("llm_provider_config", {})
        if isinstance(config, dict):
            body["llm_provider_config"] = {"model": llm["model"]} | config
    if isinstance(tts := body.get("tts_settings"), dict):
        body["tts_settings"] = tts = dict(tts)
        _alias(tts, "tts_model_id", "model_id")
    if isinstance(stt := body.get("stt_settings"), dict):
        body["stt_settings"] = _rename_stt(stt)
    return body


def read_struct(kind: type[T], body: Any, *, strict: bool = False) -> T:
    """A small body as its Struct; raises ``InvalidSettings`` with an error for each member.

    ``strict`` takes no text for a number or a boolean: where it is about rights, nobody guesses.
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


def _unknown_members(kind: type[Struct], body: Tree) -> Iterator[FieldError]:
    """What is misspelt, where a Struct forbids what it does not know."""
    if kind.__struct_config__.forbid_unknown_fields:
        for name in islice((one for one in body if one not in kind.__struct_fields__), MOST_ERRORS):
            message = f"Unknown member{_hint(name, kind.__struct_fields__)}"
            yield FieldError(loc=("body", name), msg=message, type="extra_forbidden")


def _hint(name: str, known: Iterable[str]) -> str:
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


def clean_reason(text: str | None) -> str | None:
    """A reason without blanks around it; None for an empty one. It has no place for a secret."""
    if text is None:
        return None
    found = read_text(text)
    if isinstance(found, Plain) or (found is not None and found.url is not None):
        return shown_reference(place_of(found), MASK)
    return text.strip() or None


class NotAccepted(Struct, frozen=True, kw_only=True):
    """A stored value that breaks one of today's rules, and the nearest one that does not."""

    path: str
    error: FieldError
    nearest: Any | UnsetType = UNSET


def not_accepted(settings: Tree, changed: Iterable[str]) -> tuple[NotAccepted, ...]:
    """Hold stored settings against today's rules: what of the changed paths breaks one."""
    reader = _Reader(stored=True)
    reader.settings(settings)
    wanted = Paths(changed)
    found = ((join(tuple(map(str, error.loc[1:]))), error) for error in reader.errors)
    broken = ((path, error) for path, error in found if wanted.overlap(path))
    return tuple(
        NotAccepted(path=path, error=error, nearest=_nearest(settings, error.loc[1:]))
        for path, error in islice(broken, MOST_ERRORS)
    )


def _nearest(settings: Tree, place: Location) -> Any:
    value: Any = settings
    for token in place:
        value = value[token]
    return shape.nearest(shape.find(place), value)


def derive(settings: Tree) -> Tree:
    """The settings with the members that the server computes from others."""
    tools = settings["tools_settings"]
    enabled = [said for name, said in _BUILT_IN_TOOLS.items() if tools[name]["enabled"]]
    return settings | {"tools_settings": tools | {"enabled_tools": enabled}}


def describe(message: str, kind: Any = None) -> tuple[str, str]:
    """A msgspec message as the (type, msg) that FastAPI's clients know, in no words of Python's.

    ``kind`` is the annotation that a value did not fit.
    """
    if message.startswith("Invalid enum value"):
        return "literal_error", f"Input should be {' or '.join(map(repr, _choices(kind)))}"
    for pattern, code, text in _DESCRIPTIONS:
        if found := re.match(pattern, message):
            return code.format(*found.groups()), text.format(*found.groups())
    if found := re.match(r"Expected `([^`]+)`", message):
        expected = [_JSON_TYPES[word] for word in found[1].split(" | ") if word in _JSON_TYPES]
        if expected:
            names = " or ".join(name for _, name in expected)
            return f"{expected[0][0]}_type", f"Input should be a valid {names}"
    return "value_error", "Input should be a valid value"


def _choices(kind: Any) -> Iterator[Any]:
    """What the literals in an annotation allow."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        for part in get_args(kind):
            yield from _choices(part)


# msgspec's words, with the codes of FastAPI's errors and the words of JSON.
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


def _read(body: Any, reader: _Reader, required: tuple[str, ...] = ()) -> SettingsPatch:
    if not isinstance(body, dict):
        reader.error(("body",), "model_attributes_type", "Input should be a valid object")
        raise InvalidSettings(tuple(reader.errors))
    for name in required:
        if name not in body:
            reader.error(("body", name), "missing", "Field required")
        elif body[name] is None:
            reader.error(("body", name), "string_type", "Input should be a valid string")
    return SettingsPatch(
        tree=reader.patch(rename(body)),
        reason=reader.said,
        ignored=tuple(reader.ignored),
        sent=body,
        broken=tuple(reader.errors),
    )


def _without_masks(value: Any, loc: Location, reader: _Reader, *, lenient: bool) -> Any:
    """What was read for a new assistant, without masks: nothing is stored that they stand for.

    UNSET for a mask itself. Of a URL the rest stays. A text that only might be a mask is a text.
    """
    if isinstance(value, Kept) and not (value.url is None and value.sent not in (None, MASK)):
        if lenient and not value.mixed:
            reader.ignored.append(join(tuple(map(str, loc[1:]))))
            return UNSET if value.url is None else value.url
        message = (
            "A mask brings no secret along: send the value, leave it out, or ask with Prefer: "
            "handling=lenient to leave it out for you"
        )
        reader.error(loc, "secret_mask_unmatched", message)
    if isinstance(value, Replace):
        return Replace(_without_masks(value.value, loc, reader, lenient=lenient))
    if isinstance(value, dict):
        members = {
            name: _without_masks(one, (*loc, name), reader, lenient=lenient)
            for name, one in value.items()
        }
        return {name: one for name, one in members.items() if one is not UNSET}
    if isinstance(value, list):
        elements = [
            _without_masks(one, (*loc, i), reader, lenient=lenient) for i, one in enumerate(value)
        ]
        return [one for one in elements if one is not UNSET]
    return value


def _rename_stt(stt: Tree) -> Tree:
    stt = dict(stt)
    if type(endpointing := stt.get("endpointing")) is int:
        stt["endpointing"] = {"silence_threshold": endpointing}
    if isinstance(terms := stt.get("keyterms"), str):
        parts = terms.split(",") if "," in terms else terms.split()
        stt["keyterms"] = [part.strip() for part in parts if part.strip()]
    if isinstance(keywords := stt.get("keywords"), list):
        stt["keywords"] = keywords = [dict(k) if isinstance(k, dict) else k for k in keywords]
        for keyword in keywords:
            if isinstance(keyword, dict):
                _alias(keyword, "boost", "intensifier")
    return stt


def _alias(members: Tree, other: str, name: str) -> None:
    if other in members:
        value = members.pop(other)
        members.setdefault(name, value)


class _Reader:
    """Walks one body along the shape of the settings and collects what it finds."""

    def __init__(
        self,
        *,
        strict: bool = False,
        stored: bool = False,
        whole: bool = False,
        with_reason: bool = False,
    ) -> None:
        self.said: str | None = None  # the reason
        self._with_reason = with_reason  # which the body may hold beside settings
        self.errors: list[FieldError] = []
        self.ignored: list[str] = []
        self._strict = strict
        self._secrets = 0
        self._whole = whole  # values take the place of what was there: null is one
        self._merging = not whole  # outside of lists: null removes a free-form member
        self._stored = stored  # settings of ours: references are legal, nothing is rewritten

    def error(self, loc: Location, kind: str, message: str) -> None:
        # All of them: those about what did not change do not count, and many of them may stand.
        self.errors.append(FieldError(loc=loc, msg=message, type=kind))

    # -- the body as a whole, and stored settings

    def settings(self, stored: Tree) -> None:
        self.record(SETTINGS, stored, ("body",))
        for name, member in SETTINGS.members.items():
            if member.reads == "phone_numbers" and isinstance(stored[name], list):
                self._phone_numbers(stored[name], ("body", name))
            if member.reads == "schema" and isinstance(stored[name], dict):
                self._with_parsed_schema(stored[name], ("body", name))

    def patch(self, body: Tree) -> Tree:
        tree: Tree = {}
        for name, value in body.items():
            loc = ("body", name)
            if name == REASON and self._with_reason:
                self.said = self.reason(value, loc)
            elif (member := SETTINGS.members.get(name)) is not None:
                read = self._top_level(member, value, loc)
                if read is not UNSET:
                    tree[name] = read
            elif name not in READ_ONLY:
                self._unknown(SETTINGS, name, loc)
        return tree

    def reason(self, value: Any, loc: Location) -> str | None:
        if value is None:
            return None
        read = self.scalar(shape.Scalar(type=Reason, nullable=False, secret=False), value, loc)
        return clean_reason(str(value)) if isinstance(read, str | Plain | Kept) else None

    def _top_level(self, member: shape.Member, value: Any, loc: Location) -> Any:
        if isinstance(value, str):
            trimmed = value.strip()
            value = trimmed if member.reads == "trimmed" else (value if trimmed else None)
        if value is UNSET:
            value = None
            if member.null == "ignored":
                self.error(loc, "not_removable", "This member cannot be removed")
        if value is None and member.null == "ignored":
            return UNSET
        if value is None and member.null == "defaults":
            return Replace(member.default)
        if member.reads == "schema" and isinstance(value, dict):
            value = self._with_parsed_schema(value, loc)
        read = self.value(member.shape, value, loc)
        if member.reads == "phone_numbers" and isinstance(read, list):
            return self._phone_numbers(read, loc)
        return read

    def _with_parsed_schema(self, value: Tree, loc: Location) -> Tree:
        schema = value.get("structured_data_schema")
        if isinstance(schema, str):
            try:
                schema = parsing.parse(schema.encode(), depth=2)  # in the body, in custom_settings
            except MalformedJSON as error:
                self.error((*loc, "structured_data_schema"), "json_invalid", error.rule)
                return value
            value = value | {"structured_data_schema": schema}
        if schema is not None and not isinstance(schema, dict):
            message = "Input should be an object, or a JSON string of one"
            self.error((*loc, "structured_data_schema"), "dict_type", message)
        return value

    def _phone_numbers(self, numbers: list[Any], loc: Location) -> list[str]:
        texts = [number if isinstance(number, str) else "" for number in numbers]
        stripped = [_NUMBER_SEPARATORS.sub("", text) for text in texts]
        for position, number in enumerate(stripped):
            # What is no string at all has its error already; a URL with a secret is one.
            if isinstance(numbers[position], str | Plain | Kept) and not _E164.fullmatch(number):
                message = "Input should be a phone number in E.164 form, such as +14155551234"
                self.error((*loc, position), "string_pattern_mismatch", message)
        return list(dict.fromkeys(stripped))

    # -- values, by shape

    def value(self, kind: shape.Shape, value: Any, loc: Location) -> Any:
        if value is None and kind.nullable:
            return None
        if isinstance(value, Shown):
            return value.kept()
        match kind:
            case shape.Scalar():
                return self.scalar(kind, value, loc)
            case shape.Record() if isinstance(value, dict):
                return self.record(kind, value, loc)
            case shape.Listing() if isinstance(value, list):
                return [self._element(kind, item, (*loc, i)) for i, item in enumerate(value)]
            case shape.Mapping() if isinstance(value, dict):
                return self._mapping(kind, value, loc)
            case shape.FreeForm() if isinstance(value, dict):
                return self._free_form(kind, value, loc)
            case shape.Listing():
                self.error(loc, "list_type", "Input should be a valid list")
            case shape.Record():
                self.error(loc, "model_attributes_type", "Input should be a valid object")
            case _:
                self.error(loc, "dict_type", "Input should be a valid object")
        return value

    def record(self, kind: shape.Record, value: Tree, loc: Location) -> Tree:
        tree = {}
        for name, sent in value.items():
            if member := kind.members.get(name):
                tree[name] = self.value(member.shape, sent, (*loc, name))
            elif kind.open:
                if self._storable(name, (*loc, name)):
                    tree[name] = self._free(name, sent, (*loc, name), merging=not self._whole)
            else:
                self._unknown(kind, name, (*loc, name))
        return tree

    def _element(self, kind: shape.Listing, value: Any, loc: Location) -> Any:
        if isinstance(kind.item, shape.Record) and isinstance(value, dict):
            for name, member in kind.item.members.items():
                if member.required and name not in value:
                    self.error((*loc, name), "missing", "Field required")
        if isinstance(kind.item, shape.FreeForm) and isinstance(value, dict):
            return self._plain_members(value, loc)
        merging, self._merging = self._merging, False
        try:
            return self.value(kind.item, value, loc)
        finally:
            self._merging = merging

    def _mapping(self, kind: shape.Mapping, value: Tree, loc: Location) -> Tree:
        secret = isinstance(kind.value, shape.Scalar) and kind.value.secret
        return {
            name: UNSET
            if secret and not self._stored and (sent is None or sent == "")
            else self.value(kind.value, sent, (*loc, name))
            for name, sent in value.items()
            if self._storable(name, (*loc, name))
        }

    def _free_form(self, kind: shape.FreeForm, value: Tree, loc: Location) -> Tree:
        if kind.replace and self._whole:
            return {
                name: self._custom_setting(name, sent, (*loc, name))
                for name, sent in value.items()
                if self._storable(name, (*loc, name))
            }
        if not self._merging:
            return self._plain_members(value, loc)
        if not kind.replace:
            return self._merged_members(value, loc)
        return {
            name: UNSET
            if sent is None and not self._stored
            else Replace(self._custom_setting(name, sent, (*loc, name)))
            for name, sent in value.items()
            if self._storable(name, (*loc, name))
        }

    def _custom_setting(self, name: str, value: Any, loc: Location) -> Any:
        if name == "structured_data_schema" and isinstance(value, dict):
            return self._by_form(value, loc, merging=False)
        return self._free(name, value, loc, merging=False)

    def scalar(self, kind: shape.Scalar, value: Any, loc: Location) -> Any:
        if self._stored and is_reference(value):
            return value
        if kind.secret:
            if value == "" and kind.nullable:
                return None
            if isinstance(value, str) and is_mask(value):
                return KEPT
            self._count_secret()
        if isinstance(value, str):
            value = _boolean_word(value) if kind.type is bool else value
        try:
            read = msgspec.convert(value, kind.type, strict=False)
        except msgspec.ValidationError as error:
            self.error(loc, *describe(str(error), kind.type))
            return value
        if isinstance(read, float) and not math.isfinite(read):
            self.error(loc, "finite_number", "Input should be a finite number")
        if type(read) is int and abs(read) > MAX_SAFE_INTEGER:
            self.error(loc, "int_parsing_size", "Input should not be beyond 2^53")
        if kind.secret:
            return Plain(read)
        return self._text(read, loc) if isinstance(read, str) else read

    # -- free-form values

    def _merged_members(self, value: Tree, loc: Location, *, secret: bool = False) -> Tree:
        return self._members(value, loc, merging=True, secret=secret)

    def _plain_members(self, value: Tree, loc: Location, *, secret: bool = False) -> Tree:
        members = self._members(value, loc, merging=False, secret=secret)
        return {name: member for name, member in members.items() if member is not UNSET}

    def _members(self, value: Tree, loc: Location, *, merging: bool, secret: bool) -> Tree:
        naming, valued, said = named_value(value) or (None, None, "")
        return {
            name: self._free(
                "" if name == naming else said if name == valued else name,
                sent,
                (*loc, name),
                merging=merging,
                secret=secret and not only_describes(name),
            )
            for name, sent in value.items()
            if self._storable(name, (*loc, name))
        }

    def _free(
        self, name: str, value: Any, loc: Location, *, merging: bool, secret: bool = False
    ) -> Any:
        """A value that nobody typed. While ``merging``, null removes; elsewhere it is a value."""
        if isinstance(value, Shown):
            return value.kept()
        if isinstance(value, str):
            return self._named_text(name, value, loc, secret=secret)
        if value is None:
            return UNSET if merging and not self._stored else None
        if isinstance(value, dict):
            return self._free_object(name, value, loc, merging=merging, secret=secret)
        if isinstance(value, list):
            return self._free_list(name, value, loc, secret=secret)
        return value

    def _named_text(self, name: str, text: str, loc: Location, *, secret: bool) -> Any:
        if self._stored:
            return text
        if not secret and not (name and speaks_of_credential(name, text)):
            return self._text(text, loc)
        if not text:  # as the value of a setting it is what was sent; in a patch it removes
            return "" if self._whole else UNSET
        if is_mask(text):
            return KEPT
        self._count_secret()
        return Plain(text, sent=text)

    def _free_object(
        self, name: str, value: Tree, loc: Location, *, merging: bool, secret: bool
    ) -> Any:
        if self._stored and is_reference(value):
            return value
        if not secret and name and (found := holds_schema(name, value)) is not None:
            schema = self._schema if found is Within.SCHEMA else self._schemas_by_name
            return schema(value, loc, merging=merging)
        members = self._merged_members if merging else self._plain_members
        secret = secret or self._is_secret(name) or is_cookie(name)  # cookies by their names
        return members(value, loc, secret=secret)

    def _free_list(self, name: str, value: list[Any], loc: Location, *, secret: bool) -> list[Any]:
        secret = secret or self._is_secret(name)
        # An element that is removed would move the others: in a list, "" stays.
        items = (
            self._free(name, item, (*loc, i), merging=False, secret=secret)
            if not _is_pair(item)
            else self._pair(item, (*loc, i), secret=secret)
            for i, item in enumerate(value)
        )
        return ["" if item is UNSET else item for item in items]

    def _pair(self, pair: list[Any], loc: Location, *, secret: bool) -> list[Any]:
        """``[name, value]``, as some clients keep headers; the value may be several."""
        name, value = pair
        said = self._named_text("", name, (*loc, 0), secret=secret)
        if isinstance(value, list):
            return [said, self._free_list(name, value, (*loc, 1), secret=secret)]
        held = self._named_text(name, value, (*loc, 1), secret=secret)
        return [said, "" if held is UNSET else held]

    def _is_secret(self, name: str) -> bool:
        """Whether a name makes all below it secret."""
        return bool(name) and verdict(name) is Verdict.YES

    # -- a JSON Schema: it names parameters, and is no place for their values

    def _schema(self, value: Tree, loc: Location, *, merging: bool, secret: bool = False) -> Any:
        return {
            name: self._of_schema(name, sent, (*loc, name), merging=merging, secret=secret)
            for name, sent in value.items()
            if self._storable(name, (*loc, name))
        }

    def _schemas_by_name(self, value: Tree, loc: Location, *, merging: bool) -> Any:
        """Schemas by the names of parameters; what is no schema is a value as any other."""
        return {
            name: self._schema(sent, (*loc, name), merging=merging, secret=self._is_secret(name))
            if is_schema(sent)
            else self._free(name, sent, (*loc, name), merging=merging)
            for name, sent in value.items()
            if self._storable(name, (*loc, name))
        }

    def _of_schema(
        self, name: str, value: Any, loc: Location, *, merging: bool, secret: bool
    ) -> Any:
        """A member of a schema; ``secret`` is the name of the parameter that it speaks of."""
        if value is None or isinstance(value, Shown):
            return self._free("", value, loc, merging=merging)
        match within_schema(name):
            case Within.SCHEMAS_BY_NAME if isinstance(value, dict):
                return self._schemas_by_name(value, loc, merging=merging)
            case Within.SCHEMA if isinstance(value, dict):
                return self._schema(value, loc, merging=merging)
            case Within.SCHEMA if isinstance(value, list):
                return [self._of_list(one, (*loc, i)) for i, one in enumerate(value)]
            case Within.VALUE:
                return self._by_form(value, loc, merging=merging, secret=secret)
            case Within.OTHER:
                return self._free(name, value, loc, merging=merging, secret=secret)
            case _:
                return self._free("", value, loc, merging=merging)

    def _of_list(self, value: Any, loc: Location) -> Any:
        if isinstance(value, dict):
            return self._schema(value, loc, merging=False)
        return self._free("", value, loc, merging=False)

    def _by_form(self, value: Any, loc: Location, *, merging: bool, secret: bool = False) -> Any:
        """A value whose names are not ours, such as a default: its form alone decides.

        ``secret`` says that it is of a parameter with a credential's name; then what looks drawn
        at random is one, too.
        """
        if isinstance(value, dict) and not is_reference(value):
            return {
                name: self._by_form(one, (*loc, name), merging=merging, secret=secret)
                for name, one in value.items()
                if self._storable(name, (*loc, name))
            }
        if isinstance(value, list):
            return [
                self._by_form(one, (*loc, i), merging=False, secret=secret)
                for i, one in enumerate(value)
            ]
        secret = secret and isinstance(value, str) and looks_random(value)
        return self._free("", value, loc, merging=merging, secret=secret)

    def _text(self, value: str, loc: Location) -> Any:
        """A text with an ordinary name: its form may say that it is a secret all the same."""
        if self._stored:
            return value
        found = read_text(value)
        if found is None:
            return value
        if isinstance(found, Plain):
            self._count_secret()
            if found.url is None and is_ambiguous(value):
                message = "Percent-encode / ? # and \\ in a URL's user information"
                self.error(loc, "ambiguous_url", message)
        return found

    def _count_secret(self) -> None:
        """Sealing and opening take time of everybody: one body brings no more than so many."""
        self._secrets += 1
        if self._secrets == _MOST_SECRETS + 1:
            message = f"A body may hold at most {_MOST_SECRETS} secrets"
            self.error(("body",), "too_many_secrets", message)

    def _storable(self, name: str, loc: Location) -> bool:
        if name != MARK:
            return True
        self.error(loc, "reserved_name", f"The name {MARK} is reserved")
        return False

    def _unknown(self, kind: shape.Record, name: str, loc: Location) -> None:
        if not self._strict:
            self.ignored.append(join(tuple(map(str, loc[1:]))))
            return
        if len(self.errors) >= MOST_ERRORS:  # looking for near names is slow
            return
        self.error(loc, "extra_forbidden", f"Unknown member{_hint(name, kind.members)}")


def _is_pair(item: Any) -> bool:
    """Whether an element of a list is ``[name, value]``."""
    return (
        isinstance(item, list)
        and len(item) == 2  # noqa: PLR2004  # a pair
        and all(type(one) is str or isinstance(one, Shown) for one in (item[0], *_held(item[1])))
    )


def _held(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _boolean_word(text: str) -> str | bool:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else text
