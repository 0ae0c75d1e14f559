"""The plan of a change, as a dry run answers it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from app.api.conditional import etag
from app.assistants import representation
from app.assistants.policy import rule_of
from app.assistants.requests import Clash, Outcome
from events import effects
from events.changed import AssistantSettingsChanged, Event, changes_of
from events.policy import Warned
from events.secrets.references import mask
from events.setting_types import Effect
from projections.history import ChangedPath, ChangeSummary, changed_paths


class NotAcceptedPath(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that the current rules refuse; ``nearest`` is the closest that they accept."""

    path: str
    type: str
    msg: str
    nearest: Any | UnsetType = UNSET


class RefusedRule(Struct, frozen=True, kw_only=True):
    """A rule of the organization's policy that the change violates."""

    rule: str
    paths: list[str] = field(default_factory=list)


class Plan(Struct, frozen=True, kw_only=True):
    """What a change would do; nothing was recorded. Apply it with ``If-Match: <etag>``.

    ``changes`` are those of the event that would be recorded.
    """

    dry_run: bool
    assistant_id: int
    assistant_name: str
    version: int
    etag: str
    applicable: bool
    changes: list[ChangedPath]
    takes_effect: Effect | None  # in a call that is running; None without a change
    warnings: list[Warned]
    lost: list[ChangeSummary]
    came_between: list[ChangeSummary]
    conflicts: list[Clash]
    not_accepted: list[NotAcceptedPath]
    secrets_kept: list[str]
    refused: list[RefusedRule]
    ignored: list[str]


def takes_effect(event: Event | None) -> Effect | None:
    """When the change of an event has taken effect wholly; None where no settings changed."""
    return effects.latest(event.changes) if isinstance(event, AssistantSettingsChanged) else None


def plan(outcome: Outcome) -> Plan:
    """The plan of an outcome."""
    changes = changes_of(outcome.event)
    erased_version = outcome.state.erased_version
    return Plan(
        dry_run=True,
        assistant_id=outcome.id,
        assistant_name=mask(outcome.state.settings["name"], erased_version),
        version=outcome.before.version,
        etag=etag(representation.of(outcome.organization_id, outcome.id, outcome.before).tag),
        applicable=outcome.applicable,
        changes=changed_paths(changes, erased_version),
        takes_effect=takes_effect(outcome.event),
        warnings=list(outcome.warnings),
        lost=list(outcome.lost),
        came_between=list(outcome.came_between),
        conflicts=list(outcome.conflicts),
        not_accepted=[
            NotAcceptedPath(
                path=value.path,
                type=value.error.type,
                msg=value.error.msg,
                nearest=mask(value.nearest, erased_version),
            )
            for value in outcome.not_accepted
        ],
        secrets_kept=list(outcome.secrets_kept),
        refused=[] if outcome.violation is None else [RefusedRule(**rule_of(outcome.violation))],
        ignored=list(outcome.ignored),
    )
