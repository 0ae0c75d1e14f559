"""The hooks by OpenTelemetry's SDK, Litestar's middleware and SQLAlchemy's instrumentation.

The SDK reads ``OTEL_*`` itself: sampling, limits, resource attributes, where spans are sent.
A span holds no value of a setting, no query and no header but the trace's own.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from litestar.plugins.opentelemetry import (
    OpenTelemetryConfig,
    OpenTelemetryInstrumentationMiddleware,
)
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from app.tracing.hooks import Hooks
from events.changed import Versioned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from litestar.types import ASGIApp, Message, Receive, Scope, Send
    from structlog.typing import EventDict

    from events.changed import LogEvent

_SERVICE = {"service.name": "backstory"}
_ASKED = "asked"  # in the scope that the middleware sees: the request as it came
_KEPT = frozenset((b"traceparent", b"tracestate"))


class Spans(Hooks):
    """Makes spans, and sends them by an exporter."""

    def __init__(self, exporter: str) -> None:
        resource = Resource.create(_SERVICE).merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource)  # ends with the process, and sends the rest
        provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
        trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer("backstory")
        # It declares SQLAlchemy < 2.1, and works with later ones: tests/end_to_end/test_traces.py.
        SQLAlchemyInstrumentor().instrument(skip_dep_check=True)
        self.log_processors = (_add_trace,)

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, with a span for each request, the fast path's too."""
        config = OpenTelemetryConfig(
            scope_span_details_extractor=lambda scope: (str(scope.get("method", "")), {}),
            exclude_spans=["receive", "send"],
        )
        return _Traced(OpenTelemetryInstrumentationMiddleware(_named(app), config))

    def context(self) -> contexts.Context:
        """What later spans of the request that runs now belong to."""
        return contexts.get_current()

    def batch(self, contexts: Iterable[contexts.Context]) -> AbstractContextManager[Any]:
        """A span of the statements that write a batch, linked to the requests in it."""
        links = [trace.Link(found) for found in map(_span_context, contexts) if found.is_valid]
        # A database may name values in the text of an error.
        return self._tracer.start_as_current_span(
            "write batch", links=links, record_exception=False, set_status_on_exception=False
        )

    def committed(
        self, context: contexts.Context, came_at: float, events: Sequence[LogEvent]
    ) -> None:
        """A span for each change that a request made, from its arrival until it is durable."""
        now = time.time_ns()
        began = now - int((time.monotonic() - came_at) * 1e9)
        for event in events:
            if isinstance(event, Versioned):
                span = self._tracer.start_span(
                    "change", context, start_time=began, attributes=dict(_attributes(event))
                )
                span.end(now)


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter(out=sys.stderr, formatter=_line)  # stdout is for data
    return OTLPSpanExporter()


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _span_context(context: contexts.Context) -> trace.SpanContext:
    return trace.get_current_span(context).get_span_context()


def _attributes(event: Versioned) -> Iterator[tuple[str, str | int]]:
    yield "backstory.organization_id", event.organization_id
    yield "backstory.assistant_id", event.assistant_id
    yield "backstory.version", event.version
    yield "backstory.event_type", str(event.__struct_config__.tag)
    yield "backstory.cause", event.cause.type


class _Traced:
    """Shows the middleware no query and no other headers.

    It would put both into spans, and fail where they are not UTF-8.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        kept = [pair for pair in scope["headers"] if pair[0] in _KEPT] if "headers" in scope else []
        shown = {**scope, "query_string": b"", "headers": kept, _ASKED: scope}
        await self._app(shown, receive, send)


def _named(app: ASGIApp) -> ASGIApp:
    """The application, whose spans are named by the template of their route.

    That is known when the answer begins, and the middleware ends the span with the answer.
    """

    async def serve(shown: Any, receive: Receive, send: Send) -> None:
        scope: Any = shown[_ASKED]

        async def send_naming(message: Message) -> None:
            if message["type"] == "http.response.start" and "path_template" in scope:
                span, route = trace.get_current_span(), scope["path_template"]
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
            await send(message)

        await app(scope, receive, send_naming)

    return serve


def _add_trace(_: Any, __: str, event: EventDict) -> EventDict:
    found = trace.get_current_span().get_span_context()
    if found.is_valid:
        event["trace_id"] = trace.format_trace_id(found.trace_id)
        event["span_id"] = trace.format_span_id(found.span_id)
    return event
