"""The members of an event that exports show as columns; the values stay undecoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct, field

from events import codec
from events.changed import Actor, Cause

if TYPE_CHECKING:
    from events.log_search import Stored


class Sides(Struct, frozen=True):
    """What a path held before and after, as the JSON text of the event; empty for nothing."""

    before: Raw = Raw()
    after: Raw = Raw()


class Outline(Struct, frozen=True, kw_only=True):
    """An event of any type, with its values undecoded."""

    organization_id: int
    assistant_id: int | None
    occurred_at: Raw
    actor: Actor
    reason: str | None
    request_id: str | None
    version: int | None = None
    labelled_version: int | None = None
    key_id: int | None = None
    phone_number: str | None = None
    webhook_id: int | None = None
    cause: Cause | None = None
    changes: dict[str, Sides] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    @property
    def time(self) -> str:
        """When the event occurred, as it is stored: RFC 3339 in UTC."""
        return bytes(self.occurred_at)[1:-1].decode()

    @property
    def at_version(self) -> int | None:
        """The version that the event made or named."""
        return self.version if self.labelled_version is None else self.labelled_version

    @property
    def touched(self) -> list[str]:
        """The paths that the event changed or revealed."""
        return [*self.changes, *self.paths]


_outlines = msgspec.json.Decoder(Outline)


def outline(stored: Stored) -> Outline:
    """An event's outline, in the current shape of its type."""
    return _outlines.decode(upcast(stored).body)


def upcast(stored: Stored) -> Stored:
    """An event in the current shape of its type, where values that became secret are references."""
    if stored.type not in codec.UPCASTERS:
        return stored
    return stored._replace(body=codec.encode(codec.decode(stored.body, stored.type)))
