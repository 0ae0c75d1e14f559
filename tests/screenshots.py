"""The console as pictures: ``python -m tests.screenshots [--to DIR] [NAME...]``.

Of the demo, with its past: each page and its states in light, in dark, and on a phone. The clocks
of the server and of the browser stand, and what is drawn at random is replaced: the same pages give
the same pictures. The README's are made by
``python -m tests.screenshots --to .github assistant-light history-dark``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog
from msgspec import Struct
from playwright.sync_api import Browser, BrowserContext, Page

from app.cli import demo
from tests.browsers import TEMPERATURE, browsing, control, sign_in
from tests.conftest import serving
from tests.databases import config_of

_NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_DESKTOP = {"width": 1280, "height": 800}
_LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": _DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": _DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
_KEYS = "/api/v1/users/me/api-keys"
_ASSISTANT = "/api/v1/assistants/1"
_POLICY = {
    "require_reason_for": ["/recording_settings"],
    "admin_paths": ["/llm_provider_config/base_url", "/tools_settings/transfer_call"],
    "secret_paths": ["/custom_settings/token"],
}
# Keys, signatures and hashes are drawn at random.
_SAME_EACH_TIME = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    node.data = node.data
      .replace(/bks_[A-Za-z0-9]{20,}/g, "bks_" + "0123456789".repeat(4).slice(0, 36))
      .replace(/bks_(?!0123)[A-Za-z0-9]{8}/g, "bks_01234567")
      .replace(/127\\.0\\.0\\.1:\\d+/g, "127.0.0.1:8000");
  }
}"""


class Demo(Struct, frozen=True, kw_only=True):
    """A demo that runs: its address, and the keys of an admin and of a viewer."""

    url: str
    admin: str
    viewer: str


@contextmanager
def running_demo() -> Iterator[Demo]:
    """The demo at a moment that stands still, with a policy and a viewer's key."""
    quiet = structlog.make_filtering_bound_logger(50)
    structlog.configure(wrapper_class=quiet)
    with tempfile.TemporaryDirectory(prefix="backstory-pictures-") as folder:
        database = Path(folder, "backstory.db")
        admin = demo.seed(config_of(database), clock)
        with serving(database, [], clock) as server, server.client(admin) as api:
            api.put("/api/v1/policy", json=_POLICY).raise_for_status()
            made = api.post(_KEYS, json={"name": "Auditor", "role": "viewer"}).json()
            yield Demo(url=server.url, admin=admin, viewer=made["key"])


def clock() -> datetime:
    """The moment at which all pictures are taken."""
    return _NOW


# -- the states of pages


def _group(page: Page) -> None:
    """An open group of settings."""
    page.goto("/assistants/1#transcription")
    page.locator("#transcription").scroll_into_view_if_needed()


def _edited(page: Page) -> None:
    """Edits that are not saved yet."""
    page.goto("/assistants/1")
    control(page, "/llm_settings/welcome_message").fill("Northwind Dental, good morning!")
    control(page, "/tts_settings/speed").fill("0.9")


def _reviewed(page: Page) -> None:
    """Edits as they are shown before they are saved."""
    _edited(page)
    page.get_by_role("button", name="Review changes").click()
    page.get_by_role("heading", name="Review changes").wait_for()


def _saved(page: Page) -> None:
    """A change that was just saved."""
    _edited(page)
    page.get_by_label("Reason").first.fill("Slower in the morning")
    page.get_by_role("button", name="Save as version").click()
    page.get_by_text("Saved as version").first.wait_for()


def _warned(page: Page) -> None:
    """A saved change that the policy warns of."""
    page.goto("/assistants/1")
    path = "/tools_settings/transfer_call/transfer_numbers"
    control(page, path).evaluate(
        "(area, text) => { area.hidden = false; area.value = text; }", "+14155550108"
    )
    page.get_by_role("button", name="Save as version").click()
    page.get_by_role("heading", name="Saved as version").wait_for()


def _refused(page: Page) -> None:
    """A value that is no JSON."""
    page.goto("/assistants/1")
    control(page, "/webhook_headers").fill("{")
    page.get_by_role("button", name="Save as version").click()
    page.get_by_role("alert").wait_for()


def _conflict(page: Page, api: httpx.Client) -> None:
    """A setting that somebody else saved meanwhile."""
    page.goto("/assistants/1")
    control(page, TEMPERATURE).fill("0.6")
    api.patch(_ASSISTANT, json={"llm_settings": {"temperature": 0.5}})
    page.get_by_role("button", name="Save as version").click()
    page.get_by_role("heading", name="Conflicting changes").wait_for()


def _meanwhile(page: Page, api: httpx.Client) -> None:
    """The banner that reports a change by somebody else."""
    page.goto("/assistants/1/history")
    api.patch(_ASSISTANT, json={"idle_timeout": 25, "change_description": "Longer again"})
    page.get_by_text("Changed since you opened this page").wait_for()


def _new_key(page: Page) -> None:
    """A new key, which is shown once."""
    page.goto("/keys")
    page.get_by_label("Name", exact=True).fill("Contractor")
    page.get_by_role("button", name="Create key").click()
    page.get_by_text("Copy it now").wait_for()


def _many(page: Page) -> None:
    """Assistants that are selected, and the choice of settings to change."""
    page.goto("/assistants")
    for box in page.locator("[name=assistant]").all()[:3]:
        box.check()
    page.get_by_role("button", name="Change settings").click()
    page.locator("#setting").wait_for()


