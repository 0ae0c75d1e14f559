"""What the tests of the console share: an assistant's address, its past, and other browsers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.console import LONG, Browser, change


@pytest.fixture
def at(assistant: dict[str, Any]) -> str:
    """The address of an assistant."""
    return f"/assistants/{assistant['id']}"


@pytest.fixture
def past(at: str, editor: httpx.Client, admin: httpx.Client) -> None:
    """Two people change the assistant, version by version, to version 7."""
    change(editor, at, {"llm_settings": {"temperature": 0.2}}, "Calmer")
    change(admin, at, {"tts_settings": {"speed": 1.5}}, "Faster")
    change(editor, at, {"llm_settings": {"system_prompt": LONG}}, "Prompt")
    now = LONG.replace("today", "now")
    change(admin, at, {"llm_settings": {"system_prompt": now}}, "At once")
    change(editor, at, {"llm_provider_config": {"api_key": "sk-1"}}, "Key")
    change(editor, at, {"llm_provider_config": {"api_key": "sk-2"}}, "Other key")


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    """A browser that is not signed in."""
    with Browser(server.url) as opened:
        yield opened


@pytest.fixture
def outsider(server: Server) -> Iterator[Browser]:
    """An admin of another organization."""
    with Browser(server.url) as opened:
        opened.sign_in(server.organization().admin)
        yield opened
