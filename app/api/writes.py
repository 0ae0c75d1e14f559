"""Carry out a write: once for each ``Idempotency-Key``, or as a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.api.routing import path_of
from app.transactions.idempotency import IdempotentRequest, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Response

    from app.api.request import ApiRequest
    from app.transactions.unit_of_work import Caller, UnitOfWork


async def carry_out(
    request: ApiRequest,
    caller: Caller,
    work: Callable[[UnitOfWork], Response[bytes]],
    *,
    dry_run: bool = False,
) -> Response[bytes]:
    """The answer of a write, once it is durable; of a dry run, without any write."""
    if dry_run:
        return await request.services.writer.preview(work)
    await request.refuse_dry_run()
    once = await _idempotent(request, caller)
    return await request.services.idempotency.carry_out(caller, once, work)


async def _idempotent(request: ApiRequest, caller: Caller) -> IdempotentRequest | None:
    if caller.idempotency_key is None:
        return None
    query = request.scope["query_string"].decode(errors="backslashreplace")
    content_type = request.headers.get("content-type", "")
    return IdempotentRequest(
        key=caller.idempotency_key,
        fingerprint=fingerprint(
            request.method, f"{path_of(request)}?{query}", content_type, await request.body()
        ),
    )
