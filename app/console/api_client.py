"""How pages ask the API: the same application, in this process, as the key of the session.

No page has another way to data, so no page can show or do what the key may not.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec
from litestar.exceptions import NotFoundException
from msgspec import Struct

from app.accounts import sessions
from app.accounts.principals import Principal, Role
from app.accounts.sessions import Session
from app.api import access, methods
from app.api.request import ApiRequest
from app.console import cookies
from app.console.cookies import SignedOut
from app.console.line_ends import as_typed
from events.errors import DomainError, FieldError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request, Response
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from app.transactions.unit_of_work import UnitOfWork

    AnyRequest = Request[Any, Any, Any]

API = "/api/v1"
TOKEN = "form_token"  # noqa: S105  # a field's name
ONCE = "once"
MOST_FIELDS = 2000
_READ_AT_ONCE = 64 * 1024
_REFUSED = HTTPStatus.BAD_REQUEST
_RUNNING = ":request-running"  # a problem's type
_LOOKS, _BETWEEN_LOOKS = 50, 0.1  # seconds
_SLASH = quote("/", safe="")
_IDS = frozenset(("assistant_id", "key_id"))  # a version may have a name
_ID = re.compile(r"[0-9]+")


class Answer(Struct, frozen=True, kw_only=True):
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def refused(self) -> bool:
        """Whether it is a problem."""
        return self.status >= _REFUSED

    def older(self, address: str, given: Mapping[str, str]) -> str | None:
        """The address of the page after this one, by the cursor of the API's link to it."""
        target = self.headers.get("link", "").partition("<")[2].partition(">")[0]
        cursor = dict(parse_qsl(urlsplit(target).query)).get("cursor")
        return cursor and f"{address}?{urlencode({**given, 'cursor': cursor})}"

    def or_raise(self) -> Any:
        """The data; raises ``Refused`` for a problem."""
        if self.refused:
            raise Refused(self)
        return self.data


