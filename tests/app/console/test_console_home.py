"""The start page: what happened lately, day by day, and what is unusual."""

from __future__ import annotations

from typing import Any

import httpx

from app.console.formatting import brief, day
from app.console.unusual import MANY_CHANGES, unusual
from tests.conftest import ASSISTANTS
from tests.console import Browser, change, plain
from tests.html_rules import faults


def test_an_empty_organization_is_told_what_to_do(outsider: Browser) -> None:
    shown = outsider.get("/")
    assert "Nothing has happened yet" in plain(shown)
    assert 'href="/assistants/new"' in shown.text


def test_changes_show_who_what_and_why_to_every_role(
    at: str, editor: httpx.Client, reader: Browser
) -> None:
    change(editor, at, {"tts_settings": {"speed": 1.25}}, "Callers ask back")
    shown = reader.get("/")
    for words in ("Callers ask back", "Speech \u203a Speed", "<ins>1.25</ins>", "editor key"):
        assert words in plain(shown)
    assert f'href="{at}/versions/2"' in shown.text
    assert faults(shown.text) == []


def test_a_change_set_is_one_entry(at: str, editor: httpx.Client, reader: Browser) -> None:
    ids = [editor.post(ASSISTANTS, json={"name": "One"}).json()["id"] for _ in range(3)]
    body = {"assistant_ids": ids, "patch": {"tts_settings": {"speed": 1.2}}}
    made = editor.post("/api/v1/change-sets", json=body).json()["change_set_id"]
    shown = reader.get("/").text
    assert shown.count(f'href="/change-sets/{made}"') == 1
    assert "Change set of 3 assistants" in shown
    assert at


def test_a_warning_of_the_policy_is_unusual(at: str, editor: httpx.Client, reader: Browser) -> None:
    assert "Nothing unusual lately" in plain(reader.get("/"))
    change(editor, at, {"recording_settings": {"enabled": True}}, "Record")
    change(editor, at, {"recording_settings": {"enabled": False}}, "Don't")
    shown = plain(reader.get("/"))
    assert "Calls are no longer recorded." in shown
    assert "Nothing unusual lately" not in shown


def _changed(number: int, cause: str = "patch", day: int = 1) -> dict[str, Any]:
    return {
        "assistant_id": 1, "assistant_name": "One", "version": number, "warnings": [],
        "cause": {"type": cause}, "created_at": f"2026-03-{day:02}T10:{number:02}:00Z",
    }  # fmt: skip


def test_taken_back_twice_is_unusual_and_once_is_not() -> None:
    assert unusual([_changed(2, "undo"), _changed(1)]) == []
    (found,) = unusual([_changed(3, "rollback", 2), _changed(2, "undo"), _changed(1)])
    assert found.words == "Taken back 2 times in 7 days."


def test_many_changes_in_one_day_are_unusual_and_on_several_days_are_not() -> None:
    one_day = [_changed(number) for number in range(MANY_CHANGES, 0, -1)]
    (found,) = unusual(one_day)
    assert found.words == f"{MANY_CHANGES} changes on Sunday, March 1, 2026."
    assert unusual([_changed(number, day=number) for number in range(MANY_CHANGES, 0, -1)]) == []


def test_older_changes_follow_on_the_next_page(
    at: str, editor: httpx.Client, reader: Browser
) -> None:
    for number in range(45):
        change(editor, at, {"idle_timeout": number + 5}, f"Reason {number}")
    first = reader.get("/").text
    assert "Reason 44" in first
    assert "Reason 0<" not in first
    address = first.partition('data-key="n" href="')[2].partition('"')[0]
    assert "Reason 0<" in reader.get(address).text


def test_an_object_is_told_on_one_line_by_its_members_and_a_day_in_words() -> None:
    assert brief({"campaign": "spring", "daily_limit": 80}) == "campaign: spring, daily_limit: 80"
    assert brief({"a": {"b": 1}}) == '{ "a": { "b": 1 } }'
    assert day("2026-10-31") == "Saturday, October 31, 2026"
