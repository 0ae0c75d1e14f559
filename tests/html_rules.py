"""What is wrong with a page's HTML, as the Nu checker would say it, without Java.

Errors of parsing are the parser's. The other rules are those that the console's elements can
break: where an element may stand, which attributes it takes, and what these refer to. An element
or an attribute that is not in the tables is a fault: put it there as the HTML standard has it.
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
# What each element takes beside those; data-* is taken everywhere.
_ATTRIBUTES = {
    name: frozenset(own.split())
    for name, own in {
        "html": "", "head": "", "body": "", "title": "", "main": "", "header": "", "nav": "",
        "section": "", "div": "", "span": "", "p": "", "pre": "", "code": "", "b": "", "bdi": "",
        "h1": "", "h2": "", "h3": "", "h4": "", "ul": "", "ol": "", "li": "",
        "dl": "", "dt": "", "dd": "",
        "br": "", "ins": "", "del": "", "details": "", "summary": "", "legend": "", "caption": "",
        "table": "", "thead": "", "tbody": "", "tr": "", "td": "colspan", "th": "scope",
        "datalist": "", "dialog": "", "template": "", "fieldset": "disabled", "label": "for",
        "time": "datetime", "output": "for", "progress": "max value", "a": "href rel",
        "meta": "charset name content http-equiv", "link": "rel href", "script": "src defer type",
        "form": "method action", "button": "type", "select": "name required disabled",
        "option": "value selected",
        "textarea": "name rows required disabled maxlength placeholder spellcheck",
        "input": "name type value required disabled autocomplete spellcheck list checked size"
        " inputmode placeholder maxlength min max step",
        "svg": "viewBox width height", "rect": "x y width height",
    }.items()
}  # fmt: skip
_LINE = frozenset(("text", "search", "tel", "url", "email", "password"))
_RANGE = frozenset(("number", "range", "date", "datetime-local"))
# Attributes of inputs of some types alone.
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
    """The elements of a page, those above each, and those that have an id."""

    def __init__(self, root: Any) -> None:
        self.all = [one for one in root.iter() if isinstance(one.tag, str)]
        self._parents = {inner: one for one in self.all for inner in one}

    def above(self, one: Any) -> Iterator[Any]:
        """The elements that an element is in, from the nearest on."""
        while (one := self._parents.get(one)) is not None:
            yield one

    @cached_property
    def ids(self) -> dict[str, list[Any]]:
        """The elements with each id."""
        found: dict[str, list[Any]] = {}
        for one in self.all:
            if "id" in one.attrib:
                found.setdefault(one.attrib["id"], []).append(one)
        return found


def faults(page: str, *, is_part: bool = False) -> list[str]:
    """All that is wrong with a page, or with a part of one."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parseFragment(page) if is_part else parser.parse(page)
    found = [f"line {line}: {code}" for (line, _), code, _ in parser.errors]
    document = _Document(root)
    found += [f"id {name} is there twice" for name, all_of in document.ids.items() if all_of[1:]]
    if not is_part:
        found += _of_document(document)
    return found + [
        f"{one.tag} {one.attrib.get('id', '')}: {fault}"
        for one in document.all
        if one.tag != "DOCUMENT_FRAGMENT"
        for rule in _RULES
        for fault in rule(one, document)
    ]


def _of_document(document: _Document) -> Iterator[str]:
    count = Counter(one.tag for one in document.all)
    if not document.all[0].attrib.get("lang"):
        yield "html has no lang"
    if not any(one.tag == "title" and (one.text or "").strip() for one in document.all):
        yield "no title"
    if count["main"] > 1:
        yield "two main elements"
    if sum("autofocus" in one.attrib for one in document.all) > 1:
        yield "two controls have the focus"


def _attributes(one: Any, _: _Document) -> Iterator[str]:
    tag = _name(one)
    if tag not in _ATTRIBUTES:
        yield "unknown element"
        return
    for name, value in one.attrib.items():
        known = name in _EVERYWHERE or name in _ATTRIBUTES[tag] or name.startswith("data-")
        if not known:
            yield f"takes no {name}"
        if name == "id" and (not value or re.search(r"\s", value)):
            yield f"{value!r} is no id"
        if name == "href" and re.search(r'[\s<>"\\^`{|}]', value):
            yield f"{value!r} is no address"
    if "aria-label" in one.attrib and tag in _NAMELESS and "role" not in one.attrib:
        yield "aria-label without a role"


def _name(one: Any) -> str:
    """The name of an element, of a drawing too."""
    return str(one.tag).rpartition("}")[2]


def _input(one: Any, _: _Document) -> Iterator[str]:
    if one.tag != "input":
        return
    kind, text = one.attrib.get("type", "text"), one.attrib.get("value", "")
    for name, kinds in _OF_TYPES.items():
        if name in one.attrib and kind not in kinds:
            yield f"{name} on type {kind}"
    if text and kind in _VALUES and not _VALUES[kind].fullmatch(text):
        yield f"{text!r} is no {kind}"


def _time(one: Any, _: _Document) -> Iterator[str]:
    if one.tag == "time" and not _MOMENT.fullmatch(one.attrib.get("datetime", "")):
        yield f"{one.attrib.get('datetime')!r} is no moment"


def _references(one: Any, document: _Document) -> Iterator[str]:
    for name in _REFERENCES:
        for target in one.attrib.get(name, "").split():
            found = document.ids.get(target)
            if not found:
                yield f"{name} refers to {target!r}, which is not there"
            elif name == "for" and one.tag == "label" and found[0].tag not in _LABELABLE:
                yield f"a label for {found[0].tag}"
    if one.tag == "label" and sum(inner.tag in _LABELABLE for inner in one.iter()) > 1:
        yield "a label of two controls"


def _nesting(one: Any, document: _Document) -> Iterator[str]:
    for outer in document.above(one):
        if outer.tag in ("a", "button") and one.tag in _INTERACTIVE:
            yield f"inside {outer.tag}"
        if outer.tag in _PHRASING and one.tag in _BLOCKS:
            yield f"inside {outer.tag}"
        if outer.tag == one.tag in ("form", "label"):
            yield "inside itself"
    if one.tag == "section" and not any(inner.tag in _HEADINGS for inner in one.iter()):
        yield "no heading"


def _place(one: Any, document: _Document) -> Iterator[str]:
    parent = next(document.above(one), None)
    if parent is None:
        return
    tag, above = _name(one), _name(parent)
    if tag in _CHILDREN and above not in _CHILDREN[tag]:
        yield f"a child of {above}"
    if above in _ONLY and tag not in _ONLY[above]:
        yield f"a child of {above}"
    if tag in _FIRST and parent[0] is not one:
        yield "not the first child"


def _columns(one: Any, _: _Document) -> Iterator[str]:
    widths = {
        sum(int(cell.attrib.get("colspan", 1)) for cell in row)
        for row in (one.iter("tr") if one.tag == "table" else ())
    }
    if len(widths) > 1:
        yield f"rows of {sorted(widths)} cells"


_RULES: tuple[Callable[[Any, _Document], Iterator[str]], ...] = (
    _attributes, _input, _time, _references, _nesting, _place, _columns,
)  # fmt: skip
