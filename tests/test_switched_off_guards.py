"""Controls switch guards off by name, in code that is a string: each of these names exists.

A name that does not exist any more would leave its guard on, or break the control for a reason of
its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
_OURS = re.compile(r"\b(?:from|import) (?:app|events|projections)\b")


def preambles(text: str) -> Iterator[ast.Module]:
    """The strings of a test file that are code about our modules."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not _OURS.search(node.value):
                continue
            try:
                yield ast.parse(node.value)
            except SyntaxError:  # prose
                continue


def missing_names(code: ast.Module) -> list[str]:
    """What the code reads or sets on our modules, and is not there."""
    imports = [node for node in code.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names: dict[str, object] = {}
    exec(compile(ast.Module([*imports], []), "preamble", "exec"), names)  # noqa: S102  # our own text
    missing = []
    for node in ast.walk(code):
        root, *members = dotted(node)
        value = names.get(root)
        for member in members if value is not None else ():
            if not hasattr(value, member):
                missing.append(".".join((root, *members)))
                break
            value = getattr(value, member)
    return missing


def dotted(node: ast.AST) -> list[str]:
    """The names of ``a.b.c``; a name that nothing has, for another node."""
    members: list[str] = []
    while isinstance(node, ast.Attribute):
        members.insert(0, node.attr)
        node = node.value
    return [node.id, *members] if isinstance(node, ast.Name) else [""]


FILES = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_name_that_a_control_switches_off_exists(path: Path) -> None:
    for code in preambles(path.read_text("utf-8")):
        assert missing_names(code) == []


def test_control_a_name_that_does_not_exist_is_found() -> None:
    gone = "from app.transactions.write_queue import _Waiting\n_Waiting.gone = None"
    assert missing_names(ast.parse(gone)) == ["_Waiting.gone"]
    with pytest.raises(ImportError):
        missing_names(ast.parse("from events import gone"))
