"""Days as people say them, in their own zone."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from app.console.periods import end_of, since_of, start_of, zone_of
from app.console.settings_index import PLACES, paths_of

_ROME = zone_of("Europe/Rome")
_NOW = datetime(2026, 10, 27, 23, 30, tzinfo=UTC)  # a Tuesday; in Rome it is Wednesday


def test_a_date_is_the_whole_day_of_its_zone() -> None:
    assert start_of("2026-10-20", UTC) == datetime(2026, 10, 20, tzinfo=UTC)
    assert end_of("2026-10-20", UTC) == datetime(2026, 10, 20, 23, 59, 59, 999999, tzinfo=UTC)
    assert start_of("2026-10-20", _ROME) == datetime(2026, 10, 19, 22, tzinfo=UTC)
    # The day on which summer time ends has 25 hours.
    assert end_of("2026-10-25", _ROME) - start_of("2026-10-25", _ROME) > (
        end_of("2026-10-24", _ROME) - start_of("2026-10-24", _ROME)
    )


@pytest.mark.parametrize(
    ("period", "in_utc", "in_rome"),
    [("today", 27, 28), ("week", 26, 26), ("month", 28, 29)],
)
def test_a_period_begins_in_the_zone_of_its_reader(period: str, in_utc: int, in_rome: int) -> None:
    month = 9 if period == "month" else 10
    assert since_of(period, _NOW, UTC) == date(2026, month, in_utc)
    assert since_of(period, _NOW, _ROME) == date(2026, month, in_rome)


@pytest.mark.parametrize("name", ["", "Nowhere/City", "../../etc/passwd", "Europe", "\x00", "é"])
def test_an_unknown_zone_is_utc(name: str) -> None:
    assert zone_of(name) == UTC


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "20261020x", "9999-99-99", "\x00"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of the date, of msgspec, or of its own
        end_of(text, UTC)


def test_a_setting_is_found_by_its_label_its_place_and_its_path() -> None:
    path = "/llm_settings/temperature"
    for text in ("Temperature", "temperature", PLACES[path], path, "llm_settings.temperature",
                 "llm_settings/temperature", "/llm_settings/temperature"):  # fmt: skip
        assert path in paths_of(text), text
    assert len(paths_of("Enabled")) > 1 or len(paths_of("enabled")) > 1
    assert paths_of("no such setting") == ()
    assert paths_of("/custom_settings/mine") == ("/custom_settings/mine",)
    assert paths_of("/~") == ()


def test_every_setting_is_found_by_what_the_list_offers() -> None:
    for path, called in PLACES.items():
        assert path in paths_of(called)
