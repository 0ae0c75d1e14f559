"""The request headers that chose an answer: noted where they are read, named in ``Vary``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litestar import Request

_NOTED = "varies_by"  # in a request's scope


def varying_lines(request: Request[Any, Any, Any], name: str) -> list[str]:
    """The lines of a header that chooses between answers to one address."""
    note_varying(request.scope, name)
    lines: list[str] = request.headers.getall(name.lower(), [])
    return lines


def note_varying(scope: Any, name: str) -> None:
    """Note a header that something else reads, and that the answer depends on."""
    scope.setdefault(_NOTED, {})[name] = None


def noted(scope: Any) -> tuple[str, ...]:
    """The names that were noted, in their order."""
    return tuple(scope.get(_NOTED, ()))
