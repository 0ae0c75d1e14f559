"""All texts of the console stand in ``app.console.texts``, and no others are on its pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import nodes

from app import console
from app.console import fields, texts
from app.console.rendering import templates

_ROOT = Path(str(console.__file__)).parent
_TEMPLATES = sorted((_ROOT / "templates").glob("*.html"))
_TAG = re.compile(r"<!doctype[^>]*>|<[^>]*>|&\w+;|[\w-]+=\"[^\"]*\"", re.IGNORECASE)
_SAID = re.compile(r"\b(?:title|aria-label|placeholder|alt)=\"([^\"]*)\"")
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_HINTS = ("bks_", "/llm_settings")  # what a value looks like is no word


def literal_texts(source: str) -> list[str]:
    """The words of a template that do not come from elsewhere."""
    tree = templates.parse(source)
    data = "".join(
        one.data if isinstance(one, nodes.TemplateData) else "\x00" for one in _parts(tree)
    )
    found = [_TAG.sub(" ", data), *_SAID.findall(data)]
    constants = [one.value for one in tree.find_all(nodes.Const) if isinstance(one.value, str)]
    found += [one for one in constants if re.match(r"[A-Z][a-z]+( |$)", one)]
    return [one.strip() for one in found if _LETTERS.search(one) and not one.startswith(_HINTS)]


def _parts(tree: nodes.Template) -> list[nodes.Node]:
    return [part for output in tree.find_all(nodes.Output) for part in output.nodes]


@pytest.mark.parametrize("path", _TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_text_of_its_own(path: Path) -> None:
    assert literal_texts(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Save it</p>",
        '<a title="Save it"></a>',
        "{{ 'Save' if x else '' }}",
        "{% if x %}Save{% endif %}",
    ],
)
def test_control_a_text_in_a_template_is_found(source: str) -> None:
    assert literal_texts(source)


def test_every_text_is_used() -> None:
    files = [*_TEMPLATES, *_ROOT.glob("*.py"), *(_ROOT / "static").glob("*.js")]
    used = "\n".join(path.read_text("utf-8") for path in files if path.name != "texts.py")
    names = {name for page in texts.PAGES for name in vars(page) if not name.startswith("_")}
    assert len(names) > 200
    assert sorted(name for name in names if not re.search(rf"\.{name}\b", used)) == []


def test_every_setting_has_a_label_of_its_own_and_a_sentence() -> None:
    found = fields.all_fields({"name": "Front desk"})
    labels = [(one.section, one.label) for one in found]
    assert len(found) > 150
    assert sorted({one for one in labels if labels.count(one) > 1}) == []
    assert [one.path for one in found if not one.description.endswith(".")] == []


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        (x / 12.92) if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_beside_each_colour_is_right_and_enough() -> None:
    sheet = (_ROOT / "static" / "tokens.css").read_text("utf-8")
    count = 0
    schemes = re.split(r"/\* Colours, (?:light|dark) \*/", sheet)[1:]
    for scheme in [one.partition("@media")[0] for one in schemes]:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6});", scheme))
        for name, said in re.findall(r"--([\w-]+): #\w{6}; +/\* (.*?)(?:: .*)? \*/", scheme):
            for number, other in re.findall(r"([\d.]+) on ([\w-]+)", said):
                count += 1
                assert abs(_contrast(colours[name], colours[other]) - float(number)) < 0.06, name
                assert float(number) >= (3 if name == "edge" else 4.5)
    assert count > 20
