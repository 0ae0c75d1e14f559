"""The console's part of the application."""

from __future__ import annotations

from litestar import Router

from app.console import (
    asking,
    assistant,
    assistants,
    audit,
    history,
    keys,
    life,
    live,
    pages,
    policy,
    signing_in,
    taking_back,
)

IS_PAGE = "is_page"  # how its routes are told from the API's
_MOST_BYTES = 4 * 1024 * 1024  # of a form, in which a byte of a body may take three

ROUTER = Router(
    path="/",
    route_handlers=[
        pages.get_file,
        *signing_in.HANDLERS,
        *assistants.HANDLERS,
        *assistant.HANDLERS,
        *history.HANDLERS,
        *taking_back.HANDLERS,
        *audit.HANDLERS,
        *keys.HANDLERS,
        *policy.HANDLERS,
        *live.HANDLERS,
        *life.HANDLERS,
    ],
    include_in_schema=False,
    opt={IS_PAGE: True},
    middleware=pages.MIDDLEWARE,
    exception_handlers=pages.HANDLERS,
    request_max_body_size=_MOST_BYTES,
    before_request=asking.before_request,
)
