"""JSONTestSuite's ``test_parsing`` at every door that takes JSON from the outside.

Each text stands as a member of the custom settings, in a body that is right but for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from app.console import fields
from events.bodies import parsing
from events.pointers import Tree
from tests.suites.suite import SUITES, counts, refused

if TYPE_CHECKING:
    import httpx

    from tests.console import Browser

SUITE = "json_test_suite"
ASSISTANTS = "/api/v1/assistants"
CHANGE_SETS = "/api/v1/change-sets"
JSON = {"content-type": "application/json"}
CASES = {
    file.stem: file.read_bytes() for file in sorted((SUITES / SUITE / "test_parsing").iterdir())
}
REFUSED = refused(SUITE)  # of what must be accepted (y_), or may be (i_)
WRONG = [name for name in CASES if name.startswith("n_") or name in REFUSED]
RIGHT = [name for name in CASES if name not in WRONG]


def wrong(name: str) -> bytes:
    """An object whose member is a text that must be refused."""
    return b'{"%b":%b}' % (name.encode(), CASES[name])


def right() -> bytes:
    """All that must be accepted: each in a list, for a member that is null would take it away."""
    return b"{%b}" % b",".join(b'"%b":[%b]' % (name.encode(), CASES[name]) for name in RIGHT)


def is_text(name: str) -> bool:
    """Whether a case is UTF-8: a form of anything else cannot be read at all."""
    try:
        CASES[name].decode()
    except UnicodeDecodeError:
        return False
    return True


# -- doors: what sends an object as the custom settings of the assistant with an id

Door = Callable[["httpx.Client", int, bytes], "httpx.Response"]


def by_patch(client: httpx.Client, assistant_id: int, sent: bytes) -> httpx.Response:
    body = b'{"custom_settings":%b}' % sent
    return client.patch(f"{ASSISTANTS}/{assistant_id}", content=body, headers=JSON)


def by_put(client: httpx.Client, assistant_id: int, sent: bytes) -> httpx.Response:
    body = b'{"custom_settings":%b}' % sent
    return client.put(f"{ASSISTANTS}/{assistant_id}", content=body, headers=JSON)


def by_json_patch(client: httpx.Client, assistant_id: int, sent: bytes) -> httpx.Response:
    body = b'[{"op":"add","path":"/custom_settings","value":%b}]' % sent
    headers = {"content-type": "application/json-patch+json"}
    return client.patch(f"{ASSISTANTS}/{assistant_id}", content=body, headers=headers)


def by_change_set(client: httpx.Client, assistant_id: int, sent: bytes) -> httpx.Response:
    body = b'{"assistant_ids":[%d],"patch":{"custom_settings":%b}}' % (assistant_id, sent)
    return client.post(CHANGE_SETS, content=body, headers=JSON)


DOORS: dict[str, Door] = {
    "PATCH": by_patch,
    "PUT": by_put,
    "JSON Patch": by_json_patch,
    "change set": by_change_set,
}


def created(client: httpx.Client, settings: bytes = b"{}") -> httpx.Response:
    body = b'{"name":"Texts","custom_settings":%b}' % settings
    return client.post(ASSISTANTS, content=body, headers=JSON)


@pytest.fixture
def assistant_id(editor: httpx.Client) -> int:
    return int(created(editor).json()["id"])


def is_read_as_sent(settings: Tree) -> bool:
    """Whether the settings hold what the texts say; as text, because in Python 1 is true."""
    expected = {name: [json.loads(CASES[name])] for name in RIGHT}
    return json.dumps(settings, sort_keys=True) == json.dumps(expected, sort_keys=True)


def rule_of(answer: httpx.Response) -> str:
    """The rule of JSON that a body broke."""
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["type"] == "json_invalid"
    message: str = error["msg"]
    return message


# -- the API


@pytest.mark.parametrize("door", DOORS)
def test_what_must_be_accepted_is_kept_as_it_was_sent(
    editor: httpx.Client, assistant_id: int, door: str
) -> None:
    answer = DOORS[door](editor, assistant_id, right())
    assert answer.is_success, answer.text
    kept = editor.get(f"{ASSISTANTS}/{assistant_id}").json()["custom_settings"]
    assert is_read_as_sent(kept)


def test_an_assistant_is_created_with_what_must_be_accepted(editor: httpx.Client) -> None:
    assert is_read_as_sent(created(editor, right()).json()["custom_settings"])


@pytest.mark.parametrize("door", DOORS)
def test_what_must_be_refused_is_refused_and_changes_nothing(
    editor: httpx.Client, assistant_id: int, door: str
) -> None:
    before = editor.get(f"{ASSISTANTS}/{assistant_id}").content
    for name in WRONG:
        rule = rule_of(DOORS[door](editor, assistant_id, wrong(name)))
        assert rule.startswith(REFUSED.get(name, "")), name
    assert editor.get(f"{ASSISTANTS}/{assistant_id}").content == before


def test_no_assistant_is_created_from_what_must_be_refused(editor: httpx.Client) -> None:
    for name in WRONG:
        rule_of(created(editor, wrong(name)))
    assert editor.get(f"{ASSISTANTS}/count").json() == {"count": 0}


# -- the console: its fields of JSON


def save(browser: Browser, shown: dict[str, Any], typed: dict[str, bytes]) -> httpx.Response:
    form = {"base_version": shown["version"]} | typed
    return browser.submit(f"/assistants/{shown['id']}", form)


def test_the_console_keeps_what_must_be_accepted(operator: Browser, editor: httpx.Client) -> None:
    shown = created(editor).json()
    saved = save(operator, shown, {"/custom_settings": right()})
    assert saved.status_code == 303
    kept = editor.get(f"{ASSISTANTS}/{shown['id']}").json()["custom_settings"]
    assert is_read_as_sent(kept)


def test_the_console_says_of_each_field_that_it_is_no_json(
    operator: Browser, editor: httpx.Client
) -> None:
    shown = created(editor).json()
    places = [one.path for one in fields.all_fields(shown) if one.kind == "json"]
    texts = [name for name in WRONG if is_text(name)]
    for start in range(0, len(texts), len(places)):  # as many at once as the form has fields
        names = texts[start : start + len(places)]
        typed = {path: wrong(name) for path, name in zip(places, names, strict=False)}
        answer = save(operator, shown, typed)
        assert answer.status_code == 422
        assert answer.text.count('aria-invalid="true"') == len(names), names
        for name in names:
            rule = REFUSED.get(name, "").removeprefix("JSON decode error")  # a page says where
            assert f"This is not valid JSON: {rule}" in answer.text
    assert editor.get(f"{ASSISTANTS}/{shown['id']}").json() == shown


def test_the_console_takes_no_form_that_is_no_text(operator: Browser, editor: httpx.Client) -> None:
    shown = created(editor).json()
    for name in WRONG:
        if not is_text(name):
            answer = save(operator, shown, {"/custom_settings": wrong(name)})
            assert answer.status_code == 422
            assert "in UTF-8" in answer.text
    assert editor.get(f"{ASSISTANTS}/{shown['id']}").json() == shown


# -- the table, and the control


def test_the_table_says_which_cases_are_refused() -> None:
    assert set(REFUSED) <= {name for name in CASES if not name.startswith("n_")}
    assert counts(SUITE) == (len(CASES), len(REFUSED))


def test_control_without_our_rules_what_breaks_one_would_be_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing, "_check", lambda *_: None)
    monkeypatch.setattr(parsing, "_unique", dict)
    monkeypatch.setattr(parsing, "count", lambda _: 0)  # it relies on the bound of the depth
    theirs = ("JSON decode error", "the text is not valid UTF-8")
    ours = [name for name, rule in REFUSED.items() if rule not in theirs]
    assert len(ours) > 20
    for name in ours:
        parsing.parse(CASES[name])


def test_control_a_text_that_is_read_in_another_way_would_be_noticed() -> None:
    read = json.loads(right())
    assert is_read_as_sent(read)
    assert not is_read_as_sent(read | {"y_structure_lonely_true": [1]})
    assert not is_read_as_sent(read | {"y_structure_lonely_int": [42.0]})
