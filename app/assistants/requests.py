"""A requested change of one assistant, what came of it, and the errors that refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from app.assistants.preconditions import NONE, Condition
from events import policy
from events.bodies.acceptance import NotAccepted
from events.changed import Event, State
from events.errors import DomainError, Location
from events.policy import Warned
from projections.history import ChangeSummary

if TYPE_CHECKING:
    from app.transactions.caller import Caller
    from events.assistant_key import AssistantKey


class ChangeRequest(Struct, frozen=True, kw_only=True):
    """A requested change of one assistant: who, why and under which condition."""

    caller: Caller
    assistant_id: int
    reason: str | None = None
    reason_at: Location = policy.REASON_AT  # where the HTTP request gives the reason
    condition: Condition = NONE
    dry_run: bool = False

    @property
    def organization_id(self) -> int:
        """The caller's organization."""
        return self.caller.organization_id

    @property
    def key(self) -> AssistantKey:
        """The organization and the assistant."""
        return self.caller.assistant_key(self.assistant_id)


class Clash(Struct, frozen=True, kw_only=True):
    """A path that others changed, too: its value before, now, and as requested; all masked."""

    path: str
    base: Any | UnsetType = UNSET
    theirs: Any | UnsetType = UNSET
    yours: Any | UnsetType = UNSET
    changed_by: ChangeSummary | None = None


class Assistant(Struct, frozen=True, kw_only=True):
    """One assistant with its state after some event."""

    organization_id: int
    id: int
    state: State


class Outcome(Assistant, frozen=True, kw_only=True):
    """What a change did, or in a dry run would do. ``state`` is the state after it."""

    before: State
    event: Event | None  # None where nothing changes
    warnings: tuple[Warned, ...] = ()
    base_version: int | None = None  # of a merge: the version that the caller had read
    came_between: tuple[ChangeSummary, ...] = ()  # changes after the base version
    conflicts: tuple[Clash, ...] = ()
    lost: tuple[ChangeSummary, ...] = ()  # later changes that going back overwrites
    not_accepted: tuple[NotAccepted, ...] = ()  # values that today's rules refuse
    secrets_kept: tuple[str, ...] = ()
    violation: DomainError | None = None  # of the organization's policy
    blocked_by: DomainError | None = None  # why the change cannot be made
    ignored: tuple[str, ...] = ()

    @property
    def applicable(self) -> bool:
        """Whether the change can be made."""
        return self.blocked_by is None


class PreconditionFailed(DomainError):
    """The assistant is not in the state that the request names."""

    def __init__(
        self, version: int, tag: str, changes: tuple[ChangeSummary, ...], *, is_unknown: bool
    ) -> None:
        super().__init__(version)
        self.version = version
        self.tag = tag
        self.changes = changes  # since the version that the caller knew
        self.is_unknown = is_unknown  # the tag names no state of this assistant


class PreconditionRequired(DomainError):
    """The organization's policy asks for a condition on every change."""

    rule = "require_condition"


class ChangesConflict(DomainError):
    """Others changed the same paths since the base version."""

    def __init__(self, version: int, tag: str, conflicts: tuple[Clash, ...], count: int) -> None:
        super().__init__(version)
        self.version = version
        self.tag = tag
        self.conflicts = conflicts  # the first ones
        self.count = count  # of all


class NotUndoable(DomainError):
    """The version is not a change of settings."""

    def __init__(self, version: int, kind: str) -> None:
        super().__init__(version)
        self.version = version
        self.kind = kind


class LabelTaken(DomainError):
    """Another version of the assistant has this label."""

    def __init__(self, label: str, version: int) -> None:
        super().__init__(label)
        self.label = label
        self.version = version
