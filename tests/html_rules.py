"""The faults of a page's HTML, as the Nu checker reports them, without Java.

The parser reports syntax errors. The other rules are those that the console's elements can break:
where an element may stand, which attributes it has, and which elements these refer to. An element
or attribute that is not in the tables is a fault: add it there, as the HTML standard has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import html5lib

_EVERYWHERE = frozenset(
    [
        "id",
        "class",
        "title",
        "hidden",
        "role",
        "tabindex",
        "lang",
        "aria-label",
        "aria-labelledby",
        "aria-describedby",
        "aria-current",
        "aria-hidden",
        "aria-invalid",
        "autofocus",
    ]
)
# The other attributes of each element; data-* is allowed everywhere.
_ATTRIBUTES = {
    name: frozenset(own.split())
    for name, own in {
        "html": "", "head": "", "body": "", "title": "", "main": "", "header": "", "nav": "",
        "section": "", "div": "", "span": "", "p": "", "pre": "", "code": "", "b": "", "bdi": "",
        "h1": "", "h2": "", "h3": "", "h4": "", "ul": "", "ol": "", "li": "",
        "dl": "", "dt": "", "dd": "",
        "br": "", "ins": "", "del": "", "details": "open",
        "summary": "", "legend": "", "caption": "",
        "table": "", "thead": "", "tbody": "", "tr": "", "td": "colspan", "th": "scope",
        "figure": "", "figcaption": "",
        "datalist": "", "dialog": "", "template": "", "fieldset": "disabled", "label": "for",
        "time": "datetime", "output": "for", "progress": "max value", "a": "href rel",
        "meta": "charset name content http-equiv", "link": "rel href", "script": "src defer type",
        "form": "method action", "button": "type name value form formaction formnovalidate",
        "select": "name required disabled",
        "option": "value selected",
        "textarea": "name rows required disabled maxlength placeholder spellcheck",
        "input": "name type value form required disabled autocomplete spellcheck list checked size"
        " inputmode placeholder maxlength min max step",
        "svg": "viewBox width height preserveAspectRatio", "rect": "x y width height",
    }.items()
}  # fmt: skip
_LINE = frozenset(("text", "search", "tel", "url", "email", "password"))
_RANGE = frozenset(("number", "range", "date", "datetime-local"))
# Attributes that only inputs of some types have.
_OF_TYPES = {
    "placeholder": _LINE | {"number"}, "maxlength": _LINE, "size": _LINE,
    "list": (_LINE - {"password"}) | _RANGE, "min": _RANGE, "max": _RANGE, "step": _RANGE,
    "checked": {"checkbox", "radio"},
    "required": _LINE | {"number", "date", "datetime-local", "checkbox", "radio"},
    "autocomplete": _LINE | _RANGE | {"hidden"}, "inputmode": _LINE | {"number"},
}  # fmt: skip
_NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_DATE = r"\d{4,}-\d\d-\d\d"
_TIME = rf"{_DATE}T\d\d:\d\d(:\d\d(\.\d{{1,3}})?)?"
_VALUES = {
    "number": _NUMBER, "range": _NUMBER, "date": re.compile(_DATE),
    "datetime-local": re.compile(_TIME),
}  # fmt: skip
_MOMENT = re.compile(rf"{_TIME}Z")
_LABELABLE = frozenset(("button", "input", "output", "progress", "select", "textarea"))
_INTERACTIVE = (_LABELABLE | {"a", "details", "label"}) - {"output", "progress"}
_NAMELESS = frozenset(("span", "div", "p", "b", "bdi", "code", "pre", "ins", "del", "time"))
_BLOCKS = frozenset(
    [
        "div",
        "p",
        "ul",
        "ol",
        "dl",
        "section",
        "nav",
        "main",
        "header",
        "pre",
        "table",
        "form",
        "fieldset",
        "details",
        "dialog",
        "h1",
        "h2",
        "h3",
    ]
)
_PHRASING = frozenset(
    [
        "span",
        "label",
        "button",
        "bdi",
        "b",
        "code",
        "output",
        "legend",
        "h1",
        "h2",
        "h3",
        "p",
        "pre",
        "time",
        "option",
    ]
)
_CHILDREN = {
    "li": {"ul", "ol"}, "dt": {"dl"}, "dd": {"dl"}, "option": {"select", "datalist"},
    "tr": {"thead", "tbody"}, "td": {"tr"}, "th": {"tr"}, "legend": {"fieldset"},
    "summary": {"details"}, "caption": {"table"}, "rect": {"svg"},
}  # fmt: skip
_ONLY = {
    "ul": {"li", "template"}, "ol": {"li", "template"}, "dl": {"dt", "dd", "template"},
    "tr": {"td", "th"}, "thead": {"tr"}, "tbody": {"tr"}, "select": {"option"},
    "table": {"caption", "thead", "tbody"},
}  # fmt: skip
_FIRST = frozenset(("legend", "summary", "caption"))
_REFERENCES = ("for", "list", "aria-labelledby", "aria-describedby")
_HEADINGS = ("h1", "h2", "h3", "h4")


class _Document:
    """The elements of a page, with their ancestors and their ids."""

    def __init__(self, root: Any) -> None:
        self.all = [element for element in root.iter() if isinstance(element.tag, str)]
        self._parents = {inner: element for element in self.all for inner in element}

    def above(self, element: Any) -> Iterator[Any]:
        """The ancestors of an element, the nearest first."""
        while (element := self._parents.get(element)) is not None:
            yield element

    @cached_property
    def ids(self) -> dict[str, list[Any]]:
        """The elements by id."""
        by_id: dict[str, list[Any]] = {}
        for element in self.all:
            if "id" in element.attrib:
                by_id.setdefault(element.attrib["id"], []).append(element)
        return by_id


def faults(page: str, *, is_part: bool = False) -> list[str]:
    """All faults of a page, or of a part of one."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parseFragment(page) if is_part else parser.parse(page)
    problems = [f"line {line}: {code}" for (line, _), code, _ in parser.errors]
    document = _Document(root)
    problems += [
        f"id {name} is used twice" for name, elements in document.ids.items() if elements[1:]
    ]
    if not is_part:
        problems += _of_document(document)
    return problems + [
        f"{element.tag} {element.attrib.get('id', '')}: {fault}"
        for element in document.all
        if element.tag != "DOCUMENT_FRAGMENT"
        for rule in _RULES
        for fault in rule(element, document)
    ]


