"""Carry out a write: once for each ``Idempotency-Key``, or as a dry run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from litestar import Response
from litestar.status_codes import HTTP_200_OK

from app.api.reply import Reply
from app.api.routing import path_of
from app.transactions.idempotency import Answer, IdempotentRequest, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.api.request import ApiRequest
    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork

T = TypeVar("T")


async def carry_out(
    request: ApiRequest,
    caller: Caller,
    work: Callable[[UnitOfWork], T],
    render: Callable[[T], Response[bytes]],
    *,
    dry_run: bool = False,
    is_alone: bool = False,
    is_essential: bool = False,
) -> Response[bytes]:
    """Run ``work`` in a write transaction; once that is durable, render what it returned.

    A dry run works on a snapshot instead, and records nothing. With an idempotency key ``render``
    runs inside the transaction, since the rendered bytes are stored there. ``is_alone`` gives work
    that may take long a transaction of its own. What ``is_essential`` may use some of the disk's
    reserve.
    """
    if dry_run:
        return await request.services.writer.preview(lambda unit: render(work(unit)))
    await request.refuse_dry_run()
    keyed = await _idempotent(request, caller)
    size = len(await request.body())
    if keyed is None:
        result = await request.services.writer.write(
            caller.organization_id, work, size, is_alone=is_alone, is_essential=is_essential
        )
        # Rendering long work takes long as well: let the event loop go on.
        return await asyncio.to_thread(render, result) if is_alone else render(result)
    answer = await request.services.idempotency.run(
        keyed,
        caller,
        work,
        lambda result: _answer(render(result)),
        size,
        is_alone=is_alone,
        is_essential=is_essential,
    )
    return Reply(
        answer.body,
        status_code=answer.status,
        media_type=answer.media_type,
        headers=answer.headers,
    )


async def is_repeated(request: ApiRequest, caller: Caller) -> bool:
    """Whether ``carry_out`` would give a stored answer, and change nothing."""
    keyed = await _idempotent(request, caller)
    return keyed is not None and await request.services.idempotency.is_answered(keyed, caller)


def _answer(response: Response[bytes]) -> Answer:
    return Answer(
        status=response.status_code or HTTP_200_OK,
        media_type=str(response.media_type or ""),
        headers=dict(response.headers),
        body=response.content,
    )


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
