"""What all pages share: templates, headers, files, and problems as something to read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response, get
from litestar.config.compression import CompressionConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException, NotFoundException
from litestar.middleware import ASGIMiddleware, DefineMiddleware
from litestar.middleware.compression import CompressionMiddleware
from litestar.params import FromPath
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig
from msgspec import Struct

from app.accounts.principals import Role
from app.api import problems
from app.api.access import PUBLIC
from app.api.caching import chosen_by, note_choice
from app.api.routing import path_of
from app.console import cookies, formatting
from app.console.api_client import API, Refused, Visitor
from app.console.cookies import CrossSite, SignedOut
from events.errors import DomainError

if TYPE_CHECKING:
    from litestar.types import (
        ASGIApp,
        ExceptionHandlersMap,
        Message,
        Middleware,
        Receive,
        Scope,
        Send,
    )

AnyRequest = Request[Any, Any, Any]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_READING = ("GET", "HEAD")
_FOR_GOOD = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css", "js": "text/javascript"}
# Where the navigation leads: its words, the page, and the role that it needs.
PLACES = (
    ("Assistants", "/", Role.viewer),
    ("Audit log", "/audit", Role.admin),
    ("API keys", "/keys", Role.admin),
    ("Policy", "/policy", Role.viewer),
)

templates = Environment(
    loader=PackageLoader("app.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class File(Struct, frozen=True):
    """A file that pages need, under a name that changes with its content."""

    name: str
    media_type: str
    content: bytes


def _read_files() -> dict[str, File]:
    found = {}
    for entry in files("app.console").joinpath("static").iterdir():
        stem, _, kind = entry.name.rpartition(".")
        content = entry.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[entry.name] = File(f"{stem}.{digest}.{kind}", _TYPES[kind], content)
    return found


_FILES = _read_files()
_BY_NAME = {file.name: file for file in _FILES.values()}

templates.globals |= {
    "asset": lambda name: f"/static/{_FILES[name].name}",
    "places": PLACES,
    "show": formatting,
}
TEMPLATES = TemplateConfig(instance=JinjaTemplateEngine.from_environment(templates))


class Headers(ASGIMiddleware):
    """Puts the headers that every answer of the console has on it."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request; what compresses it chooses by what is accepted."""
        note_choice(scope, "Accept-Encoding")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await next_app(scope, receive, send_with_headers)


AS_IT_IS = "is_as_it_is"  # on a route whose answer is not to be compressed here
# The fastest: pages are compressed on the loop.
_GZIP = CompressionConfig(backend="gzip", gzip_compress_level=1, exclude_opt_key=AS_IT_IS)
# Compressing a page beside its form's token is safe: no other site's request has the cookie.
MIDDLEWARE: list[Middleware] = [
    Headers(),
    DefineMiddleware(CompressionMiddleware, config=_GZIP),
]


def page(
    name: str, visitor: Visitor | None = None, status: int = HTTPStatus.OK, **context: Any
) -> Template:
    """A page of the console; ``visitor`` is None before somebody has signed in."""
    return Template(f"{name}.html", context=context | {"visitor": visitor}, status_code=status)


def go(address: str) -> Redirect:
    """Lead on after a form was taken."""
    return Redirect(address, status_code=303)


@get("/static/{name:str}", opt=PUBLIC)
async def get_file(name: FromPath[str]) -> Response[bytes]:
    """A style sheet or a script; its name changes with it, so it may be kept for good."""
    file = _BY_NAME.get(name)
    if file is None:
        return Response(b"", status_code=HTTPStatus.NOT_FOUND)
    headers = {"cache-control": _FOR_GOOD}
    return Response(file.content, media_type=file.media_type, headers=headers)


# -- problems


def errors_of(said: Mapping[str, Any]) -> list[str]:
    """What a problem of the API says, in sentences."""
    detail = said.get("detail", "")
    found = [detail] if isinstance(detail, str) else [formatting.error(one) for one in detail]
    return [formatting.text(one) for one in found]


def problem(request: AnyRequest, status: int, said: Mapping[str, Any]) -> Template:
    """A problem of the API as a page."""
    visitor = request.state.get("visitor")
    title = HTTPStatus(status).phrase
    return page("problem", visitor, status, title=title, errors=errors_of(said))


def on_no_route(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """An address that is none: as a page for who reads pages."""
    response: Response[Any] = _API_HANDLERS[HTTPException](request, error)
    if path_of(request).startswith(API):
        return response
    if not any("text/html" in line for line in chosen_by(request, "Accept")):
        return response
    shown = problem(request, error.status_code, {"detail": "There is no such page."})
    # No middleware of the console's saw the request.
    shown.headers.update(_HEADERS | {"cache-control": "no-store"})
    return shown


def _on_signed_out(request: AnyRequest, _: Exception) -> Response[Any] | Template:
    """Sign in first, and come back to what can be read again.

    A link of another site brings no SameSite=Strict cookie: this site's page asks once more.
    """
    has_cookie = cookies.COOKIE in request.cookies
    if request.method in _READING and not has_cookie and cookies.is_from_elsewhere(request):
        return page("go_on", title="One moment", address=cookies.local(_again(request)))
    response = go(cookies.sign_in_address(_again(request)))
    if has_cookie:
        response.set_cookie(cookies.end(request))
    return response


def _again(request: AnyRequest) -> str:
    """Where to ask the same once more; the first page in place of what was no question."""
    if request.method not in _READING:
        return "/"
    if path_of(request).startswith("/audit/"):  # a file, which nobody is to be led to
        return "/audit"
    query = request.scope["query_string"].decode(errors="replace")
    path = quote(path_of(request), safe="/:")
    return f"{path}?{query}" if query else path


def _on_cross_site(request: AnyRequest, _: Exception) -> Response[Any]:
    text = "This form did not come from a page of your session. Go back, reload it, and try again."
    return problem(request, HTTPStatus.FORBIDDEN, {"detail": text})


def _on_refused(request: AnyRequest, refused: Refused) -> Response[Any]:
    shown = problem(request, refused.answer.status, refused.answer.data)
    return _as_patient(shown, refused.answer.headers)


def _as_patient(shown: Template, headers: Mapping[str, Any]) -> Template:
    """With what the API says of when to try again."""
    if "retry-after" in headers:
        shown.headers["retry-after"] = headers["retry-after"]
    return shown


def _as_page(handler: Callable[..., Any]) -> Callable[..., Response[Any]]:
    """What the API would answer, as a page."""

    def answer(request: AnyRequest, error: Exception) -> Response[Any]:
        response = handler(request, error)
        shown = problem(request, response.status_code, msgspec.json.decode(response.content))
        return _as_patient(shown, response.headers)

    return answer


_API_HANDLERS: Any = problems.HANDLERS
HANDLERS: ExceptionHandlersMap = {
    **{kind: _as_page(handler) for kind, handler in _API_HANDLERS.items()},
    # By its own name too, or the application's handler, which is for no route, is nearer.
    NotFoundException: _as_page(_API_HANDLERS[HTTPException]),
    DomainError: _as_page(_API_HANDLERS[DomainError]),
    Refused: _on_refused,
    SignedOut: _on_signed_out,
    CrossSite: _on_cross_site,
}
