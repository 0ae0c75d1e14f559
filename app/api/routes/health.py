"""Liveness and readiness."""

from __future__ import annotations

import msgspec
from litestar import get

from app.api import routing
from app.api.access import PUBLIC
from app.api.openapi.operations import Answer, operation
from app.api.request import ApiRequest


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the service."""

    status: str


class Readiness(Status, frozen=True, kw_only=True, omit_defaults=True):
    """The state of a service that is ready, and what its operators should look at, if anything."""

    warnings: list[str] = []


@get(
    "/health",
    opt=PUBLIC,
    summary="Check that the process is alive",
    operation_class=operation(Answer(Status, example={"status": "ok"}), public=True),
)
async def health() -> Status:
    """Answers while the process runs."""
    return Status(status="ok")


@get(
    "/ready",
    opt=PUBLIC,
    summary="Check that the database is ready",
    operation_class=operation(
        Answer(Readiness, example={"status": "ready"}), public=True, errors=(503,)
    ),
)
async def ready(request: ApiRequest) -> Readiness:
    """Reads from the database, and checks that it takes writes.

    ``warnings`` are sentences about what does not prevent either yet.
    """
    services = request.services
    await services.database.check()
    services.writer.check()
    return Readiness(status="ready", warnings=services.database.warnings())


ROUTER = routing.ApiRouter(path="/", route_handlers=[health, ready], tags=["Service"])