def _of_document(document: _Document) -> Iterator[str]:
    count = Counter(element.tag for element in document.all)
    if not document.all[0].attrib.get("lang"):
        yield "html has no lang"
    if not any(element.tag == "title" and (element.text or "").strip() for element in document.all):
        yield "no title"
    if count["main"] > 1:
        yield "two main elements"
    if sum("autofocus" in element.attrib for element in document.all) > 1:
        yield "two controls have the focus"


def _attributes(element: Any, _: _Document) -> Iterator[str]:
    tag = _name(element)
    if tag not in _ATTRIBUTES:
        yield "unknown element"
        return
    for name, value in element.attrib.items():
        known = name in _EVERYWHERE or name in _ATTRIBUTES[tag] or name.startswith("data-")
        if not known:
            yield f"has no attribute {name}"
        if name == "id" and (not value or re.search(r"\s", value)):
            yield f"{value!r} is not an id"
        if name == "href" and re.search(r'[\s<>"\\^`{|}]', value):
            yield f"{value!r} is not an address"
    if "aria-label" in element.attrib and tag in _NAMELESS and "role" not in element.attrib:
        yield "aria-label without a role"


def _name(element: Any) -> str:
    """The name of an element, also of an SVG element."""
    return str(element.tag).rpartition("}")[2]


def _input(element: Any, _: _Document) -> Iterator[str]:
    if element.tag != "input":
        return
    kind, text = element.attrib.get("type", "text"), element.attrib.get("value", "")
    for name, kinds in _OF_TYPES.items():
        if name in element.attrib and kind not in kinds:
            yield f"{name} on type {kind}"
    if text and kind in _VALUES and not _VALUES[kind].fullmatch(text):
        yield f"{text!r} is not a {kind}"


def _time(element: Any, _: _Document) -> Iterator[str]:
    if element.tag == "time" and not _MOMENT.fullmatch(element.attrib.get("datetime", "")):
        yield f"{element.attrib.get('datetime')!r} is not a moment"


def _references(element: Any, document: _Document) -> Iterator[str]:
    for name in _REFERENCES:
        for target in element.attrib.get(name, "").split():
            targets = document.ids.get(target)
            if not targets:
                yield f"{name} refers to {target!r}, which does not exist"
            elif name == "for" and element.tag == "label" and targets[0].tag not in _LABELABLE:
                yield f"a label for {targets[0].tag}"
    if element.tag == "label" and sum(inner.tag in _LABELABLE for inner in element.iter()) > 1:
        yield "a label of two controls"


def _nesting(element: Any, document: _Document) -> Iterator[str]:
    for outer in document.above(element):
        if outer.tag in ("a", "button") and element.tag in _INTERACTIVE:
            yield f"inside {outer.tag}"
        if outer.tag in _PHRASING and element.tag in _BLOCKS:
            yield f"inside {outer.tag}"
        if outer.tag == element.tag in ("form", "label"):
            yield "inside itself"
    if element.tag == "section" and not any(inner.tag in _HEADINGS for inner in element.iter()):
        yield "no heading"


def _place(element: Any, document: _Document) -> Iterator[str]:
    parent = next(document.above(element), None)
    if parent is None:
        return
    tag, above = _name(element), _name(parent)
    if tag in _CHILDREN and above not in _CHILDREN[tag]:
        yield f"a child of {above}"
    if above in _ONLY and tag not in _ONLY[above]:
        yield f"a child of {above}"
    if tag in _FIRST and parent[0] is not element:
        yield "not the first child"


def _columns(element: Any, _: _Document) -> Iterator[str]:
    widths = {
        sum(int(cell.attrib.get("colspan", 1)) for cell in row)
        for row in (element.iter("tr") if element.tag == "table" else ())
    }
    if len(widths) > 1:
        yield f"rows of {sorted(widths)} cells"


_RULES: tuple[Callable[[Any, _Document], Iterator[str]], ...] = (
    _attributes, _input, _time, _references, _nesting, _place, _columns,
)  # fmt: skip
