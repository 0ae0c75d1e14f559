"""Carry out a write: once for each ``Idempotency-Key``, or as a dry run."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from app.api import stored_answers
from app.api.routing import path_of
from app.transactions.answers import Answer
from app.transactions.idempotency import IdempotentRequest, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Response

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
    runs inside the transaction, since the answer is stored there. ``is_alone`` gives work that may
    take long a transaction of its own. What ``is_essential`` may use some of the disk's reserve.
    """
    if dry_run:
        async with request.while_connected():
            return await request.services.writer.preview(
                caller.organization_id, lambda unit: render(work(unit))
            )
    await request.refuse_dry_run()
    keyed = await _idempotent(request, caller)
    size = len(await request.body())
    if keyed is None:
        result = await request.services.writer.write(
            caller.organization_id, work, size, is_alone=is_alone, is_essential=is_essential
        )
        # Rendering long work takes long as well: let the event loop go on.
        return await asyncio.to_thread(render, result) if is_alone else render(result)
    response = await request.services.idempotency.run(
        keyed,
        caller,
        lambda unit: render(work(unit)),
        stored_answers.answer_of,
        size,
        is_alone=is_alone,
        is_essential=is_essential,
    )
    if isinstance(response, Answer):
        return await request.services.database.snapshot(
            caller.organization_id,
            partial(stored_answers.replay, caller.organization_id, response),
        )
    return response


async def is_repeated(request: ApiRequest, caller: Caller) -> bool:
    """Whether ``carry_out`` would give a stored answer, and change nothing."""
    keyed = await _idempotent(request, caller)
    return keyed is not None and await request.services.idempotency.is_answered(keyed, caller)


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
