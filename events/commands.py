"""Commands to one assistant, and the envelope of the event that a command leads to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from events.changed import Actor, Cause
from events.errors import FieldError
from events.pointers import Tree

# For paths that others changed as well: refuse the command, keep their values, or set yours.
OnConflict = Literal["fail", "theirs", "skip", "yours", "force"]


class CreateAssistant(Struct, frozen=True, kw_only=True):
    """Create an assistant; ``patch`` is merged into the defaults."""

    patch: Tree
    cause: Cause = Cause(type="create")


class ChangeSettings(Struct, frozen=True, kw_only=True):
    """Merge a patch into the settings."""

    patch: Tree
    cause: Cause
    base: Tree | None = None  # the settings that the author had read: later changes are kept
    on_conflict: OnConflict = "fail"
    # By the id of a new secret, the stored ones with the same value; only if the caller may know.
    equal: dict[str, frozenset[str]] = {}
    # The body that the patch was read from, and the rules that it breaks. Neither counts for a
    # value that came back as it was shown.
    sent: Tree = {}
    broken: tuple[FieldError, ...] = ()


class RestoreSettings(Struct, frozen=True, kw_only=True):
    """Make the settings what they were. The current secrets are kept."""

    settings: Tree
    to_version: int
    paths: tuple[str, ...] | None = None  # JSON Pointers: only what lies at or below these
    restorable: frozenset[str] = frozenset()  # ids of old secrets that come back instead


class UndoChange(Struct, frozen=True, kw_only=True):
    """Take back what one change did, and keep later changes. The current secrets are kept."""

    undoes: int  # the version that the change made
    before: Tree  # the settings before the change
    after: Tree  # the settings after the change
    cause: Cause
    on_conflict: OnConflict = "fail"
    paths: tuple[str, ...] | None = None  # JSON Pointers: only what lies at or below these
    restores_secrets: bool = False  # take back the secrets that the change set, too
    restorable: frozenset[str] = frozenset()  # ids of old secrets whose values still exist


class RestoreAssistant(Struct, frozen=True, kw_only=True):
    """Reopen the stream of a deleted assistant; ``undoes`` is the version of the deletion."""

    undoes: int


class DeleteAssistant(Struct, frozen=True, kw_only=True):
    """Delete an assistant: close its stream."""


class EraseSecrets(Struct, frozen=True, kw_only=True):
    """Record that the sealed values of all secrets so far were destroyed.

    A deleted assistant takes this command, too.
    """

    cause: Cause


Command = (
    CreateAssistant
    | ChangeSettings
    | RestoreSettings
    | UndoChange
    | DeleteAssistant
    | RestoreAssistant
    | EraseSecrets
)


class Envelope(Struct, frozen=True, kw_only=True):
    """What every event records about itself. The server sets it, never a body."""

    organization_id: int
    sequence: int
    assistant_id: int
    occurred_at: datetime
    actor: Actor
    reason: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    clock_time: datetime | UnsetType = UNSET  # set only where it differs from ``occurred_at``


def moment(clock_time: datetime, last: datetime) -> tuple[datetime, datetime | UnsetType]:
    """When the next event occurs: ``clock_time``, but never before the ``last`` event.

    The second value is the clock's time if it was behind, else UNSET.
    """
    return (last, clock_time) if clock_time < last else (clock_time, UNSET)


def members_of(envelope: Envelope) -> dict[str, Any]:
    """The envelope as the members of an event."""
    return {name: getattr(envelope, name) for name in envelope.__struct_fields__}
