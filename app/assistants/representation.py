"""An assistant as it is shown, and the tag that fits what is shown and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants.preconditions import tag_of
from projections.current import represent, stamp_of

if TYPE_CHECKING:
    from events.changed import State


class Representation(Struct, frozen=True):
    """The bytes of an assistant, and their tag."""

    body: bytes
    tag: str


def of(organization_id: int, assistant_id: int, state: State, asked: str = "") -> Representation:
    """A state as it is shown; ``asked`` is the query that asks for it where it is a past one."""
    body = encode(organization_id, assistant_id, state)
    resource = f"assistants/{assistant_id}?{asked}"
    return Representation(body, tag_of(organization_id, resource, body, stamp_of(state)))


def encode(organization_id: int, assistant_id: int, state: State, **members: Any) -> bytes:
    """A state as it is shown, with what is to be said beside it."""
    return msgspec.json.encode(represent(organization_id, assistant_id, state) | members)
