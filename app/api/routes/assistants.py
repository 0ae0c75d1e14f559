"""The assistants themselves: create, read, change, delete, export."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, FromQuery, QueryParameter

from app.api import memento, responses, routing
from app.api.access import EDITOR, PUBLIC, VIEWER
from app.api.conditional import respond
from app.api.errors import PhoneNumberNotAssigned
from app.api.examples import ASSISTANT, CREATE
from app.api.memento import accept_datetime
from app.api.openapi.headers import (
    ACCEPT_DATETIME,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    MEMENTO,
    PREFER,
    WRITING,
)
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameters import (
    BOM,
    DESCRIPTION,
    FORMULAS,
    IN_QUERY,
    SEARCH,
    VERSION,
    Number,
    invalid_query,
    known_id,
    moment,
    read_table,
)
from app.api.plans import Plan
from app.api.providers import PROVIDERS
from app.api.request import ApiRequest
from app.api.responses import CHANGED, ETAG, ONE, WRITE_ERRORS, APIResponse, done
from app.api.writes import carry_out
from app.assistants import changes, current
from app.assistants.references import read_reference
from app.assistants.requests import Assistant, Outcome
from app.assistants.view_cache import listed
from app.storage.tables import MAX_ID
from events.assistant_bodies import AssistantCreate, AssistantResponse
from events.bodies.patch import read_create
from events.bodies.reasons import clean_reason
from events.bodies.validation import describe
from events.errors import FieldError, InvalidSettings
from events.secrets.references import mask
from projections.current import Selection, count
from projections.spreadsheets import Formulas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.transactions.unit_of_work import UnitOfWork
    from projections.spreadsheets import Table


_FORMATS = "^(csv|json)$"
_IDS = r"^\s*(?:[0-9]+\s*(?:,\s*[0-9]+\s*)*)?$"
_STATUSES = "^(active|inactive|all)?$"
_AS_OF = QueryParameter(
    description="RFC 3339: as it was then.", schema_extra={"format": "date-time"}
)


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many assistants there are."""

    count: int


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's organization and user."""

    organization_id: int
    organization_name: str
    user_id: int
    user_email: str | None
    user_role: str


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An LLM provider that assistants can use."""

    name: str
    models: list[str]
    default_model: str | None


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """The LLM providers by their key."""

    providers: dict[str, Provider]


class ClonedVoices(msgspec.Struct, frozen=True, kw_only=True):
    """The organization's cloned voices."""

    success: bool
    cloned_voices: list[dict[str, Any]]


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant in an export; calls are not counted by this service."""

    id: int
    name: str
    description: str
    status: str
    total_calls: int
    completed_calls: int
    success_rate: str
    avg_duration: str
    performance: str
    created_at: str


@post(
    "/",
    opt=EDITOR,
    summary="Create an assistant",
    operation_class=operation(
        CHANGED, status=201, body=Body(AssistantCreate, CREATE), errors=(409,),
        parameters=(PREFER, IDEMPOTENCY_KEY), plan=Plan,
    ),
)  # fmt: skip
async def create_assistant(request: ApiRequest) -> Response[bytes]:
    """Only ``name`` is required; what is not sent has its default. Masks bring no secrets along."""
    caller, preferences = request.caller(), request.preferences
    settings = read_create(
        await request.read_json(), strict=preferences.strict, lenient=preferences.lenient
    )

    def work(unit: UnitOfWork) -> Outcome:
        return changes.create(unit, caller, settings, dry_run=preferences.dry_run)

    render = responses.render_outcome(preferences, status=201)
    return await carry_out(request, caller, work, render, dry_run=preferences.dry_run)


@get(
    "/",
    opt=VIEWER,
    summary="List assistants",
    operation_class=operation(
        Answer(
            AssistantResponse,
            example=[ASSISTANT],
            many=True,
            headers={"ETag": "Of this list."} | MEMENTO,
        ),
        errors=(304, 400, 422),
        parameters=(IF_NONE_MATCH, ACCEPT_DATETIME),
    ),
)  # fmt: skip
async def list_assistants(
    request: ApiRequest,
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    as_of: Annotated[str | None, _AS_OF] = None,
    *,
    active_only: FromQuery[bool] = False,
    my_assistants_only: FromQuery[bool] = False,
    include_stats: Annotated[
        bool, QueryParameter(description="Accepted; this service counts no calls.")
    ] = False,
) -> Response[bytes]:
    """The organization's assistants, newest first, as a bare array; also as of a moment."""
    del include_stats
    principal = request.principal
    selection = Selection(
        active=True if active_only else None,
        user_id=principal.user_id if my_assistants_only else None,
    )
    then = _moment(request, as_of)
    services = request.services
    if then is None:
        assistants = await services.views.select(
            principal.organization_id, selection, skip=skip, limit=limit
        )
    else:
        past = await services.database.snapshot(
            current.select_at, principal.organization_id, then, selection, skip=skip, limit=limit
        )
        bodies = (responses.encode(assistant) for assistant in past)
        assistants = listed(principal.organization_id, bodies, selection, skip, limit, then)
    asked = request.query_params.multi_items()
    headers = None if then is None else memento.of_list(routing.ASSISTANTS, asked, then)
    return respond(assistants.body, assistants.tag, request.condition, headers)


