"""The answer to a request with an ``Idempotency-Key``, as it is stored.

An assistant at a version never changes, and nor does an event. So a body that shows settings is
stored as what it is made from, never as a copy of them. Other bodies are small, or are shown once,
and are stored as they are.
"""

from __future__ import annotations

from msgspec import Struct


class ValueAt(Struct, frozen=True, kw_only=True):
    """Where a value is that a conflict of a merge shows."""

    conflict: int  # its place in the list
    side: str  # the member that shows it
    version: int  # which has it at the path of the conflict


class ShownAssistant(Struct, frozen=True, kw_only=True, tag="assistant"):
    """A body that shows an assistant after a change. Its members are stored."""

    assistant_id: int
    version: int
    members: bytes  # a JSON object, shown after the assistant's own: warnings, the merge, ignored
    values: list[ValueAt] = []  # which ``members`` lack


class ShownChangeSet(Struct, frozen=True, kw_only=True, tag="change_set"):
    """A body that shows what a change set changed. Its members are stored."""

    change_set_id: int
    body: bytes  # without the changes, which the events hold
    erased_versions: dict[int, int]  # by assistant, as ``State.erased_version``; 0 is left out


Source = ShownAssistant | ShownChangeSet


class Answer(Struct, frozen=True, kw_only=True):
    """An answer. Its members are stored: keep their names and types.

    The first releases know only bytes as a ``body``. Such a process does not carry out a request
    again whose answer has another: it fails to read it.
    """

    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes | ShownAssistant | ShownChangeSet
