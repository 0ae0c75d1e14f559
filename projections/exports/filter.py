"""Which events an export holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from events import pointers
from projections.event_types import event_type
from projections.exports.outline import Outline, outline
from projections.history import is_by

if TYPE_CHECKING:
    from events.log_search import Stored


class ExportFilter(Struct, frozen=True, kw_only=True):
    """Which events an export holds: those that match every member that is set.

    ``actor`` is a name or ``type:id``; ``path`` is a JSON Pointer or the beginning of one.
    """

    assistant_id: int | None = None
    actor: str | None = None
    event_type: str | None = None
    path: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every event matches."""
        return not self.as_dict()

    def as_dict(self) -> dict[str, str | int]:
        """The members that are set, as the export's event and its closing line hold them."""
        members = msgspec.structs.asdict(self)
        return {name: value for name, value in members.items() if value is not None}

    def matches(self, stored: Stored) -> bool:
        """Whether the export holds an event. The event is decoded only where its tag matches."""
        if self.event_type not in (None, event_type(stored.type)):
            return False
        if self.assistant_id is None and self.actor is None and self.path is None:
            return True
        return self._matches(outline(stored))

    def _matches(self, event: Outline) -> bool:
        return (
            self.assistant_id in (None, event.assistant_id)
            and (self.actor is None or is_by(event.actor, self.actor))
            and (self.path is None or _touches(event, self.path))
        )


def _touches(event: Outline, path: str) -> bool:
    return any(pointers.overlaps(path, touched) for touched in event.touched)
