"""The console's routes."""

from __future__ import annotations

from litestar import Router

from app.console import (
    api_keys,
    assets,
    assistant,
    assistants,
    audit,
    change_banner,
    change_sets,
    comparing,
    comparing_two,
    copying,
    headers,
    history,
    home,
    labels,
    many,
    policy,
    problems,
    reversals,
    saving,
    search,
    sign_in,
    time_travel,
    visitor,
)

IS_PAGE = "is_page"  # the ``opt`` that marks the routes of pages
_MAX_BYTES = 4 * 1024 * 1024  # of a form, where one byte of a text can take three

ROUTER = Router(
    path="/",
    route_handlers=[
        assets.ROUTER,
        sign_in.ROUTER,
        assistants.ROUTER,
        assistant.ROUTER,
        saving.ROUTER,
        history.ROUTER,
        comparing.ROUTER,
        labels.ROUTER,
        reversals.ROUTER,
        audit.ROUTER,
        api_keys.ROUTER,
        policy.ROUTER,
        change_banner.ROUTER,
        time_travel.ROUTER,
        home.ROUTER,
        search.ROUTER,
        many.ROUTER,
        change_sets.ROUTER,
        comparing_two.ROUTER,
        copying.ROUTER,
    ],
    request_class=visitor.PageRequest,
    include_in_schema=False,
    opt={IS_PAGE: True},
    middleware=headers.MIDDLEWARE,
    exception_handlers=problems.HANDLERS,
    request_max_body_size=_MAX_BYTES,
    before_request=visitor.before_request,  # type: ignore[arg-type]  # of its request class
)
