"""What a request says, read in one place: who calls, the body, preferences."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from app.accounts.principals import REVEAL, Principal, Role
from app.api import access
from app.api.caching import chosen_by
from app.api.memento import HTTP_DATE
from app.api.problems import HeaderUnreadable, UnsupportedMediaType
from app.assistants.changes import ChangeRequest
from app.assistants.preconditions import read_condition
from app.storage.tables import MAX_ID
from app.transactions.idempotency import IdempotentRequest, fingerprint
from app.transactions.unit_of_work import Caller
from events import parsing, pointers
from events.errors import AssistantNotFound, FieldError, InvalidSettings, Location
from events.patch import REASON, clean_reason, describe
from events.policy import REASON_AT
from projections.spreadsheets import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Request, Response

    from app.services import Services
    from app.transactions.unit_of_work import UnitOfWork
    from projections.spreadsheets import Formulas

    AnyRequest = Request[Any, Any, Any]

_INTEGER = re.compile(r"-?[0-9]+")
_IDEMPOTENCY_KEY = re.compile(
    r'"([\x20-\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e][\x20-\x7e]{0,254})'
)
_ACCEPT_DATETIME = "Accept-Datetime"
_HTTP_DATE_RULE = "It should be one HTTP date, such as Sun, 01 Mar 2026 09:00:00 GMT"
_LONGEST_NUMBER = 4000  # beyond every id, so that a longer one is as missing as its beginning
_LONGEST_SEQUENCE = 18  # digits
MAX_BODY = 1024 * 1024
_DRY_RUN = "dry_run"
IN_QUERY: Location = ("query", REASON)  # where a request without a body for it gives its reason


def services(request: AnyRequest) -> Services:
    """What this application is made of."""
    found: Services = request.app.state.services
    return found


def path_of(request: AnyRequest) -> str:
    """The path of a request. ``request.url`` would fail over a host whose port is no number."""
    return f"{request.scope.get('root_path', '')}{request.scope['path']}"


def principal(request: AnyRequest, at_least: Role = Role.viewer) -> Principal:
    """Who calls: a key that may use the route, as ``app.api.access`` found before.

    ``at_least`` is for what only some requests of a route ask for; raises ``Forbidden``.
    """
    who = access.principal(request.scope)
    access.check_role(request.scope, who, at_least)
    return who


def caller(request: AnyRequest, at_least: Role = Role.viewer) -> Caller:
    """Who calls, as an event will name them."""
    who = principal(request, at_least)
    return Caller(
        organization_id=who.organization_id,
        actor=who.actor,
        is_admin=who.role >= Role.admin,
        may_reveal=who.may(REVEAL),
        request_id=request.scope["request_id"],  # type: ignore[typeddict-item]  # set by app.log
        idempotency_key=_idempotency_key(request),
    )


def _idempotency_key(request: AnyRequest) -> str | None:
    """The key of a request that must not be carried out twice; a quoted one is the same."""
    sent = request.headers.getall("idempotency-key", [])
    if not sent:
        return None
    found = _IDEMPOTENCY_KEY.fullmatch(sent[0].strip())
    if found is None or len(sent) > 1:
        message = "Input should be one key of 1 to 255 printable ASCII characters"
        loc = ("header", "Idempotency-Key")
        raise InvalidSettings((FieldError(loc=loc, msg=message, type="idempotency_key"),))
    return found[1] or found[2]


async def carry_out(
    request: AnyRequest,
    who: Caller,
    work: Callable[[UnitOfWork], Response[bytes]],
    *,
    dry_run: bool = False,
) -> Response[bytes]:
    """The answer of a write, once it is durable; of a dry run, without any write."""
    if dry_run:
        return await services(request).writer.preview(work)
    await refuse_dry_run(request)
    once = None
    if who.idempotency_key is not None:
        query = request.scope["query_string"].decode(errors="backslashreplace")
        once = IdempotentRequest(
            key=who.idempotency_key,
            fingerprint=fingerprint(
                request.method,
                f"{path_of(request)}?{query}",
                request.headers.get("content-type", ""),
                await request.body(),
            ),
        )
    return await services(request).idempotency.carry_out(who, once, work)


async def refuse_dry_run(request: AnyRequest) -> None:
    """Raise ``InvalidSettings`` where a dry run is asked of a request that has none.

    Wherever it is asked for: in a header, in the query, or in a body, even one that nobody reads.
    """
    if (where := _dry_run_at(request) or _dry_run_in(await request.body())) is not None:
        message = "This request has no dry run; nothing was changed"
        raise InvalidSettings((FieldError(loc=where, msg=message, type="no_dry_run"),))


def _dry_run_at(request: AnyRequest) -> Location | None:
    """The header or the query parameter that asks for a dry run."""
    if "dry-run" in _preferred(request):
        return ("header", "Prefer")
    return ("query", _DRY_RUN) if _queried_dry_run(request) else None


def _queried_dry_run(request: AnyRequest) -> bool:
    """Whether the query asks for a dry run; raises ``InvalidSettings`` for no boolean."""
    try:
        sent = request.query_params.getall(_DRY_RUN, [])
        return any(msgspec.convert(text, bool, strict=False) for text in sent)
    except msgspec.ValidationError:
        raise _wrong(_DRY_RUN, *reversed(describe("Expected `bool`, got `str`"))) from None


def _dry_run_in(body: bytes) -> Location | None:
    """The member of a body that asks for a dry run; raises ``MalformedJSON``."""
    if _DRY_RUN.encode() not in body and b"\\u" not in body:  # as nearly all bodies
        return None
    value = parsing.parse(body)
    # False and 0 ask for none, and so does null.
    return ("body", _DRY_RUN) if isinstance(value, dict) and value.get(_DRY_RUN) else None


# Read as text, and without bounds: beyond them an id is missing, as others are.
Number = Annotated[
    str, PathParameter(schema_extra={"type": "integer", "minLength": None, "examples": [1]})
]


def number(text: str, name: str) -> int:
    """An id in a path, in its one notation; raises ``InvalidSettings`` for what is no integer."""
    if not _INTEGER.fullmatch(text):
        kind, message = describe("Expected `int`, got `str`")
        raise InvalidSettings((FieldError(loc=("path", name), msg=message, type=kind),))
    return int(text[:_LONGEST_NUMBER])


def known_id(text: str) -> int:
    """An id that can exist; raises ``AssistantNotFound`` for one beyond 32 bits."""
    assistant_id = number(text, "assistant_id")
    if not 0 < assistant_id <= MAX_ID:
        raise AssistantNotFound(assistant_id)
    return assistant_id


def wish_of(
    request: AnyRequest,
    assistant_id: str,
    reason: str | None,
    *,
    reason_at: Location = REASON_AT,
    dry_run: bool = False,
    at_least: Role = Role.viewer,
) -> ChangeRequest:
    """What every request that changes an assistant says beside its body."""
    return ChangeRequest(
        caller=caller(request, at_least),
        assistant_id=known_id(assistant_id),
        reason=reason,
        reason_at=reason_at,
        condition=read_condition(request.headers),
        dry_run=preferences(request, dry_run=dry_run).dry_run,
    )


def description(text: str | None) -> str | None:
    """The reason that the query gives."""
    return clean_reason(text)


JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


async def read_json(request: AnyRequest, *, optional: bool = False) -> Any:
    """The body as a JSON value; None for an absent one where it is ``optional``.

    Raises ``UnsupportedMediaType`` and ``MalformedJSON``.
    """
    body = await request.body()
    if not body and optional:
        return None
    media_type(request, JSON)
    return parsing.parse(body)


def media_type(request: AnyRequest, *accepted: str) -> str:
    """What the body is sent as, one of those accepted; raises ``UnsupportedMediaType``."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() not in accepted or charset not in ("", "utf-8"):
        told_in = ("accept", "accept-patch") if request.method == "PATCH" else ("accept",)
        raise UnsupportedMediaType(accepted=", ".join(accepted), told_in=told_in)
    return kind.strip().lower()


