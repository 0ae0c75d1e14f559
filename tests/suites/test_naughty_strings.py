"""The Big List of Naughty Strings, each in six places: kept as sent, or the table says why not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests.console import Browser
from tests.suites.suite import SUITES, counts, rows

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Organization, Server

SUITE = "naughty_strings"
ASSISTANTS = "/api/v1/assistants"
PLACES = ("name", "prompt", "reason", "label", "free-form name", "free-form value")
# Some stand in the list twice.
STRINGS = list(dict.fromkeys(json.loads((SUITES / SUITE / "blns.json").read_bytes())))
AS_SENT = "as sent"

Kept = dict[str, dict[str, str]]  # by place and by string: what became of it


def outcome(sent: str, kept: str | None) -> str:
    """What became of a string that was accepted."""
    if kept == sent:
        return AS_SENT
    if kept == (sent.strip() or None):
        return "none" if kept is None else "trimmed"
    return f"changed to {kept!r}"


def refusal(answer: httpx.Response) -> str:
    """Why a string was refused."""
    (error,) = answer.json()["detail"]
    message: str = error["msg"]
    return message


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture(scope="module")
def kept(editor: httpx.Client) -> Kept:
    """What became of each string in each place; one assistant gets them all."""
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'Texts'}).json()['id']}"
    # Several at a time: those that wait together share a transaction.
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(partial(_send, editor, path), STRINGS))
    entries = {entry["version"]: entry for entry in _all(editor, f"{path}/versions")}
    found: Kept = {place: {} for place in PLACES} | _free_form(editor)
    for string, (became, version) in zip(STRINGS, sent, strict=True):
        said = entries[version]
        became["reason"] = outcome(string, said["change_description"])
        became.setdefault("label", outcome(string, said["label"]))
        for place in became:
            found[place][string] = became[place]
    return found


def _send(editor: httpx.Client, path: str, string: str) -> tuple[dict[str, str], int]:
    """What became of a string as a name, a prompt and a label, and the version that has it."""
    body = {"llm_settings": {"system_prompt": string}, "change_description": string}
    answer = editor.patch(path, json=body | {"name": string})
    became = {}
    if answer.status_code == 200:
        became["name"] = outcome(string, answer.json()["name"])
    else:
        became["name"] = refusal(answer)
        answer = editor.patch(path, json=body)
    shown = answer.json()
    became["prompt"] = outcome(string, shown["llm_settings"]["system_prompt"])
    label = editor.put(f"{path}/versions/{shown['version']}/label", json={"label": string})
    if label.status_code != 200:
        became["label"] = refusal(label)
    return became, shown["version"]


def _free_form(editor: httpx.Client) -> Kept:
    sent = {string: string for string in STRINGS}
    body = {"name": "Free form", "custom_settings": {"texts": sent}}
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
    texts = editor.get(path).json()["custom_settings"]["texts"]
    assert len(texts) == len(sent)
    names = dict(zip(sent, texts, strict=True))  # members keep their order
    return {
        "free-form name": {string: outcome(string, names[string]) for string in STRINGS},
        "free-form value": {string: outcome(string, texts[names[string]]) for string in STRINGS},
    }


def _all(editor: httpx.Client, address: str) -> Iterator[dict[str, Any]]:
    """Every entry of a list, page by page."""
    answer = editor.get(address, params={"limit": 200})
    while True:
        yield from answer.json()
        if "next" not in answer.links:
            return
        answer = editor.get(answer.links["next"]["url"])


@pytest.mark.parametrize("place", PLACES)
def test_a_string_is_kept_as_it_was_sent_or_the_table_says_why_not(kept: Kept, place: str) -> None:
    observed = Counter(kept[place].values())
    assert observed.pop(AS_SENT) + observed.total() == len(STRINGS)
    assert observed == {
        became: int(number)
        for at, number, became, _ in rows("Naughty strings that are not kept as sent")
        if at == place
    }


def test_the_table_counts_the_strings(kept: Kept) -> None:
    every = [became for place in PLACES for became in kept[place].values()]
    assert counts(SUITE) == (len(every), len([one for one in every if one != AS_SENT]))


def test_control_a_string_that_is_changed_would_be_noticed() -> None:
    assert outcome("\uff41", "a") == "changed to 'a'"
    assert outcome("a\r\n b", "a\n b") == r"changed to 'a\n b'"
    assert outcome(" a", "a ") == "changed to 'a '"
    assert outcome("a", None) == "changed to None"


# -- the console


class Page(HTMLParser):
    """A page as a browser takes it apart: its elements, and the texts of its text areas."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: dict[str, str] = {}
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append(f"{tag} {sorted(attributes)}")
        if tag == "textarea":
            self._in = attributes["name"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._in = None

    def handle_data(self, data: str) -> None:
        if self._in is not None:
            self.texts[self._in] = self.texts.get(self._in, "") + data


def test_the_console_shows_every_string_as_text(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    strings = {string: string for string in STRINGS}
    with Browser(server.url) as browser:
        browser.sign_in(organization.editor)
        pages = []
        for texts in ({}, strings):
            body = {"name": "Texts", "custom_settings": {"texts": texts}}
            made = editor.post(ASSISTANTS, json=body).json()
            pages.append(Page(browser.get(f"/assistants/{made['id']}").text))
    plain, naughty = pages
    assert naughty.elements == plain.elements
    assert json.loads(naughty.texts["/custom_settings"]) == made["custom_settings"]


def test_control_a_string_that_is_no_text_would_be_noticed() -> None:
    assert Page("<p><b>").elements != Page("<p><b onclick=x>").elements
    raw = "".join(f"<textarea name=a>{string}</textarea>" for string in STRINGS)
    assert len(Page(raw).elements) > len(STRINGS)
