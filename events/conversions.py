"""The list of conversions: where a value is stored otherwise than it was sent. It is complete.

It is made from the settings and their marks. ``events/README.md`` shows it, and tests carry out all
its examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from events.pointers import join
from events.shape import SETTINGS, FreeForm, Listing, Mapping, Member, Record, Scalar, takes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from events.shape import Shape

ALL = frozenset(("creation", "json", "merge patch", "json patch"))
_JSON_ALONE = frozenset(("json",))
_BODIES = ALL - {"json patch"}
_VALUES = ALL - {"merge patch"}
_ONLY = {
    ALL: "",
    _JSON_ALONE: " (in a change that is sent as `application/json`)",
    _BODIES: " (not in a JSON Patch)",
    _VALUES: " (in a merge patch: refused)",
}
_MOST_NAMED = 12  # places; more are described by what they have in common


class Conversion(Struct, frozen=True, kw_only=True):
    """Where and how a value is converted, with an example. Texts are Markdown or JSON."""

    where: str
    how: str
    sent: str  # the body of the example
    kept: str = ""  # what is stored of it; '' for the defaults
    doors: frozenset[str] = ALL  # the kinds of requests that convert


def _named(places: Iterable[str]) -> str:
    names = [f"`{place}`" for place in places]
    if len(names) > _MOST_NAMED:
        raise ValueError("too many places for a table; describe what they have in common")
    return ", ".join(names)


def _top(chosen: Callable[[Member], bool]) -> list[str]:
    return [join((name,)) for name, member in SETTINGS.members.items() if chosen(member)]


def _places(
    chosen: Callable[[Shape], bool], kind: Shape = SETTINGS, at: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The places of the shapes that are chosen; ``*`` is a position in a list."""
    if chosen(kind):
        yield at
    match kind:
        case Record(members=members):
            for name, member in members.items():
                yield from _places(chosen, member.shape, (*at, name))
        case Listing(item=item):
            yield from _places(chosen, item, (*at, "*"))
        case Mapping() | FreeForm() | Scalar():
            return


def _is_secret_setting(kind: Shape) -> bool:
    return isinstance(kind, Scalar) and kind.secret and takes_text(kind)


def _is_map_of_secrets(kind: Shape) -> bool:
    return isinstance(kind, Mapping) and isinstance(kind.value, Scalar) and kind.value.secret


def _is_list_of_records(kind: Shape) -> bool:
    return isinstance(kind, Listing) and isinstance(kind.item, Record)