def pointer(path: str | None) -> str | None:
    """A JSON Pointer that filters; raises ``InvalidSettings`` for a text that is none."""
    if path is None or pointers.is_pointer(path):
        return path
    raise _wrong("path", pointers.RULE, "json_pointer")


def moment(name: str, text: str | None, where: str = "query") -> datetime | None:
    """A moment of the query, UTC where it names no zone; raises ``InvalidSettings``."""
    if text is None:
        return None
    try:
        found = msgspec.convert(text.replace(" ", "+"), datetime)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        rule = "Input should be an RFC 3339 date and time"
        raise _wrong(name, rule, "value_error", where) from None


def query_number(request: AnyRequest, name: str) -> int:
    """A number of the query whose name no argument can have; raises ``InvalidSettings``."""
    text = request.query_params.get(name)
    if text is None:
        raise _wrong(name, "Field required", "missing")
    if not _INTEGER.fullmatch(text) or len(text) > _LONGEST_SEQUENCE or text.startswith("-"):
        raise _wrong(name, *reversed(describe("Expected `int`, got `str`")))
    return int(text)


def invalid(name: str, message: str) -> InvalidSettings:
    """A query parameter that breaks a rule."""
    return _wrong(name, message, "value_error")


FORMULAS = QueryParameter(
    description="CSV alone: `quoted` puts a `'` before what a spreadsheet would take for a formula,"
    " `raw` leaves texts as they are, for machines. `quoted` by default."
)
BOM = QueryParameter(description="CSV alone: begin with a byte order mark, which Excel wants.")


