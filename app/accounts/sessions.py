"""Who sits at the console: the cookie that holds their API key, and how it is given and ended.

The cookie is sealed (AES-256-GCM) under keys that are derived from the master keys, so workers
and restarts agree. Of a session the database keeps only that it was ended. Litestar's session of
this kind fixes its key and ``Secure`` before the vault is open and before there is a request,
and answers some forged cookies with 500; hence this one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as entropy
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar.datastructures import Cookie
from msgspec import Struct

from app.accounts.authenticator import attempt
from app.accounts.principals import Principal, Stranger
from app.api.request import services
from app.transactions.clock import TOLERANCE
from events.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from litestar import Request

    AnyRequest = Request[Any, Any, Any]

COOKIE = "backstory_session"
LIFETIME = timedelta(hours=12)
CODE_LIFETIME = timedelta(minutes=10)
_NONCE_BYTES = 12
_BOUND = b"backstory console session"
SIGN_IN = "/sign-in"
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class SignedOut(Refusal):
    """There is no session, or it has ended."""


class CrossSite(Refusal):
    """A form that was not sent from a page of this session."""


class Session(Struct, frozen=True, kw_only=True):
    """What the cookie holds. It ends when it expires, is ended, or its key is revoked."""

    key: str
    token: str  # each form of the session carries it
    expires_at: datetime

    def __repr__(self) -> str:
        return "Session()"

    @property
    def digest(self) -> bytes:
        """What the database knows the session by, which opens nothing."""
        return hashlib.sha256(self.token.encode()).digest()


class Sessions:
    """Starts sessions, and opens those that come back."""

    def __init__(self, keys: Iterable[bytes], clock: Callable[[], datetime]) -> None:
        self._keys = tuple(AESGCM(key) for key in keys)
        self._clock = clock

    def start(self, request: AnyRequest, key: str) -> Cookie:
        """The cookie of a new session of somebody whose key was found good."""
        return _cookie(request, self.seal(key), LIFETIME)

    def open(self, request: AnyRequest) -> Session:
        """The session of a request; raises ``SignedOut``."""
        session = self.unseal(request.cookies.get(COOKIE, ""))
        if session is None:
            raise SignedOut
        return session

    def seal(self, key: str) -> str:
        """A new session, as the cookie holds it."""
        session = Session(
            key=key, token=entropy.token_urlsafe(32), expires_at=self._clock() + LIFETIME
        )
        nonce = entropy.token_bytes(_NONCE_BYTES)
        sealed = self._keys[0].encrypt(nonce, msgspec.json.encode(session), _BOUND)
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def unseal(self, text: str) -> Session | None:
        """The session that a cookie holds; None for one that has ended, or was forged."""
        try:
            sealed = base64.urlsafe_b64decode(text.encode())
        except (binascii.Error, ValueError):
            return None
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self._keys:
            with suppress(InvalidTag, ValueError):
                session = msgspec.json.decode(key.decrypt(nonce, rest, _BOUND), type=Session)
                return session if self._is_running(session) else None
        return None

    def _is_running(self, session: Session) -> bool:
        """A session that has longer to go than one that starts now began by a wrong clock."""
        left = session.expires_at - self._clock()
        return timedelta(0) < left <= LIFETIME + TOLERANCE


def end(request: AnyRequest) -> Cookie:
    """What takes the cookie away."""
    return _cookie(request, "", timedelta(0))


def _cookie(request: AnyRequest, value: str, lifetime: timedelta) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=value,
        max_age=int(lifetime.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=not is_at_home(request),
    )


def is_at_home(request: AnyRequest) -> bool:
    """Whether a request is plain HTTP that never leaves this machine: no TLS to ask for."""
    return is_plain(request) and _host(request) in _LOOPBACK


def is_plain(request: AnyRequest) -> bool:
    """Whether a request came over HTTP without TLS, as far as the server knows."""
    return request.scope["server"] is not None and request.scope["scheme"] == "http"


def _host(request: AnyRequest) -> str | None:
    """The name that a browser knows this site by; None for what is none."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def local(address: str) -> str:
    """An address of this site to lead back to; ``/`` in place of any other."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local and address.isprintable() else "/"


def sign_in_address(back: str) -> str:
    """Where one signs in, and comes back from."""
    return SIGN_IN if back == "/" else f"{SIGN_IN}?back={quote(back, safe='/')}"


class Codes:
    """Codes that stand for a key once, for a short time, in this process's memory alone."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._keys: dict[str, tuple[str, datetime]] = {}

    def issue(self, key: str) -> str:
        """A new code for a key."""
        code = entropy.token_urlsafe(32)
        self._keys[code] = (key, self._clock() + CODE_LIFETIME)
        return code

    def look(self, code: str) -> str | None:
        """The key that a code stands for; None for a code that is no good."""
        key, expires_at = self._keys.get(code, (None, self._clock()))
        return key if self._clock() < expires_at else None

    def redeem(self, code: str) -> str | None:
        """As ``look``, this once: the code is no good any more."""
        key = self.look(code)
        self._keys.pop(code, None)
        return key


async def whose(request: AnyRequest, key: str) -> Principal | None:
    """Whose an API key is. One that is no good is noted as the API notes it."""
    made_of = services(request)
    who = await made_of.authenticator.principal(key)
    if isinstance(who, Stranger):
        made_of.refusals.note(attempt(request.scope, key, who))
        return None
    return who


def is_from_elsewhere(request: AnyRequest) -> bool:
    """Whether another site's page led here, as far as the browser tells."""
    return request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site")


def check_origin(request: AnyRequest) -> None:
    """Raise ``CrossSite`` for a form of another site, as far as the browser tells.

    A page without referrers sends ``Origin: null`` with its own forms, so that says nothing.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or origin not in (
        "null", f"http://{host}", f"https://{host}",
    ):  # fmt: skip
        raise CrossSite


def check_token(session: Session, sent: str) -> None:
    """Raise ``CrossSite`` for a form without the session's token."""
    if not hmac.compare_digest(session.token.encode(), sent.encode()):
        raise CrossSite
