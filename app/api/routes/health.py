"""Whether the service lives and answers."""

from __future__ import annotations

import msgspec
from litestar import get

from app.api import routing
from app.api.access import PUBLIC
from app.api.openapi.operations import Answer, operation
from app.api.request import ApiRequest


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One word on how the service is."""

    status: str


@get(
    "/health",
    opt=PUBLIC,
    summary="Tell whether the process lives",
    operation_class=operation(Answer(Status, example={"status": "ok"}), public=True),
)
async def health() -> Status:
    """Answers as long as the process does."""
    return Status(status="ok")


@get(
    "/ready",
    opt=PUBLIC,
    summary="Tell whether the database answers",
    operation_class=operation(
        Answer(Status, example={"status": "ready"}), public=True, errors=(503,)
    ),
)
async def ready(request: ApiRequest) -> Status:
    """Reads from the database, and tells whether it still takes writes."""
    services = request.services
    await services.database.check()
    services.writer.check()
    return Status(status="ready")


ROUTER = routing.ApiRouter(path="/", route_handlers=[health, ready], tags=["Service"])
