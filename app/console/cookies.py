"""The session cookie, and the checks against requests that other sites send."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from litestar.datastructures import Cookie

from app.accounts.principals import Principal
from app.accounts.sessions import LIFETIME, Session
from app.api.middleware.authentication import log_in
from app.api.request import ApiRequest
from events.errors import DomainError

if TYPE_CHECKING:
    from litestar import Request

    AnyRequest = Request[Any, Any, Any]

COOKIE = "backstory_session"
SIGN_IN = "/sign-in"
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class SignedOut(DomainError):
    """There is no session, or it has ended."""


class CrossSite(DomainError):
    """A form that was not sent from a page of this session."""


def start(request: ApiRequest, key: str) -> Cookie:
    """The cookie of a new session with a valid API key."""
    return _cookie(request, request.services.sessions.seal(key), LIFETIME)


def read(request: ApiRequest) -> Session:
    """The session of a request; raises ``SignedOut``."""
    session = request.services.sessions.unseal(request.cookies.get(COOKIE, ""))
    if session is None:
        raise SignedOut
    return session


def end(request: AnyRequest) -> Cookie:
    """A cookie that replaces the session's, and expires at once."""
    return _cookie(request, "", timedelta(0))


def _cookie(request: AnyRequest, value: str, lifetime: timedelta) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=value,
        max_age=int(lifetime.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=not is_local_http(request),
    )


def is_local_http(request: AnyRequest) -> bool:
    """Whether a request is plain HTTP that never leaves this machine, so it needs no TLS."""
    return is_plain_http(request) and _host(request) in _LOOPBACK


def is_plain_http(request: AnyRequest) -> bool:
    """Whether a request came over HTTP without TLS, as far as the server knows."""
    return request.scope["server"] is not None and request.scope["scheme"] == "http"


def _host(request: AnyRequest) -> str | None:
    """The host that the browser asked for; None where the header cannot be read."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def local(address: str) -> str:
    """An address of this site to lead back to; ``/`` in place of any other."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local and address.isprintable() else "/"


def sign_in_address(back: str) -> str:
    """The address of the sign-in page, which leads on to ``back``."""
    return SIGN_IN if back == "/" else f"{SIGN_IN}?back={quote(back, safe='/')}"


async def principal_of(request: ApiRequest, key: str) -> Principal | None:
    """The principal of an API key, limited and recorded as the API does it; None if rejected."""
    principal, _ = await log_in(request.services.logins, request.scope, key)
    return principal


def is_from_elsewhere(request: AnyRequest) -> bool:
    """Whether a page of another site led here, as far as the browser tells."""
    return request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site")


def check_origin(request: AnyRequest) -> None:
    """Raise ``CrossSite`` for a form of another site, as far as the browser tells.

    A page without referrers sends ``Origin: null`` with its own forms, so null proves nothing.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or origin not in (
        "null", f"http://{host}", f"https://{host}",
    ):  # fmt: skip
        raise CrossSite


def check_token(expected: str, sent: str) -> None:
    """Raise ``CrossSite`` for a form without the session's token."""
    if not hmac.compare_digest(expected.encode(), sent.encode()):
        raise CrossSite
