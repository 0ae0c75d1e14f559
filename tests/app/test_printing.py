"""What commands print: text from elsewhere forges no line, and no name is taken that could."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import escaping, naming, terminal
from app.accounts import find_organization
from events.errors import InvalidSettings
from tests.conftest import make_organizations
from tests.databases import execute, query, reading_engine
from tests.end_to_end.processes import FILE, run

_APP = Path(terminal.__file__).parent
_FORGED = "spare\nbks_00000000\tadmin\tactive\tOrganization 0\tmallory\x1b[2K\u2028\u202ex"
# Print by themselves: the one because it shares nothing with the server, the other before it is
# imported.
_ALONE = frozenset(("terminal.py", "audit_verify.py", "__main__.py"))
_WITHOUT_THE_GUARD = "import app.terminal; app.terminal.printable = str"


@given(st.text())
def test_a_printed_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = escaping.printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert escaping.printable(shown) == shown


def test_commands_print_in_one_place() -> None:
    found = [
        (path.name, ast.unparse(node.func))
        for path in _APP.rglob("*.py")
        if path.name not in _ALONE
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in ("print", "click.echo", "click.confirm", "click.secho", "console.print",
            "sys.stdout.write", "sys.stderr.write")
    ]  # fmt: skip
    assert found == []


def test_a_name_of_an_earlier_release_forges_no_line_of_the_list_of_keys(tmp_path: Path) -> None:
    make_organizations(tmp_path / FILE, 1)
    execute(tmp_path / FILE, "UPDATE api_keys SET name = :name WHERE key_id = 2", name=_FORGED)
    execute(tmp_path / FILE, "UPDATE organizations SET name = :name", name="Acme\nbks_1")
    listed = run(tmp_path, "keys", "list").stdout
    assert len(listed.splitlines()) == 4
    assert all(line.count("\t") == 4 for line in listed.splitlines())
    assert "\x1b" not in listed
    # The control: without the guard there are lines that no key has.
    forged = run(tmp_path, "keys", "list", preamble=_WITHOUT_THE_GUARD).stdout
    assert len(forged.splitlines()) > 4


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--organization", "a\nb"),
        ("--organization", "  "),
        ("--organization", "x" * 101),
        ("--name", "a\x1b[2Jb"),
        ("--name", "\u200b"),
        ("--email", "nobody"),
        ("--email", "a@example.com\nx"),
    ],
)
def test_a_key_is_made_for_no_name_and_no_address_that_is_none(
    tmp_path: Path, option: str, value: str
) -> None:
    given = {"--organization": "Acme", "--role": "admin"} | {option: value}
    made = run(tmp_path, "keys", "create", *(one for pair in given.items() for one in pair))
    assert made.returncode == 2
    assert made.stderr.startswith(f"backstory: {option}: Input should")
    assert len(made.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_names_are_trimmed_at_the_command_line_too(tmp_path: Path) -> None:
    create = ("keys", "create", "--role", "admin", "--organization")
    for name in (" Acme", "Acme "):
        assert run(tmp_path, *create, name, "--name", "Ada ").returncode == 0
    names = "SELECT organizations.name, api_keys.name FROM organizations, api_keys"
    assert query(tmp_path / FILE, names) == [("Acme", "Ada")] * 2
    engine = reading_engine(tmp_path / FILE)
    with engine.connect() as connection:
        assert find_organization(connection, " Acme ") == 1
    engine.dispose()


@given(st.text(max_size=120))
def test_a_clean_name_is_clean_and_stays_so(text: str) -> None:
    try:
        name = naming.clean_name(text)
    except InvalidSettings:
        return
    assert name == name.strip()
    assert 0 < len(name) <= 100
    assert len(name.splitlines()) == 1
    assert naming.clean_name(name) == name
    assert naming.clean_name(f" {name}\n") == name


def test_a_path_draws_nothing_on_the_terminal_of_the_log() -> None:
    program = """
import structlog
from app.config import Config
from app.log import configure
configure(Config(log_format="console"))
structlog.get_logger("test").info("request", path="/a\\x1b[2J\\u2028b")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "/a\\x1b[2J\\u2028b" in ran.stderr
