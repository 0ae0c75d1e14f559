"""The last line of an NDJSON export: how far it goes, of which events, and the signed root."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field


class ClosingLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The line that ends an NDJSON export. Without a ``filter`` it has no such member."""

    last_sequence: int
    filter: Mapping[str, str | int] = field(default_factory=dict)
    checkpoint: str

    def encode(self) -> bytes:
        """The line, with its line end."""
        return msgspec.json.encode(self) + b"\n"

    def states(self, checkpoint: str, event_filter: Mapping[str, str | int]) -> bool:
        """Whether the line holds this filter and the same tree, whichever key signed it."""
        return self.filter == event_filter and _tree(self.checkpoint) == _tree(checkpoint)


def _tree(checkpoint: str) -> str:
    """A checkpoint without its signatures: the log's origin, its size and its root."""
    return checkpoint.partition("\n\n")[0]
