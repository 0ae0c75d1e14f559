"""An organization with a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.policies.rules import NONE, POLICY, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def demand(admin: httpx.Client) -> Iterator[Callable[..., dict[str, Any]]]:
    """Changes the policy; after the test there is none again."""

    def change(**rules: Any) -> dict[str, Any]:
        changed: dict[str, Any] = ok(admin.put(POLICY, json=rules))
        return changed

    yield change
    change(**NONE)
