"""Phone numbers as requests write them and answers show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from litestar import Response
from msgspec import Meta, Struct

from app.api.header_lists import header_list
from app.api.media_types import JSON
from app.api.parameter_values import number
from app.api.reply import Reply
from app.assistants import phone_numbers
from app.assistants.phone_numbers import PhoneNumberNotFound
from app.naming import MOST, clean_name
from app.storage.tables import MAX_ID
from events import pointers
from events.bodies.validation import read_struct
from events.errors import FieldError, InvalidSettings
from events.phone_numbers import E164
from events.setting_types import Moment

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.api.request import ApiRequest
    from projections.phone_numbers import PhoneNumber

T = TypeVar("T", bound=Struct)

Number = Annotated[str, Meta(extra_json_schema={"pattern": E164, "examples": ["+14155551234"]})]
FriendlyName = Annotated[str, Meta(extra_json_schema={"maxLength": MOST})]


class NumberHolder(Struct, frozen=True, kw_only=True):
    """The assistant that answers a number."""

    id: int
    name: str
    is_active: bool


class ShownNumber(Struct, frozen=True, kw_only=True):
    """A phone number of the organization.

    This service has no telephony provider: ``twilio_sid`` and ``capabilities`` are always null.
    """

    id: int
    organization_id: int
    phone_number: str
    friendly_name: str | None = None
    twilio_sid: str | None = None
    is_active: bool = True
    capabilities: dict[str, bool] | None = None
    assistant_id: int | None = None
    assistant_name: str | None = None
    assistant: NumberHolder | None = None
    assigned_at: Moment | None = None
    created_at: Moment
    updated_at: Moment


EXAMPLE: dict[str, Any] = {
    "id": 1,
    "organization_id": 1,
    "phone_number": "+14155551234",
    "friendly_name": "Support line",
    "twilio_sid": None,
    "is_active": True,
    "capabilities": None,
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "assistant": {"id": 1, "name": "Front desk", "is_active": True},
    "assigned_at": "2026-03-02T10:00:00Z",
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-02T10:00:00Z",
}
FREE: dict[str, Any] = EXAMPLE | {
    "assistant_id": None,
    "assistant_name": None,
    "assistant": None,
    "assigned_at": None,
}


def shown(
    connection: sa.Connection, organization_id: int, numbers: list[PhoneNumber]
) -> list[ShownNumber]:
    """Numbers with the assistants that answer them."""
    holders = phone_numbers.holders_of(connection, organization_id, numbers)
    return [_shown(number, holders.get(number.assistant_id or 0)) for number in numbers]


def _shown(number: PhoneNumber, holder: tuple[str, bool] | None) -> ShownNumber:
    assistant = None
    if holder is not None and number.assistant_id is not None:
        assistant = NumberHolder(id=number.assistant_id, name=holder[0], is_active=holder[1])
    return ShownNumber(
        id=number.id,
        organization_id=number.organization_id,
        phone_number=number.phone_number,
        friendly_name=number.friendly_name,
        assistant_id=None if assistant is None else assistant.id,
        assistant_name=None if assistant is None else assistant.name,
        assistant=assistant,
        assigned_at=number.assigned_at if assistant else None,
        created_at=number.created_at,
        updated_at=number.updated_at,
    )


def known_number_id(text: str) -> int:
    """An id in a path that a number can have; raises ``PhoneNumberNotFound`` for another one."""
    phone_number_id = number(text, "phone_number_id")
    if not 0 < phone_number_id <= MAX_ID:
        raise PhoneNumberNotFound(phone_number_id)
    return phone_number_id


def clean_friendly_name(text: str | None) -> str | None:
    """A friendly name without blanks around it; None for a blank one. Raises as for names."""
    if text is None or not text.strip():
        return None
    return clean_name(text, ("body", "friendly_name"))


def applied(request: ApiRequest) -> dict[str, str]:
    """The header that says that the one preference which counts here was honoured."""
    return {"preference-applied": "handling=strict"} if request.preferences.strict else {}


async def read_body(request: ApiRequest, kind: type[T]) -> tuple[T, dict[str, str]]:
    """The body, and the headers that name its unknown members and the preferences applied.

    With ``Prefer: handling=strict``, unknown members are ``InvalidSettings``.
    """
    value = await request.read_json()
    body = read_struct(kind, value)
    unknown = [name for name in value if name not in kind.__struct_fields__]
    if unknown and request.preferences.strict:
        raise InvalidSettings(
            tuple(
                FieldError(loc=("body", name), msg="Unknown member", type="extra_forbidden")
                for name in unknown
            )
        )
    headers = applied(request)
    if ignored := header_list(pointers.join((name,)) for name in unknown):
        headers["x-ignored-fields"] = ignored
    return body, headers


def reply(content: Any, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Something as JSON, with 200."""
    body = msgspec.json.encode(content)
    return Reply(body, status_code=200, media_type=JSON, headers=headers or {})
