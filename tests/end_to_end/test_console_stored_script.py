"""Stored markup and script are shown as text on all pages, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import Struct, field
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from app.console.rendering import templates
from app.escaping import printable
from tests.browsers import PAGES, control, open_page, organization_full_of, visiting
from tests.conftest import ASSISTANTS, Organization, Server

# Script as an address, as an element, as what goes on after the end of one, as an event, and a
# character that turns the direction around. A name, which is cut, has all but the last.
_TEXT = (
    "javascript:ran=1//\u202e</textarea></title>\"'><script>ran=1</script>"
    "<img src=x onerror=ran=1><svg onload='ran=1;alert(1)'>"
)
# Beside the table: each place of an address that is shown again.
_ADDRESSES = (
    "/assistants?search={}",
    "/search?q={}",
    "/assistants?status={}",
    "/sign-in?back={}",
    "/assistants/{}",
    "/assistants/1/history?path=/{}",
    "/assistants/1/history?actor={}",
    "/assistants/1/history?since={}",
    "/assistants/1/history?cursor={}",
    "/assistants/1/compare?from={}",
    "/assistants/1/compare?from=label:{}&to=latest",
    "/assistants/1/versions/{}",
    "/assistants/1/undo/2?on_conflict={}",
    "/assistants/1/rollback/{}",
    "/assistants/1/life?version={}",
    "/assistants/1/life?as_of={}",
    "/audit?event_type={}",
    "/audit?resource_type={}",
    "/audit?resource_type=assistant&resource_id={}",
    "/audit?user_id={}",
    "/audit?start_date={}",
    "/audit?cursor={}",
    "/audit/export?format={}",
)
_LISTEN = """
addEventListener("securitypolicyviolation", event =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))
"""
# Chromium's own word about the answer of a page that says what is wrong.
_STATUS = "Failed to load resource: the server responded with a status of 4"
_LEADING = "a, area, form, button, iframe, embed, object, meta[http-equiv], link, use, image"
_ADDRESSES_OF = f"""
[...document.querySelectorAll("{_LEADING}")].flatMap(one =>
  [...one.attributes].filter(({{name}}) => /href|action|src|data|content/.test(name))
  .map(({{value}}) => value.replace(/[\\s\\0-\\x1f]/g, "").toLowerCase()))
"""
# Texts with an override that could turn around what stands beside them.
_LOOSE = """
(() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const kept = text.parentElement.closest("bdi, ins, del, output, textarea, .text, .message");
    const is_alone = kept && /isolate|plaintext/.test(getComputedStyle(kept).unicodeBidi);
    if (text.data.includes("\\u202e") && !is_alone && !kept?.matches("textarea"))
      found.push(text.parentElement.outerHTML.slice(0, 200));
  }
  return found;
})()
"""


class Seen(Struct, dict=True):  # Playwright notes on it what it wraps
    """A window, and everything that a page did in it that no page of ours does."""

    page: Page
    heard: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_STATUS):
            self.heard.append(message.text)

    def dismiss(self, dialog: Dialog) -> None:
        self.heard.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def wrongs(self) -> list[str]:
        """All of it, and what is wrong with the page that is open."""
        ran = ["it ran"] if self.page.evaluate("'ran' in window") else []
        addresses = self.page.evaluate(_ADDRESSES_OF)
        leading = [one for one in addresses if "javascript:" in one[:50]]
        return [*self.heard, *ran, *leading, *self.page.evaluate(_LOOSE)]


@contextmanager
def watching(chromium: Browser, server: Server, key: str, **options: Any) -> Iterator[Seen]:
    with visiting(chromium, server.url, key, **options) as page:
        seen = Seen(page)
        page.add_init_script(_LISTEN)
        page.on("console", seen.hear)
        page.on("dialog", seen.dismiss)
        page.on("pageerror", lambda error: seen.heard.append(f"error: {error}"))
        yield seen


def test_a_script_in_any_text_runs_on_no_page(chromium: Browser, server: Server) -> None:
    with watching(chromium, server, organization_full_of(server, _TEXT).admin) as seen:
        for name in PAGES:
            open_page(seen.page, name)
            assert seen.wrongs() == [], name
        for address in _ADDRESSES:
            seen.page.goto(address.format(quote(_TEXT, safe="")))
            assert seen.wrongs() == [], address


def test_a_text_is_shown_as_it_is(chromium: Browser, server: Server) -> None:
    with visiting(chromium, server.url, organization_full_of(server, _TEXT).admin) as page:
        page.goto("/assistants/1")
        assert page.locator("h1").text_content() == printable(_TEXT[:100])
        assert control(page, "/llm_settings/system_prompt").input_value() == _TEXT
        for address, place in (("/assistants", "th"), ("/assistants/1/versions/2", "ins")):
            page.goto(address)
            texts = page.locator(place).all_text_contents()
            assert any(printable(_TEXT) in text for text in texts)


@pytest.mark.long
def test_a_script_in_a_prompt_of_a_megabyte_runs_on_no_page(
    chromium: Browser, server: Server
) -> None:
    """``pytest -m long tests/end_to_end/test_console_stored_script.py``."""
    organization = organization_full_of(server, "Usual")
    prompt = _TEXT * (1_000_000 // len(_TEXT))
    with server.client(organization.admin) as client:
        for text in (prompt, prompt.replace("=x", "=y", 1000)):
            body = {"llm_settings": {"system_prompt": text}}
            assert client.patch(f"{ASSISTANTS}/1", json=body).is_success
    with watching(chromium, server, organization.admin) as seen:
        seen.page.set_default_navigation_timeout(60_000)  # milliseconds
        listed = [way for way in PAGES.values() if isinstance(way, str)]
        for address in (*listed, "/assistants/1/versions/8", "/assistants/1/undo/8"):
            seen.page.goto(address)
            assert seen.wrongs() == [], address


def test_control_without_escaping_the_policy_reports_it_and_without_both_it_runs(
    chromium: Browser, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "autoescape", False)
    monkeypatch.setattr(templates, "cache", None)  # of what was compiled with it
    key = organization_full_of(server, _TEXT).admin
    with watching(chromium, server, key) as seen:
        seen.page.goto("/")
        assert any(one.startswith("policy: script-src") for one in seen.wrongs())
        assert "it ran" not in seen.wrongs()
    with watching(chromium, server, key, bypass_csp=True) as seen:
        seen.page.goto("/")
        assert "it ran" in seen.wrongs()


def test_control_an_address_that_is_script_is_found(
    chromium: Browser, server: Server, organization: Organization
) -> None:
    with watching(chromium, server, organization.viewer) as seen:
        seen.page.goto("/")
        seen.page.evaluate("document.querySelector('a').href = 'java\\nscript:alert(1)'")
        assert seen.wrongs() == ["javascript:alert(1)"]


def test_control_a_name_that_turns_the_text_beside_it_is_found(
    chromium: Browser, server: Server
) -> None:
    with watching(chromium, server, organization_full_of(server, _TEXT).admin) as seen:
        seen.page.goto("/")
        seen.page.evaluate("document.querySelector('bdi').outerHTML = 'turned \\u202e around'")
        assert any("\u202e" in one for one in seen.wrongs())
