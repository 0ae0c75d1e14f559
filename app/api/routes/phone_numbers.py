"""Assign phone numbers to assistants, and take them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from msgspec import Struct

from app.api import routing
from app.api.access import EDITOR
from app.api.errors import NoNumbers
from app.api.numbers import (
    FriendlyName,
    Number,
    applied,
    clean_friendly_name,
    known_number_id,
    read_body,
    reply,
)
from app.api.openapi.headers import IDEMPOTENCY_KEY, IF_MATCH, STRICT
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import IN_QUERY
from app.api.parameters import DESCRIPTION
from app.api.parameters import Number as Id
from app.api.request import ApiRequest
from app.api.responses import APIResponse
from app.api.writes import carry_out
from app.assistants import phone_numbers
from app.assistants.phone_numbers import Assignment, PhoneNumberHeld
from app.storage.tables import MAX_ID
from events.bodies.reasons import clean_reason
from events.bodies.validation import read_list
from events.phone_numbers import read
from events.setting_types import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.assistants.requests import ChangeRequest
    from app.transactions.unit_of_work import UnitOfWork
    from events.changed import State
    from projections.phone_numbers import PhoneNumber

_MOST_AT_ONCE = 1000
_BY_NUMBER = {"phone_number": "+14155551234"}
_DATA = {
    "phone_number": "+14155551234",
    "phone_number_id": 1,
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "friendly_name": "Support line",
    "was_synced": False,
}
_ASSIGNED = Answer(
    APIResponse,
    example={
        "success": True,
        "message": "Phone number +14155551234 successfully assigned to assistant 'Front desk'",
        "data": _DATA,
    },
)
_UNASSIGNED = Answer(
    APIResponse,
    example={
        "success": True,
        "message": "Phone number +14155551234 successfully unassigned from assistant 'Front desk'",
        "data": _DATA,
    },
)
_IDS = Schema(
    type=OpenAPIType.ARRAY,
    items=Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_ID),
    min_items=1,
    max_items=_MOST_AT_ONCE,
)
_WRITING = (IF_MATCH, STRICT, IDEMPOTENCY_KEY)


class AssignByNumber(Struct, frozen=True, kw_only=True):
    """A number to assign, and its friendly name, if that is to change.

    ``auto_sync`` is accepted: this service has no provider to ask for numbers.
    """

    phone_number: Number
    friendly_name: FriendlyName | None = None
    auto_sync: bool = True
    change_description: Reason | None = None


class UnassignByNumber(Struct, frozen=True, kw_only=True):
    """A number to take from the assistant."""

    phone_number: Number
    change_description: Reason | None = None


@post(
    "/{assistant_id:str}/phone-numbers/{phone_number_id:str}/assign",
    opt=EDITOR,
    status_code=200,
    summary="Assign a phone number",
    operation_class=operation(_ASSIGNED, errors=(404, 409, 412, 422), parameters=_WRITING),
)
async def assign_number(
    request: ApiRequest,
    assistant_id: Id,
    phone_number_id: Id,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """A number that another assistant answers stays there: ``success`` is false."""
    change = _request(request, assistant_id, change_description)
    return await _assign(request, change, _by_id(change, phone_number_id))


@post(
    "/{assistant_id:str}/phone-numbers/assign-by-number",
    opt=EDITOR,
    status_code=200,
    summary="Assign a phone number by its digits",
    operation_class=operation(
        _ASSIGNED,
        body=Body(AssignByNumber, _BY_NUMBER | {"friendly_name": "Support line"}),
        errors=(404, 409, 412, 422),
        parameters=_WRITING,
    ),
)
async def assign_by_number(request: ApiRequest, assistant_id: Id) -> Response[bytes]:
    """As assigning by id. The organization must have the number already."""
    body, headers = await read_body(request, AssignByNumber)
    change = request.change_request(assistant_id, clean_reason(body.change_description))
    name = clean_friendly_name(body.friendly_name)
    return await _assign(request, change, _by_digits(change, body.phone_number), name, headers)


async def _assign(
    request: ApiRequest,
    change: ChangeRequest,
    find: Callable[[UnitOfWork], PhoneNumber],
    name: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    is_strict = request.preferences.strict

    def work(unit: UnitOfWork) -> Assignment:
        state = phone_numbers.checked(unit, change)
        outcome = phone_numbers.assign(unit, change, state, find(unit))
        number = outcome.number
        if outcome.held_by is not None:
            if is_strict:
                raise PhoneNumberHeld(number.phone_number, outcome.held_by)
        elif name is not None:
            number = phone_numbers.rename(unit, change.caller, number, name, change.reason)
        return msgspec.structs.replace(outcome, number=number)

    fields = applied(request) if headers is None else headers
    return await carry_out(request, change.caller, work, lambda outcome: _said(outcome, fields))


def _said(outcome: Assignment, headers: dict[str, str]) -> Response[bytes]:
    number, name = outcome.number.phone_number, outcome.assistant_name
    text = (
        f"Phone number {number} successfully assigned to assistant '{name}'"
        if outcome.held_by is None
        else f"Phone number {number} is already assigned to {outcome.held_by}"
    )
    return _answer(outcome, text, headers, success=outcome.held_by is None)


def _answer(
    outcome: Assignment, text: str, headers: dict[str, str], *, success: bool
) -> Response[bytes]:
    data = {
        "phone_number": outcome.number.phone_number,
        "phone_number_id": outcome.number.id,
        "assistant_id": outcome.assistant_id,
        "assistant_name": outcome.assistant_name,
        "friendly_name": outcome.number.friendly_name,
        "was_synced": False,
    }
    return reply(APIResponse(success=success, message=text, data=data), headers)


@post(
    "/{assistant_id:str}/phone-numbers/bulk-assign",
    opt=EDITOR,
    status_code=200,
    summary="Assign several phone numbers",
    operation_class=operation(
        Answer(
            APIResponse,
            example={
                "success": True,
                "message": "Successfully assigned all 1 phone numbers to assistant 'Front desk'",
                "data": {"successes": [1], "total_assigned": 1},
            },
        ),
        body=Body(_IDS, [1]),
        errors=(400, 404, 409, 412, 422),
        parameters=_WRITING,
    ),
)
async def bulk_assign(
    request: ApiRequest,
    assistant_id: Id,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """Each by itself: ``data`` names those that failed. With ``handling=strict`` all or none."""
    await request.refuse_dry_run()  # first, since the body is no object that could ask for one
    ids = await _ids(request)
    change = _request(request, assistant_id, change_description)
    is_strict, headers = request.preferences.strict, applied(request)

    def work(unit: UnitOfWork) -> tuple[State, list[int], list[dict[str, Any]]]:
        state = phone_numbers.checked(unit, change)
        if is_strict:
            phone_numbers.check_free(unit, change, ids)
        return state, *phone_numbers.assign_each(unit, change, state, ids)

    def render(done: tuple[State, list[int], list[dict[str, Any]]]) -> Response[bytes]:
        return reply(_of_several(*done), headers)

    return await carry_out(request, change.caller, work, render)


async def _ids(request: ApiRequest) -> list[int]:
    """The ids in the body; raises ``InvalidSettings`` and ``NoNumbers``."""
    ids = read_list(await request.read_json(), int, _MOST_AT_ONCE)
    if not ids:
        raise NoNumbers
    return list(dict.fromkeys(ids))


def _of_several(state: State, successes: list[int], failures: list[dict[str, Any]]) -> APIResponse:
    if not failures:
        name = phone_numbers.name_of(state)
        text = f"Successfully assigned all {len(successes)} phone numbers to assistant '{name}'"
        data = {"successes": successes, "total_assigned": len(successes)}
        return APIResponse(success=True, message=text, data=data)
    text = f"Assigned {len(successes)} phone numbers successfully. {len(failures)} failed."
    return APIResponse(
        success=bool(successes),
        message=text,
        data={
            "successes": successes,
            "failures": failures,
            "total_requested": len(successes) + len(failures),
            "successful_count": len(successes),
            "failed_count": len(failures),
        },
    )


@post(
    "/{assistant_id:str}/phone-numbers/{phone_number_id:str}/unassign",
    opt=EDITOR,
    status_code=200,
    summary="Unassign a phone number",
    operation_class=operation(_UNASSIGNED, errors=(400, 404, 409, 412, 422), parameters=_WRITING),
)
async def unassign_number(
    request: ApiRequest,
    assistant_id: Id,
    phone_number_id: Id,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """400 unless this assistant answers the number."""
    change = _request(request, assistant_id, change_description)
    return await _unassign(request, change, _by_id(change, phone_number_id), applied(request))


@post(
    "/{assistant_id:str}/phone-numbers/unassign-by-number",
    opt=EDITOR,
    status_code=200,
    summary="Unassign a phone number by its digits",
    operation_class=operation(
        _UNASSIGNED,
        body=Body(UnassignByNumber, _BY_NUMBER),
        errors=(400, 404, 409, 412, 422),
        parameters=_WRITING,
    ),
)
async def unassign_by_number(request: ApiRequest, assistant_id: Id) -> Response[bytes]:
    """400 unless this assistant answers the number."""
    body, headers = await read_body(request, UnassignByNumber)
    change = request.change_request(assistant_id, clean_reason(body.change_description))
    return await _unassign(request, change, _by_digits(change, body.phone_number), headers)


async def _unassign(
    request: ApiRequest,
    change: ChangeRequest,
    find: Callable[[UnitOfWork], PhoneNumber],
    headers: dict[str, str],
) -> Response[bytes]:
    def work(unit: UnitOfWork) -> Assignment:
        state = phone_numbers.checked(unit, change)
        return phone_numbers.unassign(unit, change, state, find(unit))

    def render(outcome: Assignment) -> Response[bytes]:
        number, name = outcome.number.phone_number, outcome.assistant_name
        text = f"Phone number {number} successfully unassigned from assistant '{name}'"
        return _answer(outcome, text, headers, success=True)

    return await carry_out(request, change.caller, work, render)


def _by_id(change: ChangeRequest, text: str) -> Callable[[UnitOfWork], PhoneNumber]:
    """What finds the number with the id in the path; raises ``PhoneNumberNotFound``."""
    number_id = known_number_id(text)
    return lambda unit: phone_numbers.by_id(unit, change.caller, number_id)


def _by_digits(change: ChangeRequest, text: str) -> Callable[[UnitOfWork], PhoneNumber]:
    """As ``_by_id``, of a number in a body; raises ``InvalidSettings``."""
    number = read(text, ("body", "phone_number"))
    return lambda unit: phone_numbers.by_digits(unit, change.caller, number)


def _request(request: ApiRequest, assistant_id: str, reason: str | None) -> ChangeRequest:
    return request.change_request(assistant_id, clean_reason(reason), reason_at=IN_QUERY)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[
        assign_number,
        assign_by_number,
        bulk_assign,
        unassign_number,
        unassign_by_number,
    ],
    tags=["Phone numbers"],
)
