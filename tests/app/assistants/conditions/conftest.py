"""An assistant in version 3, which a test may change or must not."""

from __future__ import annotations

import httpx
import pytest

from tests.app.assistants.conditions.writes import make


@pytest.fixture
def path(editor: httpx.Client) -> str:
    return make(editor)
