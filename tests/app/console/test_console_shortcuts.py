"""Single-key shortcuts, as the pages declare them."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Server
from tests.console import Browser

pytestmark = pytest.mark.usefixtures("past")


@pytest.mark.parametrize(
    "below",
    ["", "/history", "/versions/3", "/versions/3?view=side", "/compare", "/life?version=3",
     "/undo/3", "/rollback/3"],
)  # fmt: skip
def test_a_shortcut_has_one_target_on_a_page_and_no_global_key(
    operator: Browser, at: str, below: str
) -> None:
    page = operator.get(at + below).text
    tags = re.findall(r"<(\w+)\b[^>]*\bdata-key=\"([^\"]*)\"", page)
    keys = [key for _, key in tags]
    assert {"s", "h", "c", "t"} <= set(keys)
    assert len(keys) == len(set(keys))
    assert not set(keys) & {"?", "/", "j", "k", "g"}
    assert {tag for tag, _ in tags} <= {"a", "button"}
    assert all(len(key) == 1 for key in keys)


def test_the_shortcuts_button_is_hidden_without_script(operator: Browser, server: Server) -> None:
    page = operator.get("/").text
    assert re.search(r"<button[^>]* data-keys-open hidden>", page)
    assert "<dialog" in page
    with Browser(server.url) as visitor:
        assert "<dialog" not in visitor.get("/sign-in").text