# First those of single settings, then those of every setting of a kind.
CONVERSIONS = (
    Conversion(
        where=_named(_top(lambda member: member.reads == "trimmed")),
        how="without the blanks around it",
        sent=r'{"name": " Front  desk\n"}',
        kept='{"name": "Front  desk"}',
    ),
    Conversion(
        where=_named(_top(lambda member: member.reads == "phone_numbers")),
        how="without blanks, dashes, dots and brackets; each number once, the first stays",
        sent='{"bypass_numbers": ["+1 (415) 555-1234", "+14155551234"]}',
        kept='{"bypass_numbers": ["+14155551234"]}',
    ),
    Conversion(
        where=_named(
            f"{path}/structured_data_schema"
            for path in _top(lambda member: member.reads == "schema")
        ),
        how="JSON in a text: parsed",
        sent=r'{"custom_settings": {"structured_data_schema": "{\"type\": \"object\"}"}}',
        kept='{"custom_settings": {"structured_data_schema": {"type": "object"}}}',
    ),
    Conversion(
        where="`/stt_settings/keyterms`",
        how="a text: split at commas, or at blanks where it has no comma",
        sent='{"stt_settings": {"keyterms": "pizza, pasta "}}',
        kept='{"stt_settings": {"keyterms": ["pizza", "pasta"]}}',
        doors=_BODIES,
    ),
    Conversion(
        where="`/stt_settings/endpointing`",
        how="a whole number: as its `silence_threshold`",
        sent='{"stt_settings": {"endpointing": 300}}',
        kept='{"stt_settings": {"endpointing": {"silence_threshold": 300}}}',
        doors=_BODIES,
    ),
    Conversion(
        where="`/llm_settings/model`",
        how="as `/llm_provider_config/model`, unless that is sent, too",
        sent='{"llm_settings": {"model": "gpt-4o"}}',
        kept='{"llm_provider_config": {"model": "gpt-4o"}}',
        doors=_BODIES,
    ),
    Conversion(
        where="`/backchannel_generation_settings`, `/tts_settings/tts_model_id`, a keyword's"
        " `boost`",
        how="as `backchannel_settings`, `model_id`, `intensifier`, unless those are sent, too",
        sent='{"tts_settings": {"tts_model_id": "flash"}}',
        kept='{"tts_settings": {"model_id": "flash"}}',
        doors=_BODIES,
    ),
    Conversion(
        where="`/tools_settings/enabled_tools`",
        how="computed from the tools that are enabled",
        sent='{"tools_settings": {"enabled_tools": ["x"], "end_call": {"enabled": true}}}',
        kept='{"tools_settings": {"enabled_tools": ["endCall"]}}',
    ),
    Conversion(
        where=_named(_top(lambda member: member.null == "defaults")),
        how="null: the defaults",
        sent='{"rag_settings": null}',
    ),
    Conversion(
        where=_named(_top(lambda member: member.null == "ignored")),
        how="null: ignored; a new assistant must have a name",
        sent='{"is_active": null}',
        doors=_VALUES,
    ),
    Conversion(
        where="every setting at the top but the name",
        how="an empty text, or a text of blanks: null",
        sent=r'{"end_call_message": " \n", "idle_message": ""}',
        kept='{"end_call_message": null, "idle_message": null}',
    ),
    Conversion(
        where="every number and every switch",
        how="a text with a number, or a word for on or off: parsed",
        sent='{"llm_settings": {"temperature": "0.25"}, "is_active": "no"}',
        kept='{"llm_settings": {"temperature": 0.25}, "is_active": false}',
    ),
    Conversion(
        where="every number and every switch",
        how="1 for 1.0, 1.0 for 1, 1 or 0 for a switch: in the type of the setting",
        sent='{"llm_settings": {"top_p": 1, "max_tokens": 50.0}, "is_active": 0}',
        kept='{"llm_settings": {"top_p": 1.0, "max_tokens": 50}, "is_active": false}',
    ),
    Conversion(
        where=_named(join(place) for place in _places(_is_secret_setting)),
        how="an empty text: null",
        sent='{"llm_provider_config": {"api_key": ""}}',
        kept='{"llm_provider_config": {"api_key": null}}',
    ),
    Conversion(
        where=_named(join((*place, "*")) for place in _places(_is_map_of_secrets)),
        how="null, or an empty text: removes the member",
        sent='{"webhook_headers": {"X-Key": "", "X-Other": null}}',
        kept='{"webhook_headers": {}}',
    ),
    Conversion(
        where="free-form maps",
        how="null, or an empty text under a credential's name: removes the member",
        sent='{"custom_settings": {"colour": null, "token": ""}}',
        kept='{"custom_settings": {}}',
        doors=_JSON_ALONE,
    ),
    Conversion(
        where="elements of " + _named(join(place) for place in _places(_is_list_of_records)),
        how="members that were not sent: their defaults",
        sent='{"stt_settings": {"keywords": [{"keyword": "pizza"}]}}',
        kept='{"stt_settings": {"keywords": [{"keyword": "pizza", "intensifier": 1.0}]}}',
    ),
    Conversion(
        where="every number in a free-form value",
        how="its value as a double, and whether it has a fraction or an exponent, but not its"
        " spelling",
        sent='{"custom_settings": {"a": 1e2, "b": 1, "c": 1.0, "d": -0.0, "e": 0.10}}',
        kept='{"custom_settings": {"a": 100.0, "b": 1, "c": 1.0, "d": -0.0, "e": 0.1}}',
    ),
)


def table() -> str:
    """The list as a table in Markdown."""
    rows = [
        f"| {row.where} | {row.how}{_ONLY[row.doors]} | `{row.sent}` |"
        f" {f'`{row.kept}`' if row.kept else 'the defaults'} |"
        for row in CONVERSIONS
    ]
    return "\n".join(["| where | how it is stored | sent | stored |", "|---|---|---|---|", *rows])
