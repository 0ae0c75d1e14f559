"""Pages from templates."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig

from app.accounts.principals import Role
from app.console import formatting
from app.console.assets import asset

if TYPE_CHECKING:
    from app.console.visitor import Visitor

# The navigation: the words of each link, its address, and the role that it needs.
_PLACES = (
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
templates.globals |= {"asset": asset, "places": _PLACES, "show": formatting}
TEMPLATES = TemplateConfig(instance=JinjaTemplateEngine.from_environment(templates))


def page(
    name: str, visitor: Visitor | None = None, status: int = HTTPStatus.OK, **context: Any
) -> Template:
    """A page from the template ``name``; ``visitor`` is None where no session is needed."""
    return Template(f"{name}.html", context=context | {"visitor": visitor}, status_code=status)


def redirect(address: str) -> Redirect:
    """The way to the next page after a form was accepted (303)."""
    return Redirect(address, status_code=303)