def _moment(request: ApiRequest, as_of: str | None) -> datetime | None:
    """The moment that is asked for, by the query or by the header."""
    accepted = accept_datetime(request)  # whichever it is, the other may be sent
    return moment("as_of", as_of) or accepted


@get(
    "/count",
    opt=VIEWER,
    summary="Count assistants",
    operation_class=operation(Answer(Count, example={"count": 3}), errors=(422,)),
)
async def count_assistants(request: ApiRequest, *, active_only: FromQuery[bool] = False) -> Count:
    """How many assistants the organization has."""
    principal = request.principal
    selection = Selection(active=True if active_only else None)
    return Count(
        count=await request.services.database.read(count, principal.organization_id, selection)
    )


@get(
    "/export",
    opt=VIEWER,
    summary="Export the list of assistants",
    operation_class=operation(
        Answer(Schema(type=OpenAPIType.STRING), media_type="text/csv"),
        Answer(ExportRow, many=True),
        errors=(422,),
    ),
)
async def export_assistants(
    request: ApiRequest,
    format: Annotated[str, QueryParameter(pattern=_FORMATS)] = "csv",  # noqa: A002  # the wire's
    assistant_ids: Annotated[
        str | None,
        QueryParameter(
            description="Comma-separated ids; search and status then do not count.",
            schema_extra={"pattern": _IDS},
        ),
    ] = None,
    search: Annotated[str | None, SEARCH] = None,
    status: Annotated[str | None, QueryParameter(pattern=_STATUSES)] = None,
    formulas: Annotated[Formulas | None, FORMULAS] = None,
    bom: Annotated[bool, BOM] = False,  # noqa: FBT002  # the wire's
) -> Response[bytes]:
    """A file: CSV, or JSON of the same columns."""
    if "\x00" in (search or ""):
        raise InvalidSettings(
            (FieldError(loc=("query", "search"), msg="No name holds NUL", type="value_error"),)
        )
    _match("format", _FORMATS, format)
    _match("status", _STATUSES, status or "")
    table = read_table(format, formulas, bom=bom)
    selection = _export_selection(assistant_ids, search, status)
    principal = request.principal
    assistants = await request.services.database.read(
        current.select, principal.organization_id, selection
    )
    rows = [_export_row(assistant) for assistant in assistants]
    body = msgspec.json.encode(rows) if format == "json" else _csv(rows, table)
    return Response(
        body,
        media_type="application/json" if format == "json" else "text/csv",
        headers={"content-disposition": f"attachment; filename=assistants.{format}"},
    )


def _csv(rows: list[ExportRow], table: Table) -> bytes:
    cells = map(msgspec.structs.astuple, rows)
    return table.header(ExportRow.__struct_fields__) + table.rows(cells)


def _match(name: str, pattern: str, text: str) -> None:
    """The pattern, to the very end: ``$`` alone lets a line break pass."""
    if not re.fullmatch(pattern, text) or text.endswith("\n"):
        kind, message = describe(f"Expected `str` matching regex '{pattern}'")
        raise InvalidSettings((FieldError(loc=("query", name), msg=message, type=kind),))


def _export_selection(ids: str | None, search: str | None, status: str | None) -> Selection:
    if ids is not None and ids.strip():
        return Selection(assistant_ids=tuple(_export_ids(ids)))
    active = {"active": True, "inactive": False}.get(status or "")
    return Selection(active=active, search=search or "")


def _export_ids(text: str) -> Iterable[int]:
    for word in text.split(","):
        if not (word.strip().isascii() and word.strip().isdigit()):
            message = "Input should be integers, separated by commas"
            loc = ("query", "assistant_ids")
            raise InvalidSettings((FieldError(loc=loc, msg=message, type="int_parsing"),))
        if len(word.strip()) <= len(str(MAX_ID)) and int(word) <= MAX_ID:
            yield int(word)


def _export_row(assistant: Assistant) -> ExportRow:
    state = assistant.state
    return ExportRow(
        id=assistant.id,
        name=mask(state.settings["name"]),
        description=mask(state.settings["description"]) or "",
        status="Active" if state.settings["is_active"] else "Inactive",
        total_calls=0,
        completed_calls=0,
        success_rate="0%",
        avg_duration="N/A",
        performance="0%",
        created_at=f"{state.created_at:%Y-%m-%d %H:%M:%S}",
    )


