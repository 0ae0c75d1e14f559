"""structlog on stderr, with secrets dropped from every line."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets as entropy
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from app.escaping import printable, printable_lines
from app.tracing.hooks import Tracing
from events.secrets.credential_forms import has_credential_form
from events.secrets.credential_names import Verdict, speaks_of_credential, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import EventDict

    from app.config import Config

_REMEMBERED = 10_000


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
        text = str(value).encode(errors="surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


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


class RequestLine(msgspec.Struct, kw_only=True):
    """What is logged of one request. ``ms`` is its time in milliseconds, ``status`` 0 for none."""

    method: str | msgspec.UnsetType
    path: str | msgspec.UnsetType
    status: int
    ms: float
    request_id: str | msgspec.UnsetType
    organization_id: int | msgspec.UnsetType = msgspec.UNSET
    key_id: int | msgspec.UnsetType | None = msgspec.UNSET
    event: str = "request"
    level: str = "info"
    timestamp: datetime | msgspec.UnsetType = msgspec.UNSET


def json_line(line: EventDict | RequestLine, **_: Any) -> str:
    """A line as JSON in printable ASCII, as the standard encoder writes it.

    msgspec takes a third of the time, and escapes nothing but control characters.
    """
    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        text = msgspec.json.format(_encoder.encode(line), indent=0).decode()
        if text.isascii() and text.isprintable():
            return text
    return json.dumps(_members(line) if isinstance(line, RequestLine) else line, default=repr)


_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure(config: Config) -> None:
    """Send everything, the server's own lines too, through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        drop_secrets,
        *Tracing.hooks.log_processors,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _rendering(config)
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    Requests.log = _request_log(config, level)
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


def _rendering(config: Config) -> list[structlog.typing.Processor]:
    """How a line becomes text: JSON, or for a terminal."""
    if config.log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(json_line)]
    # Plain tracebacks: a pretty one shows local variables, and one of them may be a secret.
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _members(line: RequestLine) -> EventDict:
    members: EventDict = msgspec.to_builtins(line)
    return members


def _log_request(line: RequestLine) -> None:
    """Log a request as any other line."""
    members = _members(line)
    structlog.get_logger("request").info(members.pop("event"), **members)


def write_request(write: Callable[[str], object], line: RequestLine) -> None:
    """Write the JSON that the pipeline would make of a request, in a third of its time.

    There are as many of these lines as requests. Their names are known: only texts that a client
    has sent may be secrets.
    """
    if _is_secret(line.path):
        line.path = msgspec.UNSET
    if _is_secret(line.request_id):
        line.request_id = msgspec.UNSET
    if _is_secret(line.method):
        line.method = msgspec.UNSET
    line.timestamp = datetime.now(UTC)
    write(json_line(line))


def _is_secret(text: Any) -> bool:
    return has_credential_form(text) or text in REVEALED


def _write_nothing(_: RequestLine) -> None:
    """Requests are not logged at this level."""


class Requests:
    """Logs the line of a request: like all others until ``configure`` has run."""

    log: Callable[[RequestLine], None] = staticmethod(_log_request)


def _request_log(config: Config, level: int) -> Callable[[RequestLine], None]:
    if level > logging.INFO:
        return _write_nothing
    if config.log_format == "console" or Tracing.hooks.log_processors:
        return _log_request
    return partial(write_request, structlog.WriteLogger(sys.stderr).msg)
