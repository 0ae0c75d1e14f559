"""structlog on stderr, with secrets dropped from every line."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets as entropy
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from app.escaping import printable, printable_lines
from events.secrets.credential_forms import has_credential_form
from events.secrets.credential_names import Verdict, speaks_of_credential, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def json_line(line: EventDict, **_: Any) -> str:
    """A line as JSON in printable ASCII, as the standard encoder writes it.

    msgspec takes a third of the time, and escapes nothing but control characters.
    """
    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        text = msgspec.json.format(_encoder.encode(line), indent=0).decode()
        if text.isascii() and text.isprintable():
            return text
    return json.dumps(line, default=repr)


_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure(config: Config) -> None:
    """Send everything, the server's own lines too, through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        drop_secrets,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _rendering(config)
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    Requests.log = _request_log([*shared, *render], level)
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


class Requests:
    """The logger of request lines: like all others until ``configure`` has run."""

    log: Any = structlog.get_logger("request")


def _request_log(processors: list[structlog.typing.Processor], level: int) -> Any:
    """The same lines as through the pipeline, without the standard library's part of it.

    There are as many as requests, and that part takes longer than the rest of a short request.
    """
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    ).bind()
