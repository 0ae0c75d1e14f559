"""An assistant as it is shown: its encoded bytes, and their tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.assistants.preconditions import tag_of
from projections.assistant_json import encode
from projections.current import stamp_of

if TYPE_CHECKING:
    from events.changed import State
    from projections.current import Stamp


class Representation(Struct, frozen=True):
    """The bytes that show a resource, and their tag."""

    body: bytes
    tag: str


def of(organization_id: int, assistant_id: int, state: State, query: str = "") -> Representation:
    """A state as it is shown; ``query`` names a past one."""
    body = encode(organization_id, assistant_id, state)
    return of_body(organization_id, assistant_id, body, stamp_of(state), query)


def of_body(
    organization_id: int, assistant_id: int, body: bytes, stamp: Stamp, query: str = ""
) -> Representation:
    """A state that is encoded already; ``stamp`` is the state's."""
    resource = f"assistants/{assistant_id}?{query}"
    return Representation(body, tag_of(organization_id, resource, body, stamp))
