"""The answers about assistants: as they are, as they were, and after a change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from msgspec import UNSET, Struct, UnsetType

from app.api import memento, merges
from app.api.conditional import etag, respond
from app.api.examples import ASSISTANT, PLAN
from app.api.header_lists import header_list
from app.api.media_types import JSON
from app.api.merges import Merge
from app.api.openapi.operations import Answer
from app.api.plans import Plan, plan, takes_effect
from app.api.reply import Reply
from app.assistants import current as reading
from app.assistants import representation
from app.assistants.requests import Outcome
from app.transactions.answers import ShownAssistant
from events.assistant_bodies import AssistantResponse
from events.assistant_key import AssistantKey
from events.policy import Warned
from projections import assistant_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from app.api.preferences import Preferences
    from app.assistants.neighbours import Neighbours
    from app.assistants.preconditions import Condition
    from app.assistants.requests import Assistant
    from app.assistants.view_cache import View, ViewCache


class ChangedAssistant(AssistantResponse, frozen=True, kw_only=True):
    """An assistant after a change, with warnings and the merge."""

    warnings: list[Warned] | UnsetType = UNSET
    merge: Merge | UnsetType = UNSET
    ignored: list[str] | UnsetType = UNSET  # with ``Prefer: handling=lenient``, all of it


class APIResponse(Struct, frozen=True, kw_only=True):
    """A success message without an object."""

    success: bool
    message: str
    data: Any = None


ETAG = (
    f"The version and a digest, a strong validator: `{PLAN['etag']}`. It fits this representation"
    " of this assistant alone. The version alone is the member `version`."
)
TAKES_EFFECT = (
    "When the change has taken effect wholly in a call that is running: `live`, `next_turn` or"
    " `next_call`; absent without a change."
)
_HEADERS = {
    "ETag": ETAG,
    "X-Takes-Effect": TAKES_EFFECT,
    "X-Ignored-Fields": "JSON Pointers of what was left out: unknown members, secrets not copied.",
}
ONE = Answer(AssistantResponse, example=ASSISTANT, headers={"ETag": ETAG})
CHANGED = Answer(ChangedAssistant, example=ASSISTANT, headers=_HEADERS)
CHANGED_OR_PLAN = Answer(ChangedAssistant, or_else=(Plan,), example=ASSISTANT, headers=_HEADERS)
WRITE_ERRORS = (404, 409, 412, 422, 428)


def encode(assistant: Assistant, **members: Any) -> bytes:
    """An assistant as JSON."""
    return assistant_json.encode(
        assistant.organization_id, assistant.id, assistant.state, **members
    )


def shown(view: View, condition: Condition, age: int | None) -> Response[bytes]:
    """The answer of an assistant as it is."""
    headers = None if age is None else {"age": str(age)}
    return respond(view.body, view.tag, condition, headers)


def done(message: str, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A success message without an object."""
    body = msgspec.json.encode(APIResponse(success=True, message=message))
    return Reply(body, status_code=200, media_type=JSON, headers=headers)


def past(
    version: tuple[Assistant, Neighbours], condition: Condition, address: str, query: str
) -> Response[bytes]:
    """The answer of an assistant as it was: a memento (RFC 7089) of the one at an address."""
    assistant, neighbours = version
    state = assistant.state
    if state.updated_at is None:
        raise TypeError("a version has a moment")
    headers = memento.headers(address, state.version, state.updated_at, neighbours)
    then = representation.of(assistant.organization_id, assistant.id, state, query)
    return respond(then.body, then.tag, condition, headers)


def render_outcome(
    views: ViewCache, preferences: Preferences, *, status: int = 200, counts_secrets: bool = False
) -> Callable[[Outcome], Response[bytes]]:
    """Renders the outcome of a change as the assistant, that of a dry run as its plan.

    ``counts_secrets`` adds the number of secrets that differ from their values then.
    """

    def render(outcome: Outcome) -> Response[bytes]:
        kept = {"x-secrets-kept": str(len(outcome.secrets_kept))} if counts_secrets else {}
        state = outcome.before if preferences.dry_run else outcome.state
        now = views.shown(AssistantKey(outcome.organization_id, outcome.id), state)
        return _changed(outcome, now, preferences, status, kept)

    return render


def _changed(
    outcome: Outcome,
    now: View,
    preferences: Preferences,
    status: int,
    more_headers: dict[str, str],
) -> Response[bytes]:
    headers = {"etag": etag(now.tag)} | preferences.applied | more_headers
    if (effect := takes_effect(outcome.event)) is not None:
        headers["x-takes-effect"] = effect
    if ignored := header_list(outcome.ignored):
        headers["x-ignored-fields"] = ignored
    if preferences.dry_run:
        body = msgspec.json.encode(plan(outcome))
        return Reply(body, status_code=200, media_type=JSON, headers=headers)
    if preferences.minimal:
        return Reply(b"", status_code=204, headers=headers)
    beside = _beside(outcome)
    if preferences.lenient:
        beside["ignored"] = list(outcome.ignored)
    body = encode(outcome, **beside) if beside else now.body
    source = partial(_source, outcome, beside)  # only a request with an idempotency key asks
    return Reply(body, status_code=status, media_type=JSON, headers=headers, source=source)


def _source(outcome: Outcome, beside: dict[str, Any]) -> ShownAssistant:
    values = merges.long_values(outcome)
    if values:
        beside = beside | {"merge": merges.without_values(beside["merge"], values)}
    return ShownAssistant(
        assistant_id=outcome.id,
        version=outcome.state.version,
        members=msgspec.json.encode(beside),
        values=values,
    )


def _beside(outcome: Outcome) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if outcome.warnings:
        members["warnings"] = outcome.warnings
    if (merge := merges.merge_of(outcome)) is not None:
        members["merge"] = merge
    return members


def made_again(
    connection: sa.Connection, organization_id: int, source: ShownAssistant
) -> tuple[bytes, str]:
    """The body of an answer to a change, and its ``ETag``."""
    key = AssistantKey(organization_id, source.assistant_id)
    state = reading.after(connection, key, source.version)
    members: dict[str, Any] = msgspec.json.decode(source.members, type=dict[str, msgspec.Raw])
    if source.values:
        merge = msgspec.json.decode(members["merge"], type=Merge)
        erased = state.erased_version
        members["merge"] = merges.with_values(connection, key, merge, source.values, erased)
    now = representation.of(*key, state)
    body = assistant_json.encode(*key, state, **members) if members else now.body
    return body, etag(now.tag)
