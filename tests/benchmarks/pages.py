"""The console's pages about an assistant with a long past and a long prompt."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from statistics import median

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.transactions.unit_of_work import UnitOfWork
from events.bodies.patch import read_patch
from events.changed import Cause
from tests.benchmarks import load, places
from tests.benchmarks.load import Row
from tests.benchmarks.places import CALLER
from tests.console import Browser

EVENTS = 10_000
_OTHERS = 49  # assistants beside it: a full page of the list
_WORDS = 20_000
_EDITED = 100  # each change of so many is one of the prompt
_TIMES = 20
_MILLISECONDS = 150
_KILOBYTES = 200
_PAGES = {
    "assistants": "/",
    "assistant": "/assistants/1",
    "history": "/assistants/1/history",
    "change of the prompt": f"/assistants/1/versions/{EVENTS - _EDITED + 2}",
    "comparison of first and last": "/assistants/1/compare?from=1",
    "plan of a rollback": f"/assistants/1/rollback/{EVENTS // 2}",
}


def pages() -> Iterator[Row]:
    """Each page, asked for by one who waits for the whole of it, and what came over the wire."""
    with places.fresh() as place:
        places.fill(place, [EVENTS, *[2] * _OTHERS], _change)
        with load.serving(place.folder, place.url) as (url, _), Browser(url) as browser:
            browser.sign_in(place.keys.editor)
            for name, address in _PAGES.items():
                yield from _rows(name, [_ask(browser, address) for _ in range(_TIMES)])


def _rows(name: str, taken: list[tuple[float, int]]) -> Iterator[Row]:
    times, sizes = zip(*taken, strict=True)
    yield Row(
        what=f"page: {name}",
        measured=f"{median(times) * 1000:.0f} ms",
        goal=f"< {_MILLISECONDS} ms",
        beside=f"{max(times) * 1000:.0f} ms at most",
    )
    yield Row(
        what=f"page: {name}, compressed",
        measured=f"{median(sizes) / 1000:.0f} KB",
        goal=f"< {_KILOBYTES} KB",
    )


def _ask(browser: Browser, address: str) -> tuple[float, int]:
    """The seconds until all bytes of a page were there, and how many they were."""
    began = time.perf_counter()
    with browser.client.stream("GET", address) as answer:
        size = sum(map(len, answer.iter_raw()))
        seconds = time.perf_counter() - began
    answer.raise_for_status()
    assert answer.headers["content-encoding"] == "gzip"
    return seconds, size


def _change(unit: UnitOfWork, assistant: int, number: int) -> None:
    """A change of the prompt by a few words now and then, of a number usually."""
    if number % _EDITED != 1:
        places.change(unit, assistant, number)
        return
    patch = read_patch({"llm_settings": {"system_prompt": _prompt(number)}})
    change_request = ChangeRequest(
        caller=CALLER, assistant_id=assistant, reason="Callers asked for it"
    )
    changes.change(unit, change_request, patch, Cause(type="patch"))


def _prompt(number: int) -> str:
    choose = random.Random(5)
    letters = "aeinorst"
    known = ["".join(choose.choices(letters, k=choose.randint(2, 9))) for _ in range(3000)]
    words = choose.choices(known, k=_WORDS)
    for place in random.Random(number).sample(range(_WORDS), 5):
        words[place] = f"word{number}"
    return " ".join(words)
