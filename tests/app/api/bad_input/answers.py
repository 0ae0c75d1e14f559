"""What answers to bad input hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def places(answer: httpx.Response) -> list[list[str | int]]:
    """Where the rules are that a request broke."""
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()["detail"]
    assert found
    for error in found:
        assert set(error) == {"loc", "msg", "type"}
        assert error["msg"]
    return [error["loc"] for error in found]
