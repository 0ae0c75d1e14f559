"""An assistant with a past."""

from __future__ import annotations

import httpx
import pytest

from tests.app.assistants.reversals.past import with_a_past


@pytest.fixture
def path(editor: httpx.Client, admin: httpx.Client) -> str:
    return with_a_past(editor, admin)


@pytest.fixture(scope="module")
def still(editor: httpx.Client, admin: httpx.Client) -> str:
    """For the tests that change nothing."""
    return with_a_past(editor, admin)
