"""The history links each reversal with what it took back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.app import stored
from tests.app.assistants.answers import ok
from tests.app.assistants.reversals.past import links, roll_back, undo
from tests.conftest import (
    Organization,
    Server,
)


def test_history_links_an_undo_both_ways(editor: httpx.Client, path: str) -> None:
    undo(editor, path, version=4)
    assert links(editor, path) == {6: ([4], []), 4: ([], [6])}


def test_history_links_a_whole_rollback_to_all_that_it_took_back(
    editor: httpx.Client, path: str
) -> None:
    roll_back(editor, path, to_version=2)
    assert links(editor, path) == {
        6: ([5, 4, 3], []), 5: ([], [6]), 4: ([], [6]), 3: ([], [6]),
    }  # fmt: skip
    editor.post(f"{path}/settings-history/6/rollback")
    assert links(editor, path)[7] == ([6], [])
    assert links(editor, path)[6] == ([5, 4, 3], [7])


def test_history_links_a_rollback_of_paths_to_the_versions_that_changed_them(
    editor: httpx.Client, path: str
) -> None:
    roll_back(editor, path, to_version=1, paths=["/llm_settings"])
    assert links(editor, path) == {6: ([3, 2], []), 3: ([], [6]), 2: ([], [6])}


def test_a_version_may_be_taken_back_more_than_once(editor: httpx.Client, path: str) -> None:
    undo(editor, path, version=5)
    roll_back(editor, path, to_version=4, paths=["/description"])  # changes nothing
    assert links(editor, path) == {6: ([5], []), 5: ([], [6])}
    roll_back(editor, path, to_version=1)
    assert links(editor, path)[5] == ([], [6, 7])
    assert links(editor, path)[7] == ([6, 5, 4, 3, 2], [])


def test_history_links_a_restoration_and_its_deletion(editor: httpx.Client, path: str) -> None:
    for _ in range(2):
        editor.delete(path)
        editor.post(f"{path}/restore")
    assert links(editor, path) == {
        9: ([8], []), 8: ([], [9]), 7: ([6], []), 6: ([], [7]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "body", "cause"),
    [
        ("rollback", {"to_version": 2}, {"type": "rollback", "to_version": 2}),
        ("rollback", {"to_version": "-1"}, {"type": "rollback", "to_version": 4}),
        (
            "rollback",
            {"to_version": 1, "paths": ["/tts_settings"]},
            {"type": "rollback", "to_version": 1, "paths": ["/tts_settings"]},
        ),
        ("settings-history/3/rollback", {}, {"type": "rollback", "to_version": 2}),
        ("undo", {"version": "latest"}, {"type": "undo", "undoes": 5}),
    ],
)
def test_every_event_says_what_it_took_back_and_why(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    path: str,
    place: str,
    body: dict[str, Any],
    cause: dict[str, Any],
) -> None:
    ok(editor.post(f"{path}/{place}", json=body | {"change_description": " A mistake "}))
    event = stored.events(server.database, organization.id)[-1]
    assert (event["cause"], event["reason"]) == (cause, "A mistake")
    entry = ok(editor.get(f"{path}/settings-history/6"))
    assert (entry["cause"], entry["change_description"]) == (cause, "A mistake")
    shown = ok(editor.get(f"{path}/versions/6"))
    assert (shown["cause"], shown["change_description"]) == (cause, "A mistake")
