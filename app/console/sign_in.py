"""Signing in with an API key or a one-time link, and out again."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar import get, post
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from app.api import methods
from app.api.access import PUBLIC, VIEWER
from app.api.request import ApiRequest
from app.console import cookies
from app.console.api_client import first, read_form, submitted
from app.console.rendering import go, page

if TYPE_CHECKING:
    from app.accounts.sessions import Codes


_MOST_BYTES = 16 * 1024  # from somebody who is not known yet: a key, and where to go on


@get(cookies.SIGN_IN, opt=PUBLIC)
async def show_sign_in(request: ApiRequest, back: FromQuery[str] = "/") -> Template:
    """The form that asks for a key."""
    return _form(request, back)


@post(cookies.SIGN_IN, opt=PUBLIC, status_code=HTTPStatus.OK, request_max_body_size=_MOST_BYTES)
async def sign_in(request: ApiRequest) -> Template | Redirect:
    """Start a session with a good key."""
    form = await read_form(request)
    key, back = first(form, "key").strip(), cookies.local(first(form, "back"))
    if await cookies.whose(request, key) is None:
        error = "This key is unknown, or it was revoked."
        return _form(request, back, HTTPStatus.UNAUTHORIZED, error)
    response = go(back)
    response.set_cookie(cookies.start(request, key))
    return response


@get(f"{cookies.SIGN_IN}/once", opt=PUBLIC)
async def sign_in_once(request: ApiRequest, code: FromQuery[str] = "") -> Template:
    """Start a session with a code that ``backstory demo`` printed.

    Answered by a page that leads on, because a redirect from elsewhere would leave a
    SameSite=Strict cookie behind. A look at its head, as previews take it, starts nothing.
    """
    codes: Codes = request.app.state.codes
    is_look = methods.is_head(request.scope)
    key = codes.look(code) if is_look else codes.redeem(code)
    if key is None or await cookies.whose(request, key) is None:
        error = "This link was used already, or it is too old. Sign in with the key instead."
        return _form(request, "/", HTTPStatus.UNAUTHORIZED, error)
    response = page("go_on", title="Signed in", address="/")
    if not is_look:
        response.set_cookie(cookies.start(request, key))
    return response


@post("/sign-out", opt=VIEWER, status_code=HTTPStatus.OK)
async def sign_out(request: ApiRequest) -> Redirect:
    """End the session, at the server too: a copy of its cookie opens nothing."""
    visitor, _ = await submitted(request)
    await visitor.sign_out()
    response = go(cookies.SIGN_IN)
    response.set_cookie(cookies.end(request))
    return response


def _form(request: ApiRequest, back: str, status: int = HTTPStatus.OK, error: str = "") -> Template:
    return page(
        "sign_in",
        status=status,
        error=error,
        back=cookies.local(back),
        is_open=cookies.is_plain(request) and not cookies.is_at_home(request),
    )


HANDLERS = [show_sign_in, sign_in, sign_in_once, sign_out]
