"""The request as routes see it: its caller, conditions, preferences and body."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec
from litestar import Request

from app.accounts.principals import REVEAL, Principal, Role
from app.api import access
from app.api.conditional import read_condition
from app.api.connected import while_connected
from app.api.errors import UnsupportedMediaType
from app.api.media_types import JSON
from app.api.parameter_values import known_id
from app.api.preferences import (
    DRY_RUN,
    Preferences,
    dry_run_in_body,
    dry_run_in_query,
    read_preferences,
)
from app.api.vary import varying_lines
from app.assistants.preconditions import Condition
from app.assistants.requests import ChangeRequest
from app.transactions.caller import Caller
from events.assistant_key import AssistantKey
from events.bodies import parsing
from events.bodies.validation import read_struct
from events.errors import FieldError, InvalidSettings, Location
from events.policy import REASON_AT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import sqlalchemy as sa

    from app.accounts.principals import Seen
    from app.services import Services

T = TypeVar("T", bound=msgspec.Struct)
P = ParamSpec("P")
R = TypeVar("R")
_IDEMPOTENCY_KEY = re.compile(
    r'"([\x20-\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e][\x20-\x7e]{0,254})'
)
MAX_BODY = 1024 * 1024


class ApiRequest(Request[Any, Any, Any]):
    """A request of the API or of the console."""

    @property
    def services(self) -> Services:
        """What the application runs on."""
        services: Services = self.app.state.services
        return services

    @property
    def principal(self) -> Principal:
        """The caller; ``app.api.access`` has already checked the route's role."""
        return access.principal(self.scope)

    @property
    def seen(self) -> Seen | None:
        """What was read with the caller's key, if that was read for this request."""
        seen: Seen | None = self.scope.get("seen")  # type: ignore[assignment]  # by Authentication
        return seen

    def require(self, role: Role) -> None:
        """Raise ``Forbidden`` for a caller below a role that only some requests need."""
        access.check_role(self.scope, self.principal, role)

    def caller(self) -> Caller:
        """The caller as events name it; raises ``InvalidSettings`` for a bad idempotency key."""
        principal = self.principal
        return Caller(
            organization_id=principal.organization_id,
            actor=principal.actor,
            is_admin=principal.role >= Role.admin,
            may_reveal=principal.may(REVEAL),
            request_id=self.scope["request_id"],  # type: ignore[typeddict-item]  # set by RequestLog
            idempotency_key=self._idempotency_key(),
        )

    def _idempotency_key(self) -> str | None:
        """The key, with or without quotes."""
        lines = self.headers.getall("idempotency-key", [])
        if not lines:
            return None
        key = _IDEMPOTENCY_KEY.fullmatch(lines[0].strip())
        if key is None or len(lines) > 1:
            message = "Input should be one key of 1 to 255 printable ASCII characters"
            loc = ("header", "Idempotency-Key")
            raise InvalidSettings((FieldError(loc=loc, msg=message, type="idempotency_key"),))
        return key[1] or key[2]

    @cached_property
    def condition(self) -> Condition:
        """``If-Match`` and ``If-None-Match``; raises ``InvalidSettings`` for no list of tags."""
        return read_condition(self.headers)

    @property
    def preferences(self) -> Preferences:
        """``Prefer``, and a dry run that the query asks for; raises ``InvalidSettings``."""
        return self.preferences_with(dry_run=False)

    def preferences_with(self, *, dry_run: bool) -> Preferences:
        """As ``preferences``, with ``dry_run`` where the body asks for one."""
        if not dry_run and self._dry_run_location is None:
            return self._header_preferences
        return msgspec.structs.replace(self._header_preferences, dry_run=True)

    @cached_property
    def _header_preferences(self) -> Preferences:
        return read_preferences(varying_lines(self, "Prefer"))

    @cached_property
    def _dry_run_location(self) -> Location | None:
        """The header or the query parameter that asks for a dry run."""
        if self._header_preferences.dry_run:
            return ("header", "Prefer")
        is_asked = dry_run_in_query(self.query_params.getall(DRY_RUN, []))
        return ("query", DRY_RUN) if is_asked else None

    def assistant_key(self, assistant_id: str) -> AssistantKey:
        """The assistant of the caller's organization with an id from the path.

        Raises ``InvalidSettings`` and ``AssistantNotFound``.
        """
        return AssistantKey(self.principal.organization_id, known_id(assistant_id))

    async def snapshot(
        self, work: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run ``work`` on a snapshot, for the caller's organization and while they are there.

        Raises as ``Database.snapshot`` does.
        """
        organization_id = self.principal.organization_id
        async with self.while_connected():
            return await self.services.database.snapshot(organization_id, work, *args, **kwargs)

    def while_connected(self) -> AbstractAsyncContextManager[None]:
        """As in ``app.api.connected``."""
        return while_connected(self.receive)

    async def refuse_dry_run(self) -> None:
        """Raise ``InvalidSettings`` where a request asks for a dry run and has none.

        A header, the query or the body may ask for it, also a body that the route does not read.
        """
        location = self._dry_run_location or dry_run_in_body(await self.body())
        if location is not None:
            message = "This request has no dry run; nothing was changed"
            raise InvalidSettings((FieldError(loc=location, msg=message, type="no_dry_run"),))

    def change_request(
        self,
        assistant_id: str,
        reason: str | None,
        *,
        reason_at: Location = REASON_AT,
        dry_run: bool = False,
    ) -> ChangeRequest:
        """A change of one assistant; ``dry_run`` where the body asks for one.

        Raises ``InvalidSettings`` and ``AssistantNotFound``.
        """
        return ChangeRequest(
            caller=self.caller(),
            assistant_id=known_id(assistant_id),
            reason=reason,
            reason_at=reason_at,
            condition=self.condition,
            dry_run=self.preferences_with(dry_run=dry_run).dry_run,
        )

    def media_type(self, *accepted: str) -> str:
        """The body's media type, one of those accepted; raises ``UnsupportedMediaType``."""
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower().removeprefix("charset=").strip('"')
        if kind.strip().lower() not in accepted or charset not in ("", "utf-8"):
            headers = ("accept", "accept-patch") if self.method == "PATCH" else ("accept",)
            raise UnsupportedMediaType(accepted=", ".join(accepted), headers=headers)
        return kind.strip().lower()

    async def read_json(self, *, optional: bool = False) -> Any:
        """The body as a JSON value; None for an absent one where it is ``optional``.

        Raises ``UnsupportedMediaType`` and ``MalformedJSON``.
        """
        body = await self.body()
        if not body and optional:
            return None
        self.media_type(JSON)
        return parsing.parse(body)

    async def body_as(self, kind: type[T], *, optional: bool = False, strict: bool = False) -> T:
        """The body as a Struct; where ``optional``, an absent body and null are an empty object.

        Raises as ``read_json`` does, and ``InvalidSettings`` with an error for each member.
        ``strict`` takes no text for a number or a boolean.
        """
        value = await self.read_json(optional=optional)
        return read_struct(kind, {} if optional and value is None else value, strict=strict)