def read_table(format_name: str, formulas: Formulas | None, *, bom: bool) -> Table:
    """How CSV is to be written; raises ``InvalidSettings`` where another format was chosen."""
    if format_name != "csv":
        for name, is_given in (("formulas", formulas is not None), ("bom", bom)):
            if is_given:
                raise invalid(name, "Input is for CSV alone")
    return Table(formulas=formulas or "quoted", bom=bom)


def _wrong(name: str, message: str, kind: str, where: str = "query") -> InvalidSettings:
    return InvalidSettings((FieldError(loc=(where, name), msg=message, type=kind),))


class Preferences(Struct, frozen=True, kw_only=True):
    """What the client prefers (RFC 7240)."""

    strict: bool = False  # what cannot be done as sent, such as an unknown member, is an error
    lenient: bool = False  # it is left out, and the answer's body names it
    minimal: bool = False  # no body in the answer
    dry_run: bool = False  # tell what would happen, and do nothing

    @property
    def applied(self) -> dict[str, str]:
        """The header that says which preferences were honoured."""
        said = [
            text
            for honoured, text in (
                (self.strict, "handling=strict"),
                (self.lenient, "handling=lenient"),
                (self.minimal and not self.dry_run, "return=minimal"),
                (self.dry_run, "dry-run"),
            )
            if honoured
        ]
        return {"preference-applied": ", ".join(said)} if said else {}


def preferences(request: AnyRequest, *, dry_run: bool = False) -> Preferences:
    """The preferences that this service knows; others are ignored, as they may be.

    A dry run may also be asked for in the query, and in the body: ``dry_run``.
    """
    said = _preferred(request)
    return Preferences(
        strict="handling=strict" in said,
        lenient="handling=lenient" in said and "handling=strict" not in said,
        minimal="return=minimal" in said,
        dry_run=dry_run or _dry_run_at(request) is not None,
    )


def _preferred(request: AnyRequest) -> set[str]:
    """What the lines of ``Prefer`` say, in one notation."""
    return {
        preference.partition(";")[0].replace(" ", "").replace('"', "").lower()
        for preference in ",".join(chosen_by(request, "Prefer")).split(",")
    }


def query_text(request: AnyRequest, name: str) -> str | None:
    """A text of the query whose name no argument can have."""
    text: str | None = request.query_params.get(name)
    return text


def accept_datetime(request: AnyRequest) -> datetime | None:
    """The moment that the header ``Accept-Datetime`` (RFC 7089) asks for.

    Raises ``HeaderUnreadable`` for what is no one date.
    """
    lines = chosen_by(request, _ACCEPT_DATETIME)
    if not lines:
        return None
    if len(lines) > 1 or not re.fullmatch(HTTP_DATE, lines[0].strip()):
        raise HeaderUnreadable(_ACCEPT_DATETIME, _HTTP_DATE_RULE)
    try:
        found = parsedate_to_datetime(lines[0]).astimezone(UTC)
    except (ValueError, OverflowError):  # the 31st of February
        raise HeaderUnreadable(_ACCEPT_DATETIME, _HTTP_DATE_RULE) from None
    # To the end of the second, so that a Memento-Datetime leads back to what it was sent with.
    return found.replace(microsecond=999_999)
