"""The console's part of the application."""

from __future__ import annotations

from litestar import Router

from app.console import (
    api_client,
    api_keys,
    assistant,
    assistants,
    audit,
    change_banner,
    history,
    policy,
    rendering,
    reversals,
    sign_in,
    time_travel,
)

IS_PAGE = "is_page"  # how its routes are told from the API's
_MOST_BYTES = 4 * 1024 * 1024  # of a form, in which a byte of a body may take three

ROUTER = Router(
    path="/",
    route_handlers=[
        rendering.get_file,
        *sign_in.HANDLERS,
        *assistants.HANDLERS,
        *assistant.HANDLERS,
        *history.HANDLERS,
        *reversals.HANDLERS,
        *audit.HANDLERS,
        *api_keys.HANDLERS,
        *policy.HANDLERS,
        *change_banner.HANDLERS,
        *time_travel.HANDLERS,
    ],
    include_in_schema=False,
    opt={IS_PAGE: True},
    middleware=rendering.MIDDLEWARE,
    exception_handlers=rendering.HANDLERS,
    request_max_body_size=_MOST_BYTES,
    before_request=api_client.before_request,  # type: ignore[arg-type]  # our request class
)