@get(
    "/cloned-voices",
    opt=VIEWER,
    summary="List cloned voices",
    operation_class=operation(
        Answer(ClonedVoices, example={"success": True, "cloned_voices": []}),
        errors=(422,),
    ),
)
async def list_cloned_voices(
    status: Annotated[str | None, QueryParameter()] = None,
    provider: Annotated[str | None, QueryParameter()] = None,
) -> ClonedVoices:
    """Empty: this service keeps settings, not voices."""
    del status, provider
    return ClonedVoices(success=True, cloned_voices=[])


@get(
    "/providers",
    opt=PUBLIC,
    summary="List LLM providers",
    operation_class=operation(Answer(Providers), public=True),
)
async def list_providers() -> Providers:
    """The providers that assistants can name; needs no key."""
    return Providers(providers={key: Provider(**value) for key, value in PROVIDERS.items()})


@get(
    "/me/organization",
    opt=VIEWER,
    summary="Show the caller's organization",
    operation_class=operation(Answer(Organization)),
)
async def show_organization(request: ApiRequest) -> Organization:
    """Which organization and user the key stands for."""
    principal = request.principal
    return Organization(
        organization_id=principal.organization_id,
        organization_name=principal.organization_name,
        user_id=principal.user_id,
        user_email=principal.user_email,
        user_role=principal.role.name,
    )


@get(
    "/by-phone/{phone_number:str}",
    opt=VIEWER,
    summary="Find an assistant by its phone number",
    operation_class=operation(ONE, errors=(404,)),
)
async def find_by_phone(phone_number: FromPath[str]) -> Response[bytes]:
    """Always 404 for now: this service does not hold phone numbers yet."""
    raise PhoneNumberNotAssigned(phone_number)


@get(
    "/{assistant_id:str}",
    opt=VIEWER,
    summary="Get an assistant",
    operation_class=operation(
        Answer(
            AssistantResponse,
            example=ASSISTANT,
            headers={"ETag": ETAG} | MEMENTO,
        ),
        errors=(304, 400, 404, 422),
        parameters=(IF_NONE_MATCH, ACCEPT_DATETIME),
    ),
)
async def get_assistant(
    request: ApiRequest,
    assistant_id: Number,
    version: Annotated[str | None, VERSION] = None,
    as_of: Annotated[str | None, _AS_OF] = None,
) -> Response[bytes]:
    """The settings as they are, or were; secrets are shown as ``********``."""
    principal = request.principal
    known, condition = known_id(assistant_id), request.condition
    then = _moment(request, as_of)
    if version is not None and as_of is not None:
        raise invalid_query("as_of", "Input should not be given beside version")
    point = read_reference(version, ("query", "version")) if version is not None else then
    if point is None:
        views = request.services.views
        view = await views.view(principal.organization_id, known)
        return responses.shown(view, condition, views.age(view))
    past = await request.services.database.snapshot(
        current.at, principal.organization_id, known, point
    )
    asked = f"as_of={then.isoformat()}" if version is None and then else f"version={version}"
    return responses.past(past, condition, f"{routing.ASSISTANTS}/{known}", asked)


@delete(
    "/{assistant_id:str}",
    opt=EDITOR,
    status_code=200,
    summary="Delete an assistant",
    operation_class=operation(
        Answer(APIResponse, or_else=(Plan,)), errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)  # fmt: skip
async def delete_assistant(
    request: ApiRequest,
    assistant_id: Number,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """Ends the assistant; its history stays, and it can be restored."""
    change, preferences = (
        request.change_request(assistant_id, clean_reason(change_description), reason_at=IN_QUERY),
        request.preferences,
    )

    def work(unit: UnitOfWork) -> Outcome:
        return changes.delete(unit, change)

    render = responses.render_outcome(preferences) if change.dry_run else _deleted
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


def _deleted(outcome: Outcome) -> Response[bytes]:
    return done(f"Assistant {mask(outcome.state.settings['name'])} deleted successfully")


@post(
    "/{assistant_id:str}/duplicate",
    opt=EDITOR,
    summary="Duplicate an assistant",
    operation_class=operation(
        CHANGED, status=201, errors=(404, 409, 422),
        parameters=(PREFER, IDEMPOTENCY_KEY), plan=Plan,
    ),
)  # fmt: skip
async def duplicate_assistant(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """The same settings, named ``<name> (Copy)``, without the secrets, which it names."""
    caller, preferences = request.caller(), request.preferences
    known = known_id(assistant_id)

    def work(unit: UnitOfWork) -> Outcome:
        return changes.duplicate(
            unit, caller, known, strict=preferences.strict, dry_run=preferences.dry_run
        )

    render = responses.render_outcome(preferences, status=201)
    return await carry_out(request, caller, work, render, dry_run=preferences.dry_run)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[
        create_assistant,
        list_assistants,
        count_assistants,
        export_assistants,
        list_cloned_voices,
        list_providers,
        show_organization,
        find_by_phone,
        get_assistant,
        delete_assistant,
        duplicate_assistant,
    ],
    tags=["Assistants"],
)
