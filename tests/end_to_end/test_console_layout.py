"""An assistant's page stands still while it loads, and shows many settings at once."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browsers import organization_full_of, visiting
from tests.conftest import Server

_WINDOWS = [(1280, 800), (360, 740)]
_MOST_SHIFT = 0.02
_FEWEST_SETTINGS = 13
_SHIFT = """() => new Promise(done => {
  let sum = 0;
  const add = entries => entries.forEach(one => { sum += one.value; });
  const observer = new PerformanceObserver(list => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
    add(observer.takeRecords());
    done(sum);
  })));
})"""
_SHOWN = """() => {
  const group = document.querySelector("#voice").closest("details");
  group.open = true;
  group.scrollIntoView();
  const bar = document.querySelector("[data-bar]").getBoundingClientRect().top;
  return [...group.querySelectorAll("[data-row]")].map(row => row.getBoundingClientRect())
    .filter(row => row.top >= 0 && row.bottom <= bar).length;
}"""

_LOOSE = "document.querySelectorAll('.field').forEach(row => { row.style.padding = '1rem'; })"


def opened(page: Page) -> Page:
    page.goto("/assistants/1", wait_until="networkidle")
    return page


@pytest.mark.parametrize(("width", "height"), _WINDOWS)
def test_nothing_moves_while_an_assistants_page_loads(
    chromium: Browser, server: Server, width: int, height: int
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": height}}
    key = organization_full_of(server, "Hello").admin
    with visiting(chromium, server.url, key, **options) as page:
        assert opened(page).evaluate(_SHIFT) < _MOST_SHIFT
        page.evaluate("document.querySelector('main').prepend(document.createElement('hr'))")
        page.evaluate("document.querySelector('main > hr').style.height = '99px'")  # the control
        assert page.evaluate(_SHIFT) > _MOST_SHIFT


def test_an_opened_group_shows_thirteen_settings_in_a_laptops_window(
    chromium: Browser, server: Server
) -> None:
    organization = server.organization()
    with server.client(organization.admin) as api:
        api.post("/api/v1/assistants", json={"name": "Front desk"}).raise_for_status()
    options: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
    with visiting(chromium, server.url, organization.admin, **options) as page:
        assert opened(page).evaluate(_SHOWN) >= _FEWEST_SETTINGS
        page.evaluate(_LOOSE)  # the control
        assert page.evaluate(_SHOWN) < _FEWEST_SETTINGS


_STUCK = (  # a field in what stays in view: its selector, and the page
    ("[data-bar] [name=change_description]", "/assistants/1"),
    (".bar [name=change_description]", "/assistants/1/undo/3"),
)
_ALWAYS_PADDED = "document.documentElement.style.scrollPadding = '5rem 0'"


@pytest.mark.parametrize(("field", "address"), _STUCK)
def test_typing_in_a_field_that_stays_in_view_scrolls_nothing(
    chromium: Browser, server: Server, field: str, address: str
) -> None:
    key = organization_full_of(server, "Hello").admin
    with visiting(chromium, server.url, key, viewport={"width": 1280, "height": 500}) as page:
        page.goto(address, wait_until="networkidle")
        assert not _scrolled_by_typing(page, field)
        if "data-bar" in field:  # the control
            page.evaluate(_ALWAYS_PADDED)
            assert _scrolled_by_typing(page, field)


def _scrolled_by_typing(page: Page, field: str) -> bool:
    """Whether the page scrolls while it is typed into a field, from its middle."""
    middle = "scrollTo(0, (document.documentElement.scrollHeight - innerHeight) / 2)"
    page.evaluate(f"document.activeElement.blur(); {middle}")
    before = page.evaluate("scrollY")
    box = page.locator(field).first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 9, box["y"] + 9)  # a locator's click would scroll by itself
    page.keyboard.type("Why")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    return bool(page.evaluate("scrollY") != before)
