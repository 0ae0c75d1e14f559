"""An assistant with a past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.reversals.past import with_a_past
from tests.app.given import Given

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def path(editor: httpx.Client, admin: httpx.Client) -> str:
    return with_a_past(editor, admin)


@pytest.fixture
def given(editor: httpx.Client, path: str, rows: Callable[[], Any]) -> Given:
    """The assistant of ``path``, in an editor's hands."""
    return Given(editor, path, rows)


@pytest.fixture(scope="module")
def still(editor: httpx.Client, admin: httpx.Client) -> str:
    """For the tests that change nothing."""
    return with_a_past(editor, admin)


@pytest.fixture
def given_still(editor: httpx.Client, still: str, rows: Callable[[], Any]) -> Given:
    """The assistant of ``still``, in an editor's hands."""
    return Given(editor, still, rows)
