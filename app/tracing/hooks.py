"""Where traces are made. Each hook does nothing until ``start``, and nothing is imported for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from litestar.types import ASGIApp
    from structlog.typing import Processor

    from events.changed import LogEvent

_PREFIX = "OTEL_"
EXPORTERS = ("otlp", "console", "none")
_PACKAGES = ("sdk", "instrumentation.asgi", "instrumentation.sqlalchemy", "exporter.otlp")


class TracingRefused(Exception):
    """Traces were asked for and cannot be made; the message says why, in a sentence."""


class Hooks:
    """What is called where there is something to trace."""

    log_processors: Sequence[Processor] = ()
    """Add the trace to each line of the log."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, with a span for each request."""
        return app

    def context(self) -> Any:
        """What later spans of the request that runs now belong to."""
        return None

    def batch(self, contexts: Iterable[Any]) -> AbstractContextManager[Any]:  # noqa: ARG002  # see above
        """A span of the statements that write a batch, linked to the requests in it."""
        return nullcontext()

    def committed(self, context: Any, came_at: float, events: Sequence[LogEvent]) -> None:
        """A span for each change that a request made; it came at this ``time.monotonic``."""


class Tracing:
    """The hooks of this process."""

    hooks = Hooks()


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether any variable of OpenTelemetry asks for traces."""
    if not any(value and name.startswith(_PREFIX) for name, value in environment.items()):
        return False
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not is_disabled and _exporter(environment) != "none"


def check(environment: Mapping[str, str]) -> None:
    """Raise ``TracingRefused`` if traces are asked for and cannot be made."""
    if not is_wanted(environment):
        return
    if _exporter(environment) not in EXPORTERS:
        raise TracingRefused(f"OTEL_TRACES_EXPORTER: expected {', '.join(EXPORTERS)}")
    if not all(_is_installed(f"opentelemetry.{name}") for name in _PACKAGES):
        raise TracingRefused(
            "OTEL_*: for traces, install backstory with its extra [otel];"
            " to serve without, set OTEL_SDK_DISABLED=true"
        )


def start(environment: Mapping[str, str]) -> None:
    """Trace from now on, if it is asked for; before the log and the database are opened.

    Raises ``TracingRefused``.
    """
    check(environment)
    if is_wanted(environment):
        from app.tracing.spans import Spans  # noqa: PLC0415  # see above

        Tracing.hooks = Spans(_exporter(environment))


def _exporter(environment: Mapping[str, str]) -> str:
    return environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
