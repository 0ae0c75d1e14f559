"""What is stored otherwise than it was sent: the list, its examples, and that there is no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from events.bodies.json_patch import read_json_patch
from events.bodies.merge_patch import read_merge_patch
from events.bodies.parsing import parse
from events.bodies.patch import read_create, read_edit
from events.commands import CreateAssistant
from events.conversions import CONVERSIONS, Conversion, table
from events.pointers import Tree, at, diff, flatten, join, same
from events.settings import Settings
from tests.events.given import DEFAULTS, NAME, Given, create, given, sent_to
from tests.events.strategies import bodies, few

if TYPE_CHECKING:
    from collections.abc import Callable

    Door = Callable[[Given, Tree], Tree]

PAGE = Path(__file__).parents[2] / "events" / "README.md"


# -- the doors: what each makes of a body


def by_creation(_: Given, body: Tree) -> Tree:
    read = read_create({"name": NAME} | body)
    return given().after(CreateAssistant(patch=read.tree)).state.settings


def by_json(story: Given, body: Tree) -> Tree:
    return story.after(sent_to(story, read_edit(body))).state.settings


def by_merge_patch(story: Given, body: Tree) -> Tree:
    read = read_merge_patch(body, story.state.settings)
    return story.after(sent_to(story, read)).state.settings


def by_json_patch(story: Given, body: Tree) -> Tree:
    """One operation for each leaf."""
    held = story.state.settings
    operations = [
        {"op": "add", "path": path, "value": value}
        for name, member in body.items()
        for path, value in _leaves(held.get(name), member, (name,))
    ]
    read = read_json_patch(operations, held)
    return story.after(sent_to(story, read)).state.settings


def _leaves(held: Any, value: Any, place: tuple[str, ...]) -> list[tuple[str, Any]]:
    if isinstance(held, dict) and isinstance(value, dict):
        return [
            one
            for name, member in value.items()
            for one in _leaves(held.get(name), member, (*place, name))
        ]
    return [(join(place), value)]


DOORS: dict[str, Door] = {
    "creation": by_creation,
    "json": by_json,
    "merge patch": by_merge_patch,
    "json patch": by_json_patch,
}
NULL_REMOVES = (by_json, by_merge_patch)  # from a free-form map


# -- the list


def test_the_documentation_shows_the_list() -> None:
    assert table() in PAGE.read_text("utf-8"), f"events/README.md should hold:\n\n{table()}"


@pytest.mark.parametrize(
    ("one", "door"), [(one, door) for one in CONVERSIONS for door in sorted(one.doors)]
)
def test_each_conversion_is_done_at_every_door_that_the_list_names(
    one: Conversion, door: str
) -> None:
    sent, kept = parse(one.sent.encode()), parse((one.kept or "null").encode())
    settings = DOORS[door](given().after(create({})), sent)
    if kept is None:
        assert all(same(settings[name], DEFAULTS[name]) for name in sent)
        return
    for path, value in flatten(kept).items():
        found = at(settings, path)
        assert same(found, value) or (value == {} and found is None), path


# -- and no other

_ODD = st.sampled_from(
    [
        " {}",
        "{}\r\n",
        "\t{}  {}",
        "\u00c4{}",
        "A\u0308{}",
        "\ufb01{}",
        "\u200b{}\u00a0",
        "{}\u2028",
        "İ{}ß",
        "\uff11{}",
        "yes {}",
        "1{}",
    ]
)
_CHOICES = {"transfer_type"}
_CONVERTED = ("name", "bypass_numbers")


def oddly(draw: st.DrawFn, value: Any, name: str = "") -> Any:
    """The value with blanks, line ends and unusual characters in its texts; lists with repeats."""
    if isinstance(value, str) and name not in _CHOICES:
        return draw(_ODD).format(value, value)
    if isinstance(value, dict):
        return {one: oddly(draw, member, one) for one, member in value.items()}
    if isinstance(value, list):
        odd = [oddly(draw, item) for item in value]
        return [*odd, *odd[:1]]
    return value


@st.composite
def odd_bodies(draw: st.DrawFn) -> Tree:
    body = draw(bodies(nulls=False))
    return {
        name: value if name in _CONVERTED else oddly(draw, value) for name, value in body.items()
    }


def is_stored_as_sent(sent: Any, kept: Any, kind: inspect.Type | None) -> bool:
    """Whether a value stands as it was sent; elements of records may have more, numbers a kind."""
    match kind:
        case inspect.Metadata(type=inner):
            return is_stored_as_sent(sent, kept, inner)
        case inspect.UnionType(types=types):
            return any(is_stored_as_sent(sent, kept, one) for one in types)
        case inspect.StructType(fields=fields):
            kinds = {field.name: field.type for field in fields}
            return isinstance(kept, dict) and all(
                is_stored_as_sent(value, kept.get(name, UNSET), kinds.get(name))
                for name, value in sent.items()
            )
        case inspect.ListType(item_type=item):
            return (
                isinstance(kept, list)
                and len(sent) == len(kept)
                and all(is_stored_as_sent(*pair, item) for pair in zip(sent, kept, strict=True))
            )
        case _ if isinstance(sent, dict):  # a free-form map: what stood in it before is kept
            return isinstance(kept, dict) and all(
                is_stored_as_sent(value, kept.get(name, UNSET), None)
                for name, value in sent.items()
            )
        case _:
            return same(sent, kept)


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(one) for name, one in value.items() if one is not None}
    return value


_KIND = inspect.type_info(Settings)


def stores_what_was_sent(door: Door, stored: Tree, sent: Tree) -> None:
    story = given().after(create(stored))
    sent.get("tools_settings", {}).pop("enabled_tools", None)
    sent = without_null(sent) if door in NULL_REMOVES else sent
    before, after = story.state.settings, door(story, sent)
    if door is not by_creation:
        changed = {path.split("/")[1] for path in diff(before, after)}
        assert changed <= sent.keys()
    assert is_stored_as_sent(sent, {name: after[name] for name in sent}, _KIND)
    if door is by_creation and "custom_settings" in sent:
        kept = after["custom_settings"]
        assert json.dumps(kept) == json.dumps(sent["custom_settings"]), "in the order of sending"


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_whatever_is_sent_is_stored_as_it_was_sent_but_for_the_list(door: Door) -> None:
    @few
    @for_all(bodies(), odd_bodies())
    def law(stored: Tree, sent: Tree) -> None:
        stores_what_was_sent(door, stored, sent)

    law()


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_members_of_free_form_values_stay_in_the_order_in_which_they_came(door: Door) -> None:
    sent = {"custom_settings": {"z": {"b": 1, "a": [{"y": 1, "x": 2}]}, "a": "first"}}
    settings = door(given().after(create({})), sent)
    assert json.dumps(settings["custom_settings"]) == json.dumps(sent["custom_settings"])
    again = given().after(create(sent))
    turned = {"custom_settings": {"a": "first", "z": {"a": [{"x": 2, "y": 1}], "b": 1}}}
    assert diff(again.state.settings, door(again, turned)) == {}, "another order is no change"


def test_control_a_trimmed_text_and_a_folded_case_are_found() -> None:
    sent = {"llm_settings": {"system_prompt": " Be kind\r\n"}}
    assert is_stored_as_sent(sent, sent, _KIND)
    for other in ("Be kind", " be kind\r\n", " Be kind\n"):
        kept = {"llm_settings": {"system_prompt": other}}
        assert not is_stored_as_sent(sent, kept, _KIND)
