"""The caller of a change: the actor that its events name, and what the actor may do."""

from __future__ import annotations

from msgspec import Struct

from events.assistant_key import AssistantKey
from events.changed import Actor


class Caller(Struct, frozen=True, kw_only=True):
    """Who changes something, in which organization, with which request."""

    organization_id: int
    actor: Actor
    is_admin: bool = False
    may_reveal: bool = False  # secrets; only such a caller may learn that two are equal
    request_id: str | None = None
    idempotency_key: str | None = None

    def assistant_key(self, assistant_id: int) -> AssistantKey:
        """The key of an assistant of the caller's organization."""
        return AssistantKey(self.organization_id, assistant_id)


def system(organization_id: int, name: str) -> Caller:
    """The server or its operator, as events name them."""
    actor = Actor(type="system", id=0, name=name, user_id=0)
    return Caller(organization_id=organization_id, actor=actor, is_admin=True)