def _planned(page: Page) -> None:
    """The plan of a change of many assistants."""
    _many(page)
    page.keyboard.type("Tools \u203a Transfer call \u203a Transfer numbers")
    page.get_by_role("heading", name="Transfer numbers").wait_for()
    page.keyboard.type("+14155550107")
    page.get_by_role("button", name="Preview changes").click()
    page.get_by_role("heading", name="will change").first.wait_for()


def _set_saved(page: Page) -> None:
    """A change of many assistants that was just saved."""
    _planned(page)
    page.get_by_label("Reason").first.fill("New line of the practice")
    page.get_by_role("button", name="Change 3 assistants").click()
    page.get_by_role("button", name="Undo").first.wait_for()


Way = str | Callable[..., None]  # an address, or the steps to a state
# The name of each picture, with the page's address or the steps that lead to it.
_PAGES: dict[str, Way] = {
    "home": "/",
    "search": "/search?q=dental",
    "search-setting": "/search?q=silence+timeout",
    "assistants-of-setting": "/assistants?sort=name&setting=/idle_timeout",
    "search-none-found": "/search?q=no-such-name",
    "assistants": "/assistants",
    "assistants-none-found": "/assistants?search=no-such-name",
    "assistants-deleted": "/assistants?status=deleted",
    "compare-two": "/assistants/compare?left=1&right=2",
    "copy": "/assistants/copy?source=1&setting=/tts_settings/speed",
    "change-many": _many,
    "change-many-planned": _planned,
    "change-sets-none": "/change-sets",
    "new": "/assistants/new",
    "assistant": "/assistants/1",
    "assistant-group": _group,
    "assistant-filtered": "/assistants/1?only=differing",
    "assistant-edited": _edited,
    "assistant-reviewed": _reviewed,
    "assistant-refused": _refused,
    "history": "/assistants/1/history",
    "history-none-found": "/assistants/1/history?actor=nobody",
    "history-wrong-filter": "/assistants/1/history?path=nonsense",
    "change": "/assistants/1/versions/11",
    "creation": "/assistants/1/versions/1",
    "side": "/assistants/1/versions/11?view=side",
    "compare": "/assistants/1/compare?from=1",
    "undo": "/assistants/1/undo/11",
    "undo-later-changes": "/assistants/1/undo/7",
    "rollback": "/assistants/1/rollback/8",
    "life": "/assistants/1/life?version=5",
    "audit": "/audit",
    "audit-filtered": "/audit?event_type=assistant_settings_changed&user_id=Ada+Okafor",
    "audit-none-found": "/audit?end_date=2020-01-01",
    "audit-wrong-filter": "/audit?user_id=Nobody&event_type=policy_changed",
    "keys": "/keys",
    "key": "/keys/1",
    "policy": "/policy",
    "problem": "/assistants/99",
}
# What a viewer sees.
_VIEWERS: dict[str, Way] = {
    "viewer-assistant": "/assistants/1",
    "viewer-policy": "/policy",
    "no-permission": "/audit",
}
# These change something: last, and in this order.
_CHANGING: dict[str, Way] = {
    "new-key": _new_key,
    "saved": _saved,
    "saved-with-warnings": _warned,
    "change-set": _set_saved,
    "change-sets": "/change-sets",
    "conflict": _conflict,
    "changed-meanwhile": _meanwhile,
}
_NEEDING_API = ("conflict", "changed-meanwhile")
_WAYS: dict[str, Way] = {"sign-in": "/sign-in"} | _PAGES | _VIEWERS | _CHANGING


@contextmanager
def _window(browser: Browser, url: str, key: str | None, options: Any) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(base_url=url, timezone_id="UTC", **options)
    try:
        if key is not None:
            sign_in(context, key)
        page = context.new_page()
        page.clock.set_fixed_time(_NOW)
        yield page
    finally:
        context.close()


def take(page: Page, path: Path, way: Way) -> None:
    """A picture of a page, as far as the window shows it."""
    if isinstance(way, str):
        page.goto(way)
    else:
        way(page)
    page.evaluate(_SAME_EACH_TIME)
    page.screenshot(path=path, animations="disabled", caret="hide")


def take_all(running: Demo, folder: Path, look: str, names: Collection[str]) -> None:
    """The pictures in one look that are named, each in a window of its own."""
    keys = {"sign-in": None, **dict.fromkeys(_VIEWERS, running.viewer)}
    authorization = {"authorization": f"Bearer {running.admin}"}
    with browsing() as browser, httpx.Client(base_url=running.url, headers=authorization) as api:
        for name, way in _WAYS.items():
            if f"{name}-{look}" in names:
                key = keys.get(name, running.admin)
                steps = partial(way, api=api) if name in _NEEDING_API and callable(way) else way
                with _window(browser, running.url, key, _LOOKS[look]) as page:
                    take(page, folder / f"{name}-{look}.png", steps)


def main() -> None:
    """Take all pictures, or those that are named."""
    every = [f"{name}-{look}" for look in _LOOKS for name in _WAYS]
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots")
    parser.add_argument("--to", type=Path, default=Path("screenshots"), metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(every))
    wanted = parser.parse_args()
    if unknown := set(wanted.names).difference(every):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    wanted.to.mkdir(parents=True, exist_ok=True)
    names = wanted.names or every
    for look in _LOOKS:
        if any(name.endswith(f"-{look}") for name in names):
            with running_demo() as running:  # anew, since some pictures change it
                take_all(running, wanted.to, look, names)


if __name__ == "__main__":
    main()
