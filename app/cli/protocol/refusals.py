"""Refusals: requests that are answered with an error before any route sees them.

The answer is sent in its turn, after those to the requests before it. Then the connection ends as
it does after an unread body, so that a client that is still sending can read why.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.api.media_types import PROBLEM
from app.api.middleware.cache_control import CacheControl
from app.api.middleware.request_log import RequestLog
from app.api.problems import problem
from app.cli.protocol.joined import JoinedCycle
from app.cli.protocol.pipelining import PipelinedProtocol
from app.cli.protocol.unread import Lingering

if TYPE_CHECKING:
    import httptools
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a request is not served: the status, the problem's code and a sentence."""

    status: HTTPStatus
    code: str
    detail: str
    retry_after: int | None = None  # seconds


class Refused(Exception):
    """Raised while a request is parsed, to end that."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


_MALFORMED = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    code="malformed-request",
    detail="This is no HTTP/1.1 request",
)


class Part(Enum):
    """The part of a request that is arriving."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class RefusingProtocol(PipelinedProtocol):
    """HTTP/1.1 that can refuse the request that is arriving."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_refused = False
        self._whole: Any = None  # the scope of the last request that has arrived wholly

    @property
    def part(self) -> Part:
        """The part of a request that is arriving."""
        if self._whole is self.scope:
            return Part.NOTHING
        has_head = self.cycle is not None and self.cycle.scope is self.scope
        return Part.BODY if has_head else Part.HEAD

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        super().on_message_complete()
        self._whole = self.scope

    def on_parser_error(self, error: httptools.HttpParserError) -> None:
        """Refuse what is not HTTP, or what a callback of the parser has refused."""
        cause = error.__context__
        self.refuse(cause.refusal if isinstance(cause, Refused) else _MALFORMED)

    def read_on(self) -> None:
        """Read again, unless a request was refused."""
        if not self._is_refused:
            super().read_on()

    def refuse(self, refusal: Refusal) -> None:
        """Answer in place of the request that is arriving, and parse nothing more."""
        if self._is_refused or self.is_lingering or self.transport.is_closing():
            return
        self._is_refused = True
        self._gate.shut()
        arriving = self.cycle if self.part is Part.BODY else None
        if arriving is None or not arriving.response_started:
            self._answer(refusal, arriving)
        elif arriving.response_complete:
            self.linger()
        else:
            arriving.keep_alive = False

    def _answer(self, refusal: Refusal, arriving: RequestResponseCycle | None) -> None:
        cycle, before = self._cycle_of(arriving), self.cycle
        answer = CacheControl(RequestLog(_Answer(refusal)))
        self.cycle = cycle
        if arriving is not None and self.pipeline and self.pipeline[0][0] is arriving:
            self.pipeline[0] = (cycle, answer)  # type: ignore[assignment]  # as above
        elif arriving is None and before is not None and not before.response_complete:
            self.pipeline.appendleft((cycle, answer))  # type: ignore[arg-type]  # as above
        else:
            if arriving is not None:
                _leave(arriving)
            self._start_asgi_task(cycle, answer)  # type: ignore[arg-type]  # as above

    def _cycle_of(self, arriving: RequestResponseCycle | None) -> JoinedCycle:
        """The response to the request that is refused."""
        cycle = JoinedCycle(
            scope=self._new_scope() if arriving is None else arriving.scope.copy(),
            transport=Lingering(self.transport, self.linger),  # type: ignore[arg-type]  # as far as it is used
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        return cycle

    def _new_scope(self) -> Any:
        """A request whose head is not complete: it has a method, and no path or headers."""
        has_method = self.part is Part.HEAD and self.url
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.parser.get_method().decode() if has_method else "GET",
            "scheme": self.scheme,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.root_path,
            "headers": [],
            "server": self.server,
            "client": self.client,
        }


def _leave(cycle: RequestResponseCycle) -> None:
    """Have the application see that its client left: another answer takes the place of its own."""
    cycle.disconnected = True
    cycle.message_event.set()


class _Answer:
    """An application whose one answer is the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    async def __call__(self, _: Any, __: Any, send: Any) -> None:
        refusal = self._refusal
        body = problem(refusal.status, refusal.code, refusal.detail).content
        headers = [
            (b"content-type", PROBLEM.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        if refusal.retry_after is not None:
            headers.append((b"retry-after", b"%d" % refusal.retry_after))
        start = {"type": "http.response.start", "status": int(refusal.status), "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})
