"""A JSON Patch puts only so much in place."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from events.bodies import parsing
from events.pointers import Tree
from tests.events.given import DEFAULTS, created, given
from tests.events.operations import MIB, after, command, errors, move, op, story


def test_a_patch_of_more_than_a_thousand_operations_is_refused() -> None:
    assistant = given(created())
    test = op("test", "/name", DEFAULTS["name"])
    assistant.when(command(assistant, *[test] * 1000)).then()
    assert errors(assistant, *[test] * 1001) == [(("body",), "too_long")]


NUMERALS = [str(i) for i in range(4_000)]


def doublings(count: int) -> list[Tree]:
    return [move("/custom_settings", f"/custom_settings/{i}", "copy") for i in range(count)]


def test_copies_of_copies_end_before_they_fill_the_memory() -> None:
    assistant = story({"custom_settings": {"a": "x" * 1000}})
    tracemalloc.start()
    try:
        assert errors(assistant, *doublings(28)) == [(("body", 11), "too_large")]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MIB


def test_the_settings_do_not_grow_beyond_two_mebibytes() -> None:
    assistant = story({"custom_settings": {"a": "x" * MIB}})
    after(assistant, op("add", "/custom_settings/b", "x" * (MIB - 20_000)))
    assert errors(assistant, op("add", "/custom_settings/b", "x" * MIB)) == [
        (("body",), "too_large")
    ]


def test_settings_that_are_larger_may_still_shrink() -> None:
    large = {f"{i}": "x" * MIB for i in range(3)}
    assistant = given(created({"custom_settings": large}))
    settings = after(assistant, op("remove", "/custom_settings/0"), op("add", "/description", "x"))
    assert settings["custom_settings"].keys() == {"1", "2"}


def test_all_that_is_moved_and_copied_has_a_bound() -> None:
    assistant = story({"custom_settings": {"a": "x" * MIB}})
    back_and_forth = [
        move("/custom_settings/a", "/custom_settings/b"),
        move("/custom_settings/b", "/custom_settings/a"),
    ]
    assert errors(assistant, *back_and_forth * 20) == [(("body", 1), "too_large")]


def test_all_values_that_are_put_in_place_have_a_bound() -> None:
    assistant = given(created({"custom_settings": {"a": [[]] * 20_000}}))
    copies = [move("/custom_settings/a", f"/custom_settings/{n}", "copy") for n in range(3)]
    assert errors(assistant, *copies) == [(("body", 2), "too_many")]
    sent = op("add", "/custom_settings/b", [0] * 50_000)
    assert errors(assistant, sent) == [(("body", 0), "too_many")]
    # The controls: one copy less, and a value less.
    remove = op("remove", "/custom_settings/a")
    assert after(assistant, *copies[:2], remove)["custom_settings"].keys() == {"0", "1"}
    sent["value"].pop()
    assert command(assistant, sent)


def test_a_thousand_operations_may_change_settings_that_fill_a_body() -> None:
    held = {"text": "x" * 800_000, "list": [0] * 20_000, "map": dict.fromkeys(NUMERALS, 0)}
    assistant = story({"custom_settings": held})
    settings = after(
        assistant,
        *(op("add", "/custom_settings/list/0", i) for i in range(400)),
        *(move(f"/custom_settings/map/{i}", f"/custom_settings/map/to{i}") for i in range(400)),
        *(op("remove", "/custom_settings/list/0") for _ in range(200)),
    )
    assert settings["custom_settings"]["list"] == [*reversed(range(200)), *[0] * 20_000]
    moved = {*NUMERALS[400:], *(f"to{i}" for i in range(400))}
    assert settings["custom_settings"]["map"].keys() == moved


def nested(levels: int) -> Any:
    return {} if levels == 1 else {"a": nested(levels - 1)}


def test_the_settings_are_nested_no_deeper_than_a_body_may_be() -> None:
    assistant = given(created())
    deepest = parsing.MAX_DEPTH - 1
    grown = [op("add", "/custom_settings", nested(deepest))]
    settings = after(assistant, *grown)
    assert parsing.parse(json.dumps(settings).encode()) == settings
    assert errors(assistant, op("add", "/custom_settings", nested(deepest + 1))) == [
        (("body", 0), "too_deep")
    ]
    bottom = "/custom_settings" + "/a" * (deepest - 1)
    assert errors(assistant, *grown, op("add", f"{bottom}/b", [])) == [(("body", 1), "too_deep")]
    assert errors(assistant, *grown, move("/custom_settings", "/custom_settings/b", "copy")) == [
        (("body", 1), "too_deep")
    ]
    assert errors(assistant, op("add", "/x", {}), op("add", "/x/y", nested(100_000 // 200))) == [
        (("body", 1), "too_deep")
    ]