class Refused(DomainError):
    """The API refused what a page cannot be without."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Visitor:
    """Somebody signed in, and the API as their key sees it."""

    def __init__(self, request: ApiRequest, session: Session, who: Principal) -> None:
        self._request = request
        self._session = session
        self.who = who

    @property
    def token(self) -> str:
        """What each form of the session carries."""
        return self._session.token

    async def sign_out(self) -> None:
        """End the session, whoever has a copy of its cookie."""
        made_of, session = self._request.services, self._session

        def work(unit: UnitOfWork) -> None:
            organization_id = self.who.organization_id
            long_ago = unit.longer_ago(organization_id, sessions.SESSIONS_KEPT)
            unit.save_time(organization_id)
            sessions.end_session(
                unit.connection, organization_id, session.digest, session.expires_at, long_ago
            )

        await made_of.writer.write(self.who.organization_id, work)

    @property
    def may_edit(self) -> bool:
        """Whether the key's role reaches changes."""
        return self.who.role >= Role.editor

    @property
    def is_admin(self) -> bool:
        """Whether the key's role reaches everything."""
        return self.who.role >= Role.admin

    @staticmethod
    def once() -> str:
        """A new ``Idempotency-Key`` for a form, so that a double click applies once."""
        return str(uuid.uuid4())

    async def get(self, path: str, /, **query: Any) -> Answer:
        """Read; a query parameter that is None or empty is left out."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = msgspec.UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask the application; ``path`` is below the API's root, its parts quoted already.

        The second of two equal forms waits for the answer of the first. Raises
        ``InvalidSettings`` for a header that cannot be sent.
        """
        for _ in range(_LOOKS):
            answer = await self._once(verb, path, query, body, headers)
            if not (answer.refused and answer.data.get("type", "").endswith(_RUNNING)):
                break
            await asyncio.sleep(_BETWEEN_LOOKS)
        return answer

    async def _once(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        if _SLASH in path:  # decoded, it would be two parts, and the path another one
            return Answer(status=HTTPStatus.NOT_FOUND, headers={}, data={"detail": "Not Found"})
        content = b"" if body is msgspec.UNSET else msgspec.json.encode(body)
        sent = {"content-type": "application/json", "content-length": str(len(content))}
        scope = self._scope(verb, path, query or {}, sent | dict(headers or {}))
        messages: list[Message] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        return _answer(messages)

    def streamed(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> ASGIApp:
        """What the API answers, passed on as it comes; it raises ``Refused`` for a problem."""
        asked = self._scope("GET", path, query, headers)

        async def answer(_: Scope, receive: Receive, send: Send) -> None:
            refused: list[Message] = []

            async def pass_on(message: Message) -> None:
                if refused or _is_problem(message):
                    refused.append(message)
                else:
                    await send(message)

            await self._app(asked, receive, pass_on)
            if refused:
                raise Refused(_answer(refused))

        return answer

    @property
    def _app(self) -> Any:
        return self._request.app

    def _scope(
        self, verb: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Any:
        """A request of the API, as this process makes it for the session's key."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        outer: Any = self._request.scope
        return {
            "type": "http",
            "asgi": outer["asgi"],
            "http_version": "1.1",
            "method": verb,
            "scheme": outer["scheme"],
            "path": f"{API}{unquote(path)}",
            "raw_path": f"{API}{path}".encode(),
            "query_string": urlencode(given).encode(),
            "root_path": "",
            "headers": [(name.encode(), _header(name, value)) for name, value in headers.items()],
            "client": outer["client"],
            "server": outer["server"],
            "principal": self.who,
            "request_id": outer["request_id"],
            methods.IS_HEAD: methods.is_head(outer),
        }


def _header(name: str, value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        message = "Input should be a header's value"
        error = FieldError(loc=("header", name), msg=message, type="header")
        raise InvalidSettings((error,)) from None


def _is_problem(message: Any) -> bool:
    return bool(message["type"] == "http.response.start" and message["status"] >= _REFUSED)


def _answer(messages: list[Any]) -> Answer:
    """An answer that has come whole."""
    started, *rest = messages
    headers = {name.decode().lower(): value.decode() for name, value in started["headers"]}
    body = b"".join(message["body"] for message in rest)
    is_text = headers.get("content-type", "").startswith("text/")
    data: Any = body.decode() if is_text else msgspec.json.decode(body) if body else None
    return Answer(status=started["status"], headers=headers, data=data)


def part(text: object) -> str:
    """One part of a path, whatever somebody wrote there."""
    return quote(str(text), safe="")


async def before_request(request: ApiRequest) -> Response[None] | None:
    """Let a request of the console through, or raise what stands against it.

    The same rule as the API's, with the session's key in place of the header's. Raises
    ``NotFoundException`` for an address whose id is none.
    """
    scope = request.scope
    access.check_headers(scope)
    if (answer := methods.options(request)) is not None:
        return answer
    needed = access.needed_role(scope)
    if needed is not None:
        access.check_role(scope, (await _sign_in(request)).who, needed)
    access.check_length(scope)
    _check_ids(request.path_params)
    return None


async def _sign_in(request: ApiRequest) -> Visitor:
    """Who visits; raises ``SignedOut``, also where the key was revoked or the session ended."""
    made_of = request.services
    session = cookies.read(request)
    who = await cookies.whose(request, session.key)
    if who is None or await made_of.database.read(
        sessions.is_session_ended, who.organization_id, session.digest
    ):
        raise SignedOut
    request.scope["principal"] = who  # type: ignore[typeddict-unknown-key]  # for the log's line
    visitor = Visitor(request, session, who)
    request.state.visitor = visitor  # for the page, and for a problem's page
    return visitor


async def signed_in(request: AnyRequest) -> Visitor:
    """Who visits a page that is not public, as it was found before."""
    visitor: Visitor = request.state.visitor
    return visitor


def _check_ids(parameters: Mapping[str, Any]) -> None:
    """The API has routes beside its ids, such as ``/assistants/count``: no id may name one."""
    for name in _IDS.intersection(parameters):
        if not _ID.fullmatch(parameters[name]):
            raise NotFoundException(detail="There is no such page.")


Form = dict[str, list[str]]


async def read_form(request: AnyRequest) -> Form:
    """The fields of a form that this site sent; raises ``CrossSite`` and ``InvalidSettings``."""
    cookies.check_origin(request)
    body = await request.body()
    if len(body) > _READ_AT_ONCE:  # elsewhere, while the loop serves others
        return await asyncio.to_thread(decode, body)
    return decode(body)


def decode(body: bytes) -> Form:
    """The fields of a form as browsers encode it; raises ``InvalidSettings``."""
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        message = "Input should be a form of this page, in UTF-8"
        error = FieldError(loc=("body",), msg=message, type="form")
        raise InvalidSettings((error,)) from None
    form: Form = {}
    for name, value in fields:
        form.setdefault(name, []).append(as_typed(value))
    return form


async def submitted(request: AnyRequest) -> tuple[Visitor, Form]:
    """Who sent a form of theirs, and the form; raises as ``read_form`` does."""
    visitor = await signed_in(request)
    form = await read_form(request)
    cookies.check_token(visitor._session, first(form, TOKEN))  # noqa: SLF001  # its own module
    return visitor, form


def first(form: Form, name: str) -> str:
    """The one value of a field; '' where there is none."""
    return form.get(name, [""])[0]


def once(form: Form) -> dict[str, str]:
    """The header that makes a form's wish come true once."""
    key = first(form, ONCE)
    return {"idempotency-key": key} if key.isascii() and key.isprintable() and key else {}
