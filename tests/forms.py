"""What a browser makes of a page's form: its parser's text, its controls' values, its encoding.

As the HTML standard has it: the first line end of a text area is dropped, texts of one line lose
theirs, a number that is none is empty, and what is sent has CR LF at every line's end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import html5lib

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = re.compile("\r\n|\r|\n")
_FLOAT = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_ONE_LINE = ("text", "search", "password", "email", "url", "tel", "")


class Form:
    """The first form of a page that has a control of a name, as it is before anybody types."""

    def __init__(self, page: str, having: str) -> None:
        document = html5lib.parse(page, namespaceHTMLElements=False)
        controls = (_controls(form) for form in document.iter("form"))
        self._controls = next(found for found in controls if having in dict(found))

    def type(self, name: str, text: str) -> None:
        """Put a text in the place of a control's; a control of one line takes no line ends."""
        *_, (position, (_, control)) = (  # a switch has a hidden control before it
            (i, one) for i, one in enumerate(self._controls) if one[0] == name
        )
        self._controls[position] = (name, _typed(control, text))

    def encoded(self) -> bytes:
        """The body that the form is sent with."""
        sent = [(name, _sent(control)) for name, control in self._controls if _is_sent(control)]
        ends = [(_END.sub("\r\n", name), _END.sub("\r\n", value)) for name, value in sent]
        return urlencode(ends).encode()


def _controls(form: Any) -> list[tuple[str, Any]]:
    return [
        (one.attrib["name"], one)
        for one in form.iter()
        if one.tag in ("input", "textarea", "select") and "name" in one.attrib
        if "disabled" not in one.attrib
    ]


def _is_sent(control: Any) -> bool:
    if control is None or isinstance(control, str):
        return control is not None
    kind = control.attrib.get("type", "")
    return kind not in ("checkbox", "radio") or "checked" in control.attrib


def _sent(control: Any) -> str:
    if isinstance(control, str):
        return control
    if control.tag == "textarea":
        return "".join(control.itertext())
    if control.tag == "select":
        options = list(control.iter("option"))
        chosen = [one for one in options if "selected" in one.attrib] or options
        return str(chosen[-1 if len(chosen) < len(options) else 0].attrib["value"])
    return _sanitized(control, control.attrib.get("value", ""))


def _sanitized(control: Any, text: str) -> str:
    kind = control.attrib.get("type", "")
    if kind == "number":
        return text if _FLOAT.fullmatch(text) else ""
    return _END.sub("", text) if kind in _ONE_LINE else text


def _typed(control: Any, text: str) -> str | None:
    if control is None or isinstance(control, str) or control.tag == "textarea":
        return text
    if control.attrib.get("type") == "checkbox":
        return text if text == "on" else None
    if control.tag == "select":
        assert text in _values(control)
        return text
    return _sanitized(control, text)


def _values(select: Any) -> Iterator[str]:
    return (one.attrib["value"] for one in select.iter("option"))
