"""The paths at which the API shows what an event is about."""

from __future__ import annotations

API = "/api/v1"
ASSISTANTS = f"{API}/assistants"


def assistant(assistant_id: int) -> str:
    """The path of an assistant as it is."""
    return f"{ASSISTANTS}/{assistant_id}"


def version(assistant_id: int, number: int) -> str:
    """The path of a version: what made it, and the assistant after it."""
    return f"{assistant(assistant_id)}/versions/{number}"
