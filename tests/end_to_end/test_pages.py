"""The pages beside the code: their links lead somewhere, and what they name exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.config import Config
from tests.databases import SERVER
from tests.end_to_end import command_tree

ROOT = Path(__file__).parents[2]
LISTED = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True)
PAGES = [name for name in LISTED.split() if name != "CHANGELOG.md"]
FILES = frozenset(subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split())
_FOLDERS = ("app/", "events/", "projections/", "tests/", ".ci/", ".github/")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text: str, page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target = urlsplit(link)
        if target.scheme:
            continue
        path = (page.parent / target.path).resolve() if target.path else page
        if not path.exists() or (target.fragment and target.fragment not in anchors(path)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", PAGES)
def test_each_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    assert broken_links(page.read_text("utf-8"), page) == []


def test_control_a_broken_link_is_found() -> None:
    page = ROOT / "README.md"
    text = "[a](app/nowhere.md) [b](README.md#nowhere) [c](#speed) [d](https://example.com/x)"
    assert broken_links(text, page) == ["app/nowhere.md", "README.md#nowhere"]


@pytest.mark.parametrize("name", PAGES)
def test_each_file_that_is_named_exists(name: str) -> None:
    named = re.findall(r"`([\w./-]+)`", (ROOT / name).read_text("utf-8"))
    beside = f"{Path(name).parent}/"
    paths = {one for one in named if one.startswith(_FOLDERS) or one.endswith((".py", ".md"))}
    assert [one for one in sorted(paths) if not exists(one, beside)] == []


def exists(path: str, beside: str) -> bool:
    """Whether a file or folder exists, from the top or beside a page; a bare name, anywhere."""
    if "/" not in path:
        return any(Path(file).name == path for file in FILES)
    places = (path.rstrip("/"), (beside + path).rstrip("/"))
    return any(file == at or file.startswith(f"{at}/") for at in places for file in FILES)


@pytest.mark.parametrize("name", PAGES)
def test_each_command_that_is_named_exists(name: str) -> None:
    known = command_tree.options()
    for written in re.findall(r"`backstory ([a-z][^`|]*)`", (ROOT / name).read_text("utf-8")):
        words = shlex.split(written)
        command = next((one for one in known if one.split() == words[: len(one.split())]), None)
        assert command is not None, written
        assert {word for word in words if word.startswith("--")} <= known[command] | {"--database"}


@pytest.mark.parametrize("name", PAGES)
def test_each_module_that_is_run_exists(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    modules = re.findall(r"python -m ((?:app|tests)[\w.]*)", text)
    assert [module for module in modules if find_spec(module) is None] == []


@pytest.mark.parametrize("name", PAGES)
def test_each_variable_that_is_named_is_one_of_the_configuration(name: str) -> None:
    configured = {f"BACKSTORY_{member.upper()}" for member in Config.__struct_fields__}
    named = set(re.findall(r"BACKSTORY_[A-Z_]*[A-Z]", (ROOT / name).read_text("utf-8")))
    assert named <= configured | {SERVER}
