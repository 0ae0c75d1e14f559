"""structlog on stderr, and one line for each request: no bodies, no headers, no query."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets as entropy
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import structlog
from litestar.enums import ScopeType

from app.api import methods
from app.escaping import printable, printable_lines
from events.credentials import Verdict, has_credential_form, speaks_of_credential, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send
    from structlog.typing import EventDict

    from app.config import Config

_REMEMBERED = 10_000
_CLIENT_LEFT = 499  # in the middle of its body: nobody was answered; as nginx logs it
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Revealed:
    """The values that were revealed lately, so that no log line repeats one.

    Only their digests are kept, under a key that ends with the process.
    """

    def __init__(self) -> None:
        self._key = entropy.token_bytes(32)
        self._digests: dict[bytes, None] = {}

    def remember(self, values: Iterable[Any]) -> None:
        """Keep values out of the log from now on."""
        for value in values:
            self._digests[self._digest(value)] = None
        while len(self._digests) > _REMEMBERED:
            del self._digests[next(iter(self._digests))]

    def __contains__(self, value: object) -> bool:
        if not self._digests:  # as nearly always, and every line asks for all that it holds
            return False
        return isinstance(value, str | int | float) and self._digest(value) in self._digests

    def _digest(self, value: Any) -> bytes:
        return hashlib.blake2b(str(value).encode(), key=self._key, digest_size=16).digest()


REVEALED = Revealed()


_OF_MANY_LINES = ("exception", "stack")


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    """Let no text of a request, such as its path, draw on the terminal; JSON escapes by itself."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = (printable_lines if name in _OF_MANY_LINES else printable)(value)
    return event


def drop_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Drop what is a credential by its name or its form, and values that were revealed.

    The last line of defence: what keeps secrets out of the log is that nobody logs them.
    """
    return {
        name: value
        for name, value in event.items()
        if not (_is_credential(name, value) or value in REVEALED)
    }


def _is_credential(name: str, value: Any) -> bool:
    if not isinstance(value, str):
        return verdict(name) is Verdict.YES
    return speaks_of_credential(name, value) or has_credential_form(value)


def _json(line: EventDict, **_: Any) -> str:
    return _encoder.encode(line)


_encoder = json.JSONEncoder(default=repr)  # made once, which is half of what a short line takes


def configure(config: Config) -> None:
    """Send everything, the server's own lines too, through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        drop_secrets,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: a pretty one shows local variables, and one of them may be a secret.
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
        if config.log_format == "json"
        else [
            _escape,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    _Requests.log = _request_log(shared, render, level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Statements with their parameters are not for a log; the driver logs them when debugging.
    for name in ("aiosqlite", "sqlalchemy", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class _Requests:
    """Where the lines about requests go: like all others until ``configure`` says so."""

    log: Any = structlog.get_logger("request")


def _request_log(
    shared: list[structlog.typing.Processor],
    render: list[structlog.typing.Processor],
    level: int,
) -> Any:
    """The same lines as through the pipeline, without the standard library's part of it.

    There are as many as requests, and that part takes longer than the rest of a short request.
    """
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    ).bind()


class RequestLog:
    """Gives each request its id, answers with it, and logs one line when it has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything that is not HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]  # ours
        status, has_left = 0, False

        async def receive_noting() -> HTTPReceiveMessage:
            nonlocal has_left
            message = await receive()
            # After the answer has begun, this is how it ends.
            has_left |= message["type"] == "http.disconnect" and not status
            return message  # type: ignore[return-value]  # HTTP

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive_noting, send_with_id)
        finally:
            said = _CLIENT_LEFT if has_left else status
            _Requests.log.info("request", **_line(scope, request_id, said, started))


def _line(scope: Scope, request_id: str, status: int, started: float) -> dict[str, Any]:
    who = scope.get("principal")
    line = {
        "method": methods.asked(scope),
        "path": scope["path"],
        "status": status,
        "ms": round((time.perf_counter() - started) * 1000, 2),
        "request_id": request_id,
    }
    if who is not None:
        line |= {"organization_id": who.organization_id, "key_id": who.key_id}  # type: ignore[attr-defined]
    return line


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return uuid.uuid4().hex
