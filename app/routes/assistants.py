"""The assistants themselves: create, read, change, delete, export."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, FromQuery, QueryParameter

from app import openapi
from app.accounts import MAX_ID, Role
from app.problems import PhoneNumberNotAssigned
from app.providers import PROVIDERS
from app.requests import Number, caller, is_strict, number, principal, read_json, services
from app.routes.examples import ASSISTANT, CREATE, PATCH
from app.service import Assistant, encode
from events.changed import Cause
from events.errors import AssistantNotFound, FieldError, InvalidSettings
from events.patch import SettingsPatch, describe, read_create, read_patch
from events.secrets import mask
from events.settings import AssistantCreate, AssistantPatch, AssistantResponse, AssistantUpdate
from projections.current import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

AnyRequest = Request[Any, Any, Any]

PREFIX = "/api/v1/assistants"
_MAX_HEADER = 4000
_FORMATS = "^(csv|json)$"
_STATUSES = "^(active|inactive|all)?$"
_HEADERS = {
    "ETag": 'The version, as a strong validator: `"7"`.',
    "X-Ignored-Fields": "JSON Pointers of members that were sent and are not known.",
}
_ONE = openapi.Answer(AssistantResponse, example=ASSISTANT, headers={"ETag": _HEADERS["ETag"]})
_CHANGED = openapi.Answer(AssistantResponse, example=ASSISTANT, headers=_HEADERS)


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


class APIResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A done deed without an object to show."""

    success: bool
    message: str
    data: Any = None


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


COMPONENTS = (
    AssistantCreate, AssistantPatch, AssistantUpdate, AssistantResponse, Count, Organization,
    APIResponse, Providers, ClonedVoices, ExportRow,
)  # fmt: skip


def known_id(text: str) -> int:
    """An id that can exist; raises ``AssistantNotFound`` for one beyond 32 bits."""
    assistant_id = number(text, "assistant_id")
    if not 0 < assistant_id <= MAX_ID:
        raise AssistantNotFound(assistant_id)
    return assistant_id


def answer(
    assistant: Assistant,
    *,
    status: int = 200,
    ignored: Iterable[str] = (),
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """An assistant with its validators, and what was ignored to make it."""
    headers = {"etag": f'"{assistant.state.version}"'} | (headers or {})
    if names := _header_list(ignored):
        headers["x-ignored-fields"] = names
    return Response(
        encode(assistant), status_code=status, media_type="application/json", headers=headers
    )


def _header_list(pointers: Iterable[str]) -> str:
    """JSON Pointers as one header value: percent-encoded as RFC 6901 does in a URI."""
    listed: list[str] = []
    room = _MAX_HEADER
    for pointer in pointers:
        if len(pointer) <= room and len(quoted := _quote(pointer)) <= room:
            listed.append(quoted)
            room -= len(quoted) + 2
    return ", ".join(listed)


def _quote(pointer: str) -> str:
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "/_-.~") else _percent(c) for c in pointer
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


@post(
    PREFIX,
    tags=["Assistants"],
    summary="Create an assistant",
    operation_class=openapi.operation(
        _CHANGED, status=201, body=openapi.Body(AssistantCreate, CREATE),
        parameters=(openapi.PREFER_STRICT,),
    ),
)  # fmt: skip
async def create_assistant(request: AnyRequest) -> Response[bytes]:
    """Only ``name`` is required; what is not sent has its default."""
    who = caller(request, Role.editor)
    settings = read_create(await read_json(request), strict=is_strict(request))
    created = await services(request).assistants.create(who, settings)
    return answer(created, status=201, ignored=settings.ignored)


@get(
    PREFIX,
    tags=["Assistants"],
    summary="List assistants",
    operation_class=openapi.operation(
        openapi.Answer(AssistantResponse, example=[ASSISTANT], many=True), errors=(422,)
    ),
)
async def list_assistants(
    request: AnyRequest,
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    *,
    active_only: FromQuery[bool] = False,
    my_assistants_only: FromQuery[bool] = False,
    include_stats: Annotated[
        bool, QueryParameter(description="Accepted; this service counts no calls.")
    ] = False,
) -> Response[bytes]:
    """The organization's assistants, newest first, as a bare array."""
    del include_stats
    who = principal(request)
    selection = Selection(
        active=True if active_only else None,
        user_id=who.user_id if my_assistants_only else None,
    )
    found = await services(request).assistants.select(
        who.organization_id, selection, skip=skip, limit=limit
    )
    body = b"[" + b",".join(map(encode, found)) + b"]"
    return Response(body, media_type="application/json")


