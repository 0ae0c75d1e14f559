"""The HTML of every page of the console: no error of the parser, nor of the rules that Nu has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browsers import PAGES, TEMPERATURE, organization_full_of
from tests.conftest import ASSISTANTS, Server
from tests.console import Browser, field
from tests.html_rules import faults

_TEXT = "Zo\u00eb <b>\"said\"</b> & 'more' a/b c \u202e last"
_AT = "/assistants/1"


@pytest.fixture(scope="module")
def pages(server: Server) -> dict[str, str]:
    """All pages as an admin gets them, and some as a viewer does, over settings full of text."""
    organization = organization_full_of(server, _TEXT)
    found = {}
    with Browser(server.url) as visitor:
        found["sign in, refused"] = visitor.post("/sign-in", {"key": "bks_wrong"}).text
        found["sign in"] = visitor.get("/sign-in").text
        elsewhere = {"sec-fetch-site": "cross-site"}
        found["continue"] = visitor.get(_AT, headers=elsewhere).text
    with Browser(server.url) as viewer:
        viewer.sign_in(organization.viewer)
        for name in ("assistant", "assistants, deleted", "change", "keys", "policy"):
            found[f"{name} of a viewer"] = viewer.get(_ADDRESSES[name]).text
    with Browser(server.url) as admin, server.client(organization.admin) as api:
        admin.sign_in(organization.admin)
        found |= {name: admin.get(at).text for name, at in _ADDRESSES.items()}
        found |= {name: admin.submit(at, form).text for name, (at, form) in _FORMS.items()}
        found["live"] = admin.get(f"{_AT}/live?since=1").text
        base = field(admin.get(_AT).text, "base_version")
        body: dict[str, Any] = {"llm_settings": {"temperature": 0.11}, "custom_settings": {"a": 1}}
        api.patch(f"/api/v1{_AT}", json=body)
        form = {"base_version": base, TEMPERATURE: "0.12", "/custom_settings": "{}"}
        found["conflict"] = admin.submit(_AT, form).text
        found["saved with warnings"] = admin.submit(
            _AT, {"base_version": base, "/recording_settings/enabled": "off"}
        ).text
        found["undo over a conflict"] = admin.get(f"{_AT}/undo/3").text
        api.delete(f"{ASSISTANTS}/1")
        found["live, deleted"] = admin.get(f"{_AT}/live?since=1").text
    return found


_ADDRESSES = {name: at for name, at in PAGES.items() if isinstance(at, str)}
_FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "refused": (_AT, {"/webhook_headers": "{", "/llm_settings/max_tokens": "many"}),
    "new assistant, refused": ("/assistants/new", {"name": ""}),
    "a new key": ("/keys", {"name": "Runtime", "role": "viewer"}),
    "a new key, refused": ("/keys", {"name": "", "role": "viewer"}),
    "policy, refused": ("/policy", {"etag": "x", "secret_paths": "/nowhere"}),
}


def test_no_page_has_a_fault(pages: dict[str, str]) -> None:
    found = {name: faults(page, is_part=name.startswith("live")) for name, page in pages.items()}
    assert {name: said for name, said in found.items() if said} == {}
    assert len(pages) > 35
    assert all(len(page) > 100 for page in pages.values())


@pytest.mark.parametrize(
    "fault",
    [
        "<p>one<div>two</div></p>",
        '<p id="x">one</p><p id="x">two</p>',
        '<p id="x" id="y">one</p>',
        "<p>one</b></p>",
        "<p>a & b &nosuch; &#1;</p>",
        '<label for="x">one</label>',
        '<label for="x">one</label><p id="x">two</p>',
        '<label><input name="a"><input name="b"></label>',
        '<input name="a" aria-describedby="x">',
        '<a href="/"><button>one</button></a>',
        '<a href="/a b">one</a>',
        "<button><span><div>one</div></span></button>",
        "<h2><p>one</p></h2>",
        "<ul><p>one</p></ul>",
        "<div><li>one</li></div>",
        "<dl><dd>one</dd><p>two</p></dl>",
        "<details><p>one</p><summary>two</summary></details>",
        "<section><p>one</p></section>",
        '<span aria-label="became">one</span>',
        '<p size="3">one</p>',
        "<center>one</center>",
        '<input type="datetime-local" name="a" placeholder="">',
        '<input type="datetime-local" name="a" maxlength="3">',
        '<input type="number" name="a" value="many">',
        '<input type="hidden" name="a" required>',
        '<time datetime="2026-11-29T19:34:32.864925Z">one</time>',
        '<time datetime="yesterday">one</time>',
        '<select name="a"><p>one</p></select>',
        "<table><tbody><tr><td>one</td></tr><tr><td>one</td><td>two</td></tr></tbody></table>",
        "<form><form></form></form>",
    ],
)
def test_a_fault_of_each_kind_is_found(fault: str) -> None:
    page = '<!doctype html><html lang="en"><head><title>One</title></head><body>{}</body></html>'
    assert faults(page.format(fault))
    assert faults(page.format("<p>one</p>")) == [], "the control"
