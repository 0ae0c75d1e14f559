"""Whether the service lives and answers."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get

from app.api import openapi
from app.api.access import PUBLIC
from app.api.request import services

AnyRequest = Request[Any, Any, Any]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One word on how the service is."""

    status: str


COMPONENTS = (Status,)


@get(
    "/health",
    opt=PUBLIC,
    tags=["Service"],
    summary="Tell whether the process lives",
    operation_class=openapi.operation(
        openapi.Answer(Status, example={"status": "ok"}), public=True
    ),
)
async def health() -> Status:
    """Answers as long as the process does."""
    return Status(status="ok")


@get(
    "/ready",
    opt=PUBLIC,
    tags=["Service"],
    summary="Tell whether the database answers",
    operation_class=openapi.operation(
        openapi.Answer(Status, example={"status": "ready"}), public=True, errors=(503,)
    ),
)
async def ready(request: AnyRequest) -> Status:
    """Reads from the database, and tells whether it still takes writes."""
    made_of = services(request)
    await made_of.database.check()
    made_of.writer.check()
    return Status(status="ready")


HANDLERS = [health, ready]