@get(
    f"{PREFIX}/count",
    tags=["Assistants"],
    summary="Count assistants",
    operation_class=openapi.operation(openapi.Answer(Count, example={"count": 3}), errors=(422,)),
)
async def count_assistants(request: AnyRequest, *, active_only: FromQuery[bool] = False) -> Count:
    """How many assistants the organization has."""
    who = principal(request)
    selection = Selection(active=True if active_only else None)
    return Count(count=await services(request).assistants.count(who.organization_id, selection))


@get(
    f"{PREFIX}/export",
    tags=["Assistants"],
    summary="Export the list of assistants",
    operation_class=openapi.operation(
        openapi.Answer(Schema(type=OpenAPIType.STRING), media_type="text/csv"),
        openapi.Answer(ExportRow, many=True),
        errors=(422,),
    ),
)
async def export_assistants(
    request: AnyRequest,
    format: Annotated[str, QueryParameter(pattern=_FORMATS)] = "csv",  # noqa: A002  # the wire's
    assistant_ids: Annotated[
        str | None,
        QueryParameter(description="Comma-separated ids; search and status then do not count."),
    ] = None,
    search: Annotated[
        str | None,
        QueryParameter(description="Part of a name or description.", max_length=200),
    ] = None,
    status: Annotated[str | None, QueryParameter(pattern=_STATUSES)] = None,
) -> Response[bytes]:
    """A file: CSV, or JSON of the same columns."""
    if "\x00" in (search or ""):
        raise InvalidSettings(
            (FieldError(loc=("query", "search"), msg="No name holds NUL", type="value_error"),)
        )
    _match("format", _FORMATS, format)
    _match("status", _STATUSES, status or "")
    selection = _export_selection(assistant_ids, search, status)
    who = principal(request)
    found = await services(request).assistants.select(who.organization_id, selection)
    rows = [_export_row(assistant) for assistant in found]
    body = msgspec.json.encode(rows) if format == "json" else _csv(rows)
    return Response(
        body,
        media_type="application/json" if format == "json" else "text/csv",
        headers={"content-disposition": f"attachment; filename=assistants.{format}"},
    )


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


