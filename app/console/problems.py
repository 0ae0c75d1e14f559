"""Errors as pages: what the API answers with a problem, and what only the console refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotFoundException
from litestar.response import Template

from app.api import exception_handlers
from app.api.routing import API, path_of
from app.api.vary import varying_lines
from app.console import cookies, formatting, headers, texts
from app.console.api_client import ApiProblem
from app.console.cookies import CrossSite, SignedOut
from app.console.rendering import page, redirect
from events.errors import DomainError

if TYPE_CHECKING:
    from litestar.types import ExceptionHandlersMap

    AnyRequest = Request[Any, Any, Any]

_SAFE_METHODS = ("GET", "HEAD")


def sentences(problem: Mapping[str, Any]) -> list[str]:
    """The errors of an API problem, each as a sentence."""
    detail = problem.get("detail", "")
    errors = [detail] if isinstance(detail, str) else [formatting.error(rule) for rule in detail]
    return [formatting.text(error) for error in errors]


def problem_page(request: AnyRequest, status: int, problem: Mapping[str, Any]) -> Template:
    """An API problem as a page."""
    visitor = request.state.get("visitor")
    title = texts.Problem.titles.get(status) or HTTPStatus(status).phrase.capitalize()
    return page("problem", visitor, status, title=title, errors=sentences(problem))


def on_no_route(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """The answer to an address without a route: a page for browsers, else the API's problem."""
    response: Response[Any] = _API_HANDLERS[HTTPException](request, error)
    if path_of(request).startswith(API):
        return response
    if not any("text/html" in line for line in varying_lines(request, "Accept")):
        return response
    shown = problem_page(request, error.status_code, {"detail": texts.Problem.no_page})
    # The console's middleware has not seen this request.
    shown.headers.update(headers.SECURITY | {"cache-control": headers.NO_STORE})
    return shown


def _on_signed_out(request: AnyRequest, _: Exception) -> Response[Any] | Template:
    """Ask to sign in, then lead back to the page.

    A link on another site brings no SameSite=Strict cookie. So a page of this site repeats the
    request, with the cookie.
    """
    has_cookie = cookies.COOKIE in request.cookies
    back = _address_after_sign_in(request)
    if request.method in _SAFE_METHODS and not has_cookie and cookies.is_from_elsewhere(request):
        return page("continue", title=texts.SignIn.one_moment, address=cookies.local(back))
    response = redirect(cookies.sign_in_address(back))
    if has_cookie:
        response.set_cookie(cookies.end(request))
    return response


def _address_after_sign_in(request: AnyRequest) -> str:
    """The address of the request, where it can be repeated; else the first page."""
    if request.method not in _SAFE_METHODS:
        return "/"
    if path_of(request).startswith("/audit/"):  # a file: lead to the page that offers it
        return "/audit"
    query = request.scope["query_string"].decode(errors="replace")
    path = quote(path_of(request), safe="/:")
    return f"{path}?{query}" if query else path


def _on_cross_site(request: AnyRequest, _: Exception) -> Response[Any]:
    return problem_page(request, HTTPStatus.FORBIDDEN, {"detail": texts.Problem.cross_site})


def _on_api_problem(request: AnyRequest, error: ApiProblem) -> Response[Any]:
    shown = problem_page(request, error.answer.status, error.answer.data)
    return _with_retry_after(shown, error.answer.headers)


def _with_retry_after(shown: Template, api_headers: Mapping[str, Any]) -> Template:
    """The page, with the API's ``Retry-After`` where it has one."""
    if "retry-after" in api_headers:
        shown.headers["retry-after"] = api_headers["retry-after"]
    return shown


def _as_page(handler: Callable[..., Any]) -> Callable[..., Response[Any]]:
    """A handler that shows as a page what the API's handler answers."""

    def answer(request: AnyRequest, error: Exception) -> Response[Any]:
        response = handler(request, error)
        problem = msgspec.json.decode(response.content)
        shown = problem_page(request, response.status_code, problem)
        return _with_retry_after(shown, response.headers)

    return answer


_API_HANDLERS: Any = exception_handlers.HANDLERS
HANDLERS: ExceptionHandlersMap = {
    **{kind: _as_page(handler) for kind, handler in _API_HANDLERS.items()},
    # By its own name too: else the application's own handler, for missing routes, is nearer.
    NotFoundException: _as_page(_API_HANDLERS[HTTPException]),
    DomainError: _as_page(_API_HANDLERS[DomainError]),
    ApiProblem: _on_api_problem,
    SignedOut: _on_signed_out,
    CrossSite: _on_cross_site,
}
