"""Edits are reviewed before they are saved, filtered by the server, and undone from the message."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from tests.console import Browser, change, field, now, row_of

SPEED = "/tts_settings/speed"


def test_a_review_shows_each_edit_and_saves_nothing(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    form = {"base_version": 1, SPEED: "0.9", "/idle_timeout": "7", "change_description": "Calmer"}
    page = operator.submit(f"{at}/review", form)
    assert page.status_code == 200
    assert re.findall(r"<ins>(.*?)</ins>", page.text) == ["0.9", "7"]
    assert field(page.text, "change_description") == "Calmer"
    assert now(editor, at)["version"] == 1
    kept = dict(re.findall(r'<textarea name="([^"]*)" hidden>\n(.*?)</textarea>', page.text))
    assert kept == {SPEED: "0.9", "/idle_timeout": "7"}
    answer = operator.submit(at, kept | {"base_version": 1})  # the control: these are saved
    assert answer.headers["location"] == f"{at}?saved=2"


def test_a_review_holds_no_typed_secret(operator: Browser, at: str) -> None:
    form = {"base_version": 1, "/llm_provider_config/api_key": "sk-typed", SPEED: "0.9"}
    page = operator.submit(f"{at}/review", form).text
    assert "sk-typed" not in page
    assert "A new secret (hidden)" in page
    assert "0.9" in page


def test_a_review_of_a_value_that_cannot_be_read_shows_where(operator: Browser, at: str) -> None:
    form = {"base_version": 1, "/custom_settings": '{\n  "a": }'}
    page = operator.submit(f"{at}/review", form)
    assert page.status_code == 422
    assert "This is not valid JSON: line 2, column 8" in page.text


def test_a_setting_is_reset_to_its_default_without_script(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    change(editor, at, {"tts_settings": {"speed": 1.5}}, "Faster")
    assert f'name="reset:{SPEED}"' in row_of(operator.get(at).text, SPEED)
    page = operator.submit(f"{at}/review", {"base_version": 2, f"reset:{SPEED}": "on"}).text
    assert "<del>1.5</del>" in page
    operator.submit(at, {"base_version": 2, f"reset:{SPEED}": "on"})
    assert now(editor, at)["tts_settings"]["speed"] == 1.0
    assert f'name="reset:{SPEED}"' not in operator.get(at).text


def test_a_saved_change_is_undone_from_its_message(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    where = operator.submit(at, {"base_version": 1, SPEED: "0.9"}).headers["location"]
    page = operator.get(where).text
    assert "Saved as version 2" in page
    form = {"etag": html.unescape('"2"'), "whole": "on"}
    assert operator.submit(f"{at}/undo/2", form).status_code == 303
    assert now(editor, at)["tts_settings"]["speed"] == 1.0
    assert "Saved as version 2" not in operator.get(where).text, "it is not the last change"


@pytest.mark.parametrize(
    ("query", "path"),
    [("q=silence+timeout", "/idle_timeout"), ("only=differing", SPEED), ("only=recent", SPEED),
     ("only=mine", SPEED), ("q=1.5&only=mine", SPEED)],
)  # fmt: skip
def test_the_server_filters_what_script_would(
    operator: Browser, editor: httpx.Client, at: str, query: str, path: str
) -> None:
    change(editor, at, {"tts_settings": {"speed": 1.5}}, "Faster")
    page = operator.get(f"{at}?{query}").text
    rows = re.findall(r'data-row="([^"]*)"[^>]*?( hidden)?>', page)
    shown = {name for name, hidden in rows if not hidden}
    assert path in shown
    assert len(shown) < 15
    assert len(rows) > 150, "the others stay in the form"
    everything = re.findall(r'data-row="([^"]*)"[^>]*?( hidden)?>', operator.get(at).text)
    assert not any(hidden for _, hidden in everything), "the control"


def test_who_made_an_assistant_stands_only_where_they_set_something(
    operator: Browser, editor: httpx.Client, at: str
) -> None:
    change(editor, at, {"tts_settings": {"speed": 1.5}}, "Faster")
    page = operator.get(at).text
    main = page[page.index("<main") :]
    assert main.count("editor key") == row_of(page, SPEED).count("editor key") == 2
