"""The answers about a change set: what it changed, or would change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from litestar import Response
from msgspec import Struct

from app.api.conditional import etag
from app.api.header_lists import header_list
from app.api.media_types import JSON
from app.api.plans import Plan, plan
from app.api.preferences import Preferences
from app.api.reply import Reply
from app.assistants import change_sets, representation
from app.assistants.change_sets import (
    SetOutcome,
)
from app.transactions.answers import ShownChangeSet
from events import effects
from events.changed import changes_of
from events.policy import Warned
from projections.history import ChangedPath, changed_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

    from app.assistants.requests import Outcome


class ChangedOne(Struct, frozen=True, kw_only=True):
    """The change of one assistant."""

    assistant_id: int
    version: int
    etag: str
    changes: list[ChangedPath]
    warnings: list[Warned]
    secrets_kept: list[str]


class ChangeSetOutcome(Struct, frozen=True, kw_only=True):
    """What the set changed. ``change_set_id`` is null where it changed nothing."""

    change_set_id: int | None
    assistants: list[ChangedOne]
    unchanged: list[int]
    skipped: list[int]


class ChangeSetPlan(Struct, frozen=True, kw_only=True):
    """What the set would change; nothing was recorded. Apply it with ``If-Match: <etag>``."""

    dry_run: bool
    etag: str
    applicable: bool
    plans: list[Plan]
    skipped: list[int]


def planned(preferences: Preferences, outcome: SetOutcome) -> Response[bytes]:
    """The answer to a dry run."""
    plan_of_set = ChangeSetPlan(
        dry_run=True,
        etag=etag(outcome.tag),
        applicable=all(one.applicable for one in outcome.outcomes),
        plans=[plan(one) for one in outcome.outcomes],
        skipped=list(outcome.skipped),
    )
    headers = _headers(preferences, outcome) | {"etag": plan_of_set.etag}
    return Response(
        msgspec.json.encode(plan_of_set), status_code=200, media_type=JSON, headers=headers
    )


def made(preferences: Preferences, outcome: SetOutcome, status: int = 201) -> Response[bytes]:
    """The answer to a new set."""
    body = ChangeSetOutcome(
        change_set_id=outcome.change_set_id,
        assistants=[_changed(one) for one in outcome.outcomes if one.event is not None],
        unchanged=[one.id for one in outcome.outcomes if one.event is None],
        skipped=list(outcome.skipped),
    )
    return Reply(
        msgspec.json.encode(body),
        status_code=status,
        media_type=JSON,
        headers=_headers(preferences, outcome),
        source=partial(_source, outcome, body),
    )


def _source(outcome: SetOutcome, body: ChangeSetOutcome) -> ShownChangeSet | None:
    if body.change_set_id is None:
        return None
    erased = {one.id: one.state.erased_version for one in outcome.outcomes}
    return ShownChangeSet(
        change_set_id=body.change_set_id,
        body=msgspec.json.encode(_with_changes(body, {})),
        erased_versions={one: version for one, version in erased.items() if version},
    )


def made_again(connection: sa.Connection, organization_id: int, source: ShownChangeSet) -> bytes:
    """The body of an answer to a new set, from the set's events."""
    body = msgspec.json.decode(source.body, type=ChangeSetOutcome)
    events = change_sets.read(connection, organization_id, source.change_set_id)
    changes = {
        event.assistant_id: changed_paths(
            event.changes, source.erased_versions.get(event.assistant_id, 0)
        )
        for event in events
    }
    return msgspec.json.encode(_with_changes(body, changes))


def _with_changes(
    body: ChangeSetOutcome, changes: Mapping[int, list[ChangedPath]]
) -> ChangeSetOutcome:
    assistants = [
        msgspec.structs.replace(one, changes=changes.get(one.assistant_id, []))
        for one in body.assistants
    ]
    return msgspec.structs.replace(body, assistants=assistants)


def reverted(preferences: Preferences, outcome: SetOutcome) -> Response[bytes]:
    """The answer to a set that was reverted."""
    return made(preferences, outcome, 200)


def _headers(preferences: Preferences, outcome: SetOutcome) -> dict[str, str]:
    headers = dict(preferences.applied)
    changed = (path for one in outcome.outcomes for path in changes_of(one.event))
    if (effect := effects.latest(changed)) is not None:
        headers["x-takes-effect"] = effect
    if ignored := header_list(outcome.ignored):
        headers["x-ignored-fields"] = ignored
    return headers


def _changed(outcome: Outcome) -> ChangedOne:
    changes = changes_of(outcome.event)
    return ChangedOne(
        assistant_id=outcome.id,
        version=outcome.state.version,
        etag=etag(representation.of(outcome.organization_id, outcome.id, outcome.state).tag),
        changes=changed_paths(changes, outcome.state.erased_version),
        warnings=list(outcome.warnings),
        secrets_kept=list(outcome.secrets_kept),
    )
