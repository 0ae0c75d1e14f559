"""Pages from templates."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_eval_context
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig
from markupsafe import Markup, escape

from app.accounts.principals import Role
from app.console import differences, formatting
from app.console.assets import asset
from app.console.texts import Layout, T

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.nodes import EvalContext

    from app.console.visitor import Visitor

# The navigation: the words of each link, its address, and the role that it needs.
_PLACES = (
    (Layout.home, "/", Role.viewer),
    (Layout.assistants, "/assistants", Role.viewer),
    (Layout.change_sets, "/change-sets", Role.viewer),
    (Layout.audit_log, "/audit", Role.admin),
    (Layout.policy, "/policy", Role.viewer),
    (Layout.api_keys, "/keys", Role.admin),
)


@pass_eval_context
def fill(context: EvalContext, text: str, **values: object) -> str:
    """A text of ``app.console.texts`` with its values; those that are no markup are escaped."""
    return (escape(text) if context.autoescape else text).format(**values)


def _within(markup: str) -> Callable[[EvalContext, str], str]:
    """A function that puts a text into markup, for the values of ``fill``."""

    @pass_eval_context
    def put(context: EvalContext, text: str) -> str:
        return (Markup(markup) if context.autoescape else markup).format(text)  # noqa: S704  # ours

    return put


# The markup of values among the words of a text: names, hidden names, values, and what is typed.
_IN_TEXTS = {
    "bold": _within("<b><bdi>{}</bdi></b>"),
    "isolated": _within("<bdi>{}</bdi>"),
    "unseen": _within('<bdi class="unseen">{}</bdi>'),
    "as_text": _within('<span class="text">{}</span>'),
    "as_code": _within("<code>{}</code>"),
}

templates = Environment(
    loader=PackageLoader("app.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.globals |= {
    "asset": asset,
    "places": _PLACES,
    "show": formatting,
    "differ": differences,
    "t": T,
} | _IN_TEXTS
templates.filters |= {"fill": fill, "place_of": formatting.place}
TEMPLATES = TemplateConfig(instance=JinjaTemplateEngine.from_environment(templates))


def page(
    name: str, visitor: Visitor | None = None, status: int = HTTPStatus.OK, **context: Any
) -> Template:
    """A page from the template ``name``; ``visitor`` is None where no session is needed."""
    return Template(f"{name}.html", context=context | {"visitor": visitor}, status_code=status)


def redirect(address: str) -> Redirect:
    """The way to the next page after a form was accepted (303)."""
    return Redirect(address, status_code=303)
