"""Signing in with an API key or a one-time link, and out again."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar import Router, get, post
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from app.api import methods
from app.api.access import PUBLIC, VIEWER
from app.console import cookies, texts
from app.console.forms import first, read_form, submitted
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest

if TYPE_CHECKING:
    from app.accounts.sessions import Codes

_MAX_BYTES = 16 * 1024  # of a form without a session: a key, and an address


@get(cookies.SIGN_IN, opt=PUBLIC)
async def show_sign_in(request: PageRequest, back: FromQuery[str] = "/") -> Template:
    """The form that asks for a key."""
    return _form(request, back)


@post(cookies.SIGN_IN, opt=PUBLIC, status_code=HTTPStatus.OK, request_max_body_size=_MAX_BYTES)
async def sign_in(request: PageRequest) -> Template | Redirect:
    """Start a session with a valid key."""
    form = await read_form(request)
    key, back = first(form, "key").strip(), cookies.local(first(form, "back"))
    if await cookies.principal_of(request, key) is None:
        return _form(request, back, HTTPStatus.UNAUTHORIZED, texts.SignIn.bad_key)
    response = redirect(back)
    response.set_cookie(cookies.start(request, key))
    return response


@get(f"{cookies.SIGN_IN}/once", opt=PUBLIC)
async def sign_in_once(request: PageRequest, code: FromQuery[str] = "") -> Template:
    """Start a session with a code that ``backstory demo`` printed.

    The answer is a page that leads on: after a redirect from another site, browsers would not
    send a SameSite=Strict cookie. HEAD, which link previews send, does not use up the code.
    """
    codes: Codes = request.app.state.codes
    is_head = methods.is_head(request.scope)
    key = codes.look(code) if is_head else codes.redeem(code)
    if key is None or await cookies.principal_of(request, key) is None:
        return _form(request, "/", HTTPStatus.UNAUTHORIZED, texts.SignIn.bad_link)
    response = page("continue", title=texts.SignIn.signed_in, address="/")
    if not is_head:
        response.set_cookie(cookies.start(request, key))
    return response


@post("/sign-out", opt=VIEWER, status_code=HTTPStatus.OK)
async def sign_out(request: PageRequest) -> Redirect:
    """End the session, on the server too: a copy of its cookie opens nothing."""
    visitor, _ = await submitted(request)
    await visitor.sign_out()
    response = redirect(cookies.SIGN_IN)
    response.set_cookie(cookies.end(request))
    return response


def _form(
    request: PageRequest, back: str, status: int = HTTPStatus.OK, error: str = ""
) -> Template:
    return page(
        "sign_in",
        status=status,
        error=error,
        back=cookies.local(back),
        is_insecure=cookies.is_plain_http(request) and not cookies.is_local_http(request),
    )


ROUTER = Router("/", route_handlers=[show_sign_in, sign_in, sign_in_once, sign_out])
