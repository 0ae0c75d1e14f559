"""When a change takes effect in a running call: each setting is marked, the latest counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from events import effects, pointers
from events.setting_types import EFFECTS
from events.shape import SETTINGS, Record

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_every_setting_at_the_top_is_marked() -> None:
    assert {name for name, member in SETTINGS.members.items() if member.effect not in EFFECTS} == (
        set()
    )


@pytest.mark.parametrize(
    ("path", "effect"),
    [
        ("/idle_message", "live"),
        ("/llm_settings/system_prompt", "next_turn"),
        ("/llm_settings/welcome_message", "next_call"),  # a mark of its own
        ("/llm_settings/stop_sequences", "next_turn"),  # that of the object around it
        ("/tts_settings/background_sound/volume", "next_call"),
        ("/llm_provider_config/custom_config/anything", "next_turn"),  # a map is one value
        ("/tools_settings/custom_tools/0/name", "next_turn"),
        ("/recording_settings/of_another_release", "next_call"),  # an open object
        ("/retired", "next_call"),  # the default
        ("/llm_settings", "next_call"),  # the latest of all in it
        ("/stt_settings/speculative_config", "next_turn"),
    ],
)
def test_a_path_has_the_nearest_mark(path: str, effect: str) -> None:
    assert effects.effect_of(path) == effect


def test_the_latest_of_several_counts_in_any_order() -> None:
    paths = ["/idle_message", "/llm_settings/temperature", "/stt_settings/model"]
    assert [effects.latest(paths[:count]) for count in range(4)] == [None, *EFFECTS]
    assert effects.latest(reversed(paths)) == EFFECTS[-1]


def paths_of(record: Record, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, member in record.members.items():
        yield (*at, name)
        if isinstance(member.shape, Record):
            yield from paths_of(member.shape, (*at, name))


def test_a_whole_object_never_takes_effect_sooner_than_a_member() -> None:
    for path in paths_of(SETTINGS):
        for length in range(1, len(path)):
            whole, part = (effects.effect_of(pointers.join(one)) for one in (path[:length], path))
            assert EFFECTS.index(whole) >= EFFECTS.index(part)
