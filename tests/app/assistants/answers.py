"""What tests read of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

MASK = "********"


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer with this status."""
    assert answer.status_code == status, answer.text
    return answer.json()


def errors(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    """The place and the type of each error of a 422."""
    assert answer.status_code == 422, answer.text
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]
