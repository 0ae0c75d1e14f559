"""The API as the console's pages call it: in this process, as the key that signed in.

Pages have no other way to data, so no page shows or does what the key may not.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec
from msgspec import UNSET, Struct

from app.api import methods
from app.api.routing import API
from events.errors import DomainError, FieldError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from app.accounts.principals import Principal
    from app.api.request import ApiRequest

_FIRST_ERROR = HTTPStatus.BAD_REQUEST
_RUNNING = ":request-running"  # the end of a problem's type
_TRIES, _WAIT = 50, 0.1  # seconds
_SLASH = quote("/", safe="")


class Answer(Struct, frozen=True, kw_only=True):
    """A response of the API; ``data`` is its decoded JSON, or its text."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def is_problem(self) -> bool:
        """Whether the API answered with an error."""
        return self.status >= _FIRST_ERROR

    @property
    def is_running(self) -> bool:
        """Whether an equal request with the same idempotency key has not ended yet."""
        return self.is_problem and self.data.get("type", "").endswith(_RUNNING)

    @property
    def next_query(self) -> dict[str, str]:
        """The parameters of the next page, by the API's ``Link`` header; none on the last page."""
        target = self.headers.get("link", "").partition("<")[2].partition(">")[0]
        return dict(parse_qsl(urlsplit(target).query))

    def next_page(
        self, address: str, filters: Mapping[str, str], position: str = "cursor"
    ) -> str | None:
        """The address of the console's next page; ``position`` is the parameter that says where."""
        start = self.next_query.get(position)
        return start and f"{address}?{urlencode({**filters, position: start})}"

    def or_raise(self) -> Any:
        """The data; raises ``ApiProblem`` for an error."""
        if self.is_problem:
            raise ApiProblem(self)
        return self.data


class ApiProblem(DomainError):
    """The API answered with an error where a page needs data."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class ApiClient:
    """Calls the API as a principal, while a page's request is served."""

    def __init__(self, request: ApiRequest, principal: Principal) -> None:
        self._request = request
        self.principal = principal

    async def get(self, path: str, /, **query: Any) -> Answer:
        """Read; query parameters that are None or empty are left out, a tuple repeats one."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call the API; ``path`` is below ``/api/v1``, with its segments quoted.

        Where an equal request with the same idempotency key is running, the answer is that
        request's, up to 5 seconds later. Raises ``InvalidSettings`` for a header that is not
        Latin-1.
        """
        for _ in range(_TRIES):
            answer = await self._send_once(method, path, query or {}, body, headers or {})
            if not answer.is_running:
                break
            await asyncio.sleep(_WAIT)
        return answer

    async def _send_once(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        headers: Mapping[str, str],
    ) -> Answer:
        if _SLASH in path:  # decoded, it would become two segments, and name another route
            return Answer(status=HTTPStatus.NOT_FOUND, headers={}, data={"detail": "Not Found"})
        content = b"" if body is UNSET else msgspec.json.encode(body)
        of_body = {"content-type": "application/json", "content-length": str(len(content))}
        self._count()
        scope = self._scope(method, path, query, of_body | dict(headers))
        messages: list[Message] = []
        events: list[Any] = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Any:
            return events.pop() if events else await self._request.receive()

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        return _read_answer(messages)

    def stream(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> ASGIApp:
        """An ASGI application that passes on an answer as it comes.

        It raises ``ApiProblem`` for an error.
        """
        api_scope = self._scope("GET", path, query, headers)

        async def answer(_: Scope, receive: Receive, send: Send) -> None:
            problem: list[Message] = []

            async def pass_on(message: Message) -> None:
                if problem or _begins_problem(message):
                    problem.append(message)
                else:
                    await send(message)

            self._count()
            await self._app(api_scope, receive, pass_on)
            if problem:
                raise ApiProblem(_read_answer(problem))

        return answer

    def _count(self) -> None:
        """Count a call as the key's; only its page may be refused, before it has done anything."""
        self._request.services.rate_limits.add(self.principal)

    @property
    def _app(self) -> Any:
        return self._request.app

    def _scope(
        self, method: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Any:
        """The ASGI scope of a request that is authenticated already."""
        parameters = {name: value for name, value in query.items() if value not in (None, "", ())}
        outer: Any = self._request.scope
        return {
            "type": "http",
            "asgi": outer["asgi"],
            "http_version": "1.1",
            "method": method,
            "scheme": outer["scheme"],
            "path": f"{API}{unquote(path)}",
            "raw_path": f"{API}{path}".encode(),
            "query_string": urlencode(parameters, doseq=True).encode(),
            "root_path": "",
            "headers": [(name.encode(), _header(name, value)) for name, value in headers.items()],
            "client": outer["client"],
            "server": outer["server"],
            "principal": self.principal,
            "request_id": outer["request_id"],
            methods.IS_HEAD: methods.is_head(outer),
        }


def segment(text: object) -> str:
    """A text as one segment of a path."""
    return quote(str(text), safe="")


def _header(name: str, value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        message = "Input should be a header's value"
        error = FieldError(loc=("header", name), msg=message, type="header")
        raise InvalidSettings((error,)) from None


def _begins_problem(message: Any) -> bool:
    return bool(message["type"] == "http.response.start" and message["status"] >= _FIRST_ERROR)


def _read_answer(messages: list[Any]) -> Answer:
    """The answer that all messages of a response make."""
    start, *rest = messages
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    body = b"".join(message["body"] for message in rest)
    is_text = headers.get("content-type", "").startswith("text/")
    data: Any = body.decode() if is_text else msgspec.json.decode(body) if body else None
    return Answer(status=start["status"], headers=headers, data=data)
