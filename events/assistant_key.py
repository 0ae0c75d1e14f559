"""The key of an assistant: its organization and its id."""

from __future__ import annotations

from typing import NamedTuple


class AssistantKey(NamedTuple):
    """Which assistant of which organization. Spread it with ``*key`` into two arguments."""

    organization_id: int
    assistant_id: int
