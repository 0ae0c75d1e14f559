"""No page shows invisible characters: no name imitates another name, or a text of the page.

The fields of a form hold the text as it is, since they send it back.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from unicodedata import category

import httpx
import pytest

from app import console
from app.console import formatting
from app.escaping import UNSEEN
from tests.conftest import ASSISTANTS
from tests.console import Browser

# A line of its own, an override of the direction, no width, a filler, a selector, and a control.
NASTY = "Front\u202e\u200b\u3164\ufe0f\u00ad\u2066desk\x7f\x1b[2J"
NAME = f"{NASTY}\u2028Deleted by ada"
PAGES = (
    "/", "/assistants/1", "/assistants/1/history", "/assistants/1/versions/1",
    "/assistants/1/versions/2", "/assistants/1/versions/2?view=side",
    "/assistants/1/life?version=1",
    "/assistants/1/compare?from=1&to=latest", "/assistants/1/rollback/1", "/assistants/1/undo/2",
    "/audit",
)  # fmt: skip
_FIELDS = re.compile(r"<textarea.*?</textarea>|\b(?:value|name|href)=\"[^\"]*\"", re.DOTALL)
_LAYOUT = frozenset("\n\t \u00a0")
_BDI = re.compile(r"<bdi[^>]*>\{\{ (.*?) \}\}|\b(?:bold|isolated|unseen|as_text)\((.*?)\)")


def unseen_on(answer: httpx.Response) -> set[str]:
    """The invisible characters that a page shows."""
    assert answer.status_code == 200
    shown = html.unescape(_FIELDS.sub("", answer.text))
    return {
        one
        for one in shown
        if one not in _LAYOUT and (one in UNSEEN or category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs"))
    }


@pytest.fixture
def visitor(admin: httpx.Client, administrator: Browser) -> Browser:
    """Of an organization in which every text is nasty, where texts are free."""
    body = {
        "name": NAME,
        "description": NASTY,
        "change_description": NASTY,
        "llm_settings": {"system_prompt": f"{NASTY}\nTwo lines of {NASTY}"},
        "custom_settings": {NASTY: NASTY},
    }
    made = admin.post(ASSISTANTS, json=body)
    assert made.status_code == 201
    changed = {"llm_settings": {"system_prompt": f"{NASTY}\nOther lines of {NASTY}"}}
    for more in ({"description": f"{NASTY}!"}, {"custom_settings": {NASTY: f"{NASTY}!"}}):
        one = {"change_description": NASTY, **changed, **more}
        assert admin.patch(f"{ASSISTANTS}/1", json=one).status_code == 200
    return administrator


def test_no_page_shows_invisible_characters(visitor: Browser) -> None:
    found = {page: unseen_on(visitor.get(page)) for page in PAGES}
    assert {page: shown for page, shown in found.items() if shown} == {}
    shown = html.unescape(visitor.get("/assistants").text)
    assert r"Front\u202e\u200b\u3164\ufe0f\xad\u2066desk\x7f\x1b[2J\u2028Deleted by ada" in shown


def test_control_without_escaping_pages_show_them(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    for name in ("name", "text", "printable", "printable_lines"):
        monkeypatch.setattr(formatting, name, str)
    for page in PAGES:
        assert "\u202e" in unseen_on(visitor.get(page)), page


def test_fields_of_a_form_hold_the_text_unescaped(visitor: Browser) -> None:
    page = html.unescape(visitor.get("/assistants/1").text)
    assert f'value="{NAME}"' in page
    assert f"Other lines of {NASTY}</textarea>" in page


def test_every_name_in_a_template_is_shown_by_the_one_function() -> None:
    templates = Path(str(console.__file__)).parent.glob("templates/*.html")
    found = [
        (path.name, one or other)
        for path in templates
        for one, other in _BDI.findall(path.read_text("utf-8"))
    ]
    assert len(found) > 30
    assert [(name, one) for name, one in found if not one.startswith(("show.", "t."))] == []
