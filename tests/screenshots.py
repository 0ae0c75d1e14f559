"""The console as pictures: ``python -m tests.screenshots [--to DIR] [NAME...]``.

Of the demo, with its past: each page in light, in dark, and on a phone. The README's are made by
``python -m tests.screenshots --to .github assistant-light history-dark``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browsers import browsing, visiting
from tests.end_to_end.processes import started
from tests.end_to_end.test_demo import Demo, introduced

_DESKTOP = {"width": 1120, "height": 700}
_LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": _DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": _DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 800}, "color_scheme": "light"},
}
_PAGES = {
    "sign-in": "/sign-in",
    "assistants": "/",
    "new": "/assistants/new",
    "assistant": "/assistants/1",
    "history": "/assistants/1/history",
    "change": "/assistants/1/versions/11",
    "compare": "/assistants/1/compare?from=1",
    "undo": "/assistants/1/undo/11",
    "rollback": "/assistants/1/rollback/8",
    "side": "/assistants/1/versions/11?view=side",
    "life": "/assistants/1/life?version=5",
    "audit": "/audit",
    "keys": "/keys",
    "policy": "/policy",
    "problem": "/assistants/99",
}


@contextmanager
def _demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="backstory-pictures-") as folder:
        place = Path(folder)
        with started(place, "demo", "--port", "0", TMPDIR=folder) as process:
            yield introduced(process)


def take(page: Page, folder: Path, look: str, names: Collection[str]) -> None:
    """A picture of each page that is named, as far as the window shows it."""
    for name, address in _PAGES.items():
        if f"{name}-{look}" in names:
            page.goto(address)
            page.screenshot(path=folder / f"{name}-{look}.png", animations="disabled")


def main() -> None:
    """Take all pictures, or those that are named."""
    every = [f"{name}-{look}" for look in _LOOKS for name in _PAGES]
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots")
    parser.add_argument("--to", type=Path, default=Path("screenshots"), metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(every))
    wanted = parser.parse_args()
    if unknown := set(wanted.names).difference(every):
        parser.error(f"there is no {', '.join(unknown)}")
    wanted.to.mkdir(parents=True, exist_ok=True)
    with _demo() as demo, browsing() as browser:
        for look, options in _LOOKS.items():
            with visiting(browser, demo.url, demo.key, timezone_id="UTC", **options) as page:
                take(page, wanted.to, look, wanted.names or every)


if __name__ == "__main__":
    main()