def _csv(rows: list[ExportRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(ExportRow.__struct_fields__)
    for row in rows:
        writer.writerow([_cell(value) for value in msgspec.structs.astuple(row)])
    return text.getvalue().encode()


def _cell(value: str | int) -> str | int:
    """A spreadsheet runs what starts like a formula; a quote before it makes it text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


_FORMULA = frozenset("=+-@\t\r")


@get(
    f"{PREFIX}/cloned-voices",
    tags=["Assistants"],
    summary="List cloned voices",
    operation_class=openapi.operation(
        openapi.Answer(ClonedVoices, example={"success": True, "cloned_voices": []}),
        errors=(422,),
    ),
)
async def list_cloned_voices(
    request: AnyRequest,
    status: Annotated[str | None, QueryParameter()] = None,
    provider: Annotated[str | None, QueryParameter()] = None,
) -> ClonedVoices:
    """Empty: this service keeps settings, not voices."""
    del status, provider
    principal(request)
    return ClonedVoices(success=True, cloned_voices=[])


@get(
    f"{PREFIX}/providers",
    tags=["Assistants"],
    summary="List LLM providers",
    operation_class=openapi.operation(openapi.Answer(Providers), public=True),
)
async def list_providers() -> Providers:
    """The providers that assistants can name; needs no key."""
    return Providers(providers={key: Provider(**value) for key, value in PROVIDERS.items()})


@get(
    f"{PREFIX}/me/organization",
    tags=["Assistants"],
    summary="Show the caller's organization",
    operation_class=openapi.operation(openapi.Answer(Organization)),
)
async def show_organization(request: AnyRequest) -> Organization:
    """Which organization and user the key stands for."""
    who = principal(request)
    return Organization(
        organization_id=who.organization_id,
        organization_name=who.organization_name,
        user_id=who.user_id,
        user_email=who.user_email,
        user_role=who.role.name,
    )


@get(
    f"{PREFIX}/by-phone/{{phone_number:str}}",
    tags=["Assistants"],
    summary="Find an assistant by its phone number",
    operation_class=openapi.operation(_ONE, errors=(404,)),
)
async def find_by_phone(request: AnyRequest, phone_number: FromPath[str]) -> Response[bytes]:
    """Always 404 for now: this service does not hold phone numbers yet."""
    principal(request)
    raise PhoneNumberNotAssigned(phone_number)


@get(
    f"{PREFIX}/{{assistant_id:str}}",
    tags=["Assistants"],
    summary="Get an assistant",
    operation_class=openapi.operation(_ONE, errors=(404, 422)),
)
async def get_assistant(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """The current settings; secrets are shown as ``********``."""
    who = principal(request)
    return answer(
        await services(request).assistants.get(who.organization_id, known_id(assistant_id))
    )


@put(
    f"{PREFIX}/{{assistant_id:str}}",
    tags=["Assistants"],
    summary="Update an assistant",
    operation_class=openapi.operation(
        _CHANGED, body=openapi.Body(AssistantUpdate, PATCH), errors=(404, 422),
        parameters=(openapi.PREFER_STRICT,),
    ),
)  # fmt: skip
async def update_assistant(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """Merges like PATCH: what is not sent is kept, inside nested objects too."""
    return await _change(request, assistant_id, Cause(type="put"))


@patch(
    f"{PREFIX}/{{assistant_id:str}}",
    tags=["Assistants"],
    summary="Change settings of an assistant",
    operation_class=openapi.operation(
        _CHANGED, body=openapi.Body(AssistantPatch, PATCH), errors=(404, 422),
        parameters=(openapi.PREFER_STRICT,),
    ),
)  # fmt: skip
async def patch_assistant(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """JSON Merge Patch: objects merge, lists and scalars replace, null clears."""
    return await _change(request, assistant_id, Cause(type="patch"))


async def _change(request: AnyRequest, assistant_id: str, cause: Cause) -> Response[bytes]:
    who = caller(request, Role.editor)
    settings = read_patch(await read_json(request), strict=is_strict(request))
    changed = await services(request).assistants.change(
        who, known_id(assistant_id), settings, cause
    )
    return answer(changed, ignored=settings.ignored)


@patch(
    f"{PREFIX}/{{assistant_id:str}}/status",
    tags=["Assistants"],
    summary="Switch an assistant on or off",
    operation_class=openapi.operation(_ONE, errors=(404, 422)),
)
async def change_status(
    request: AnyRequest,
    assistant_id: Number,
    *,
    is_active: Annotated[bool, QueryParameter()],
) -> Response[bytes]:
    """Takes no body; an empty one with a JSON content type is fine."""
    settings = SettingsPatch(tree={"is_active": is_active})
    changed = await services(request).assistants.change(
        caller(request, Role.editor), known_id(assistant_id), settings, Cause(type="status")
    )
    return answer(changed)


@delete(
    f"{PREFIX}/{{assistant_id:str}}",
    status_code=200,
    tags=["Assistants"],
    summary="Delete an assistant",
    operation_class=openapi.operation(openapi.Answer(APIResponse), errors=(404, 422)),
)
async def delete_assistant(request: AnyRequest, assistant_id: Number) -> APIResponse:
    """Ends the assistant; its history stays readable to admins."""
    deleted = await services(request).assistants.delete(
        caller(request, Role.editor), known_id(assistant_id)
    )
    name = mask(deleted.state.settings["name"])
    return APIResponse(success=True, message=f"Assistant {name} deleted successfully")


@post(
    f"{PREFIX}/{{assistant_id:str}}/duplicate",
    tags=["Assistants"],
    summary="Duplicate an assistant",
    operation_class=openapi.operation(_ONE, status=201, errors=(404, 422)),
)
async def duplicate_assistant(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """A new assistant with the same settings, named ``<name> (Copy)``; secrets are not copied."""
    copied = await services(request).assistants.duplicate(
        caller(request, Role.editor), known_id(assistant_id)
    )
    return answer(copied, status=201)


HANDLERS = [
    create_assistant, list_assistants, count_assistants, export_assistants, list_cloned_voices,
    list_providers, show_organization, find_by_phone, get_assistant, update_assistant,
    patch_assistant, change_status, delete_assistant, duplicate_assistant,
]  # fmt: skip
