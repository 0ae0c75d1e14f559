"""All pages are accessible: by axe's rules, light and dark, on narrow and wide screens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.app import route_table
from tests.browsers import AXE, NEEDED, PAGES, browsing, open_page, organization_full_of, visiting
from tests.conftest import Server

_NAMES = list(PAGES)
_NO_PAGES = {
    "/sign-in/once", "/static/{name}", "/assistants/{assistant_id}/live", "/audit/export",
    "/audit/audit-key.json", "/audit/checkpoint.txt",
}  # fmt: skip
_GRAVE = ("serious", "critical")
_WIDTHS = (360, 2560)
_LONG = f"{'Donaudampfschifffahrt' * 12} and, after that, what it means in more than a few words."


def test_a_missing_browser_is_an_error_where_one_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(NEEDED, raising=False)
    with pytest.raises(pytest.skip.Exception), browsing():
        pass
    monkeypatch.setenv(NEEDED, "needed")
    with pytest.raises(pytest.fail.Exception), browsing():
        pass


@pytest.fixture(scope="module")
def window(chromium: Browser, server: Server) -> Iterator[Page]:
    """An admin's window, where all pages are full."""
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
    with visiting(
        chromium, server.url, organization_full_of(server, _LONG).admin, **options
    ) as page:
        yield page


def violations(page: Page, *rules: str) -> list[str]:
    """What is grave by axe's rules, or by some of them."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in _GRAVE
    ]


def overflow(page: Page, width: int) -> list[str]:
    """What is wider than a window of a width, where the page scrolls sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    found: list[str] = page.evaluate(
        """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
        [`${document.scrollingElement.scrollWidth} > ${innerWidth}`,
         ...[...document.body.querySelectorAll('*')]
           .filter(one => one.getBoundingClientRect().right > innerWidth)
           .map(one => one.outerHTML.slice(0, 200))]"""
    )
    page.set_viewport_size({"width": 1280, "height": 800})
    return found


# Steps of ``PAGES`` lead to these: their numbers are not known beforehand.
_BY_STEPS = {"/change-sets/{change_set_id}", "/change-sets/{change_set_id}/revert"}


def test_every_served_page_is_tested() -> None:
    served = {path for verb, path in route_table.PAGES if verb == "GET"}
    addresses = [way.partition("?")[0] for way in PAGES.values() if isinstance(way, str)]
    looked_at = {path_of(address, served) for address in addresses}
    assert served - looked_at - _BY_STEPS == _NO_PAGES


def path_of(address: str, served: set[str]) -> str:
    """The path in the route table that leads to an address."""
    fitting = [one for one in served if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), address)]
    return min(fitting, key=lambda one: one.count("{"))


@pytest.mark.parametrize("name", _NAMES)
def test_no_page_breaks_a_grave_rule_in_light_or_dark_or_scrolls_sideways(
    window: Page, name: str
) -> None:
    open_page(window, name)
    for width in _WIDTHS:  # of a phone, and of a wide screen
        assert overflow(window, width) == []
    assert violations(window) == []
    window.emulate_media(color_scheme="dark")
    try:
        assert violations(window, "color-contrast") == []  # all else is as it was
    finally:
        window.emulate_media(color_scheme="light")


def test_control_what_breaks_a_rule_is_found(window: Page) -> None:
    open_page(window, "assistants")
    window.evaluate("document.querySelector('[for=search]').remove()")
    assert any(found.startswith("label: ") for found in violations(window))
    window.emulate_media(color_scheme="dark")
    window.evaluate("document.documentElement.style.setProperty('--quiet', '#3a3d42')")
    assert violations(window, "color-contrast")
    window.emulate_media(color_scheme="light")


def test_control_what_is_too_wide_is_found(window: Page) -> None:
    open_page(window, "assistants")
    window.evaluate("document.querySelector('h1').style.minWidth = '500px'")
    assert overflow(window, 360)
    assert not overflow(window, 2560)
