"""What commands print: text from elsewhere forges no line, and no name is taken that could."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import escaping, naming
from app.accounts.organizations import find_organization
from app.cli import terminal
from events.errors import InvalidSettings
from tests.conftest import make_organizations
from tests.databases import execute, query, reading_engine
from tests.end_to_end.processes import FILE, run

_APP = Path(terminal.__file__).parents[1]
_FORGED = "spare\nbks_00000000\tadmin\tactive\tOrganization 0\tmallory\x1b[2K\u2028\u202ex"
# Print by themselves: the one because it shares nothing with the server, the other before it is
# imported.
_ALONE = frozenset(("terminal.py", "verify.py", "__main__.py"))
_WITHOUT_THE_GUARD = "import app.cli.terminal; app.cli.terminal.printable = str"


# Where writing needs a character that is not seen, as between the parts of an emoji.
_NEEDED = frozenset("\u200c\u200d\ufe0f\u3000")
_TEXTS = st.text() | st.text(
    st.sampled_from([*_NEEDED, *"a1\u20e3🤖❤\u2800می\u0600क山\u3164\u2060\n"])
)


@given(_TEXTS)
def test_a_printed_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = escaping.printable(text)
    assert [one for one in shown if one not in _NEEDED and not one.isprintable()] == []
    assert not escaping.UNSEEN - _NEEDED & frozenset(shown)
    assert len(shown.splitlines()) <= 1
    assert escaping.printable(shown) == shown
    assert escaping.unseen(shown) == []
    assert (shown == text) == (escaping.unseen(text) == [])


@given(_TEXTS)
def test_lines_stay_lines_and_nothing_else_is_unseen_in_them(text: str) -> None:
    shown = escaping.printable_lines(text)
    assert shown.count("\n") == text.count("\n")
    assert len(escaping.unseen(re.sub(r"\r?\n|\s", "", shown))) == 0
    assert escaping.printable_lines(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Größe", "한글", "👩\u200d🚀", "🏃🏽\u200d♀\ufe0f", "❤\ufe0f", "1\ufe0f\u20e3",
        "می\u200cخواهم",  # noqa: RUF001  # Persian
        "क्\u200dष", "山田\u3000太郎", "שלום", "عالم", "e\u0301",
    ],
)  # fmt: skip
def test_what_writing_needs_is_left(text: str) -> None:
    assert escaping.printable(text) == text
    assert naming.clean_name(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200db", r"a\u200db"), ("🤖\u200d", "🤖\\u200d"), ("a\ufe0f", r"a\ufe0f"),
        ("\u3164", r"\u3164"), ("\u2800🤖", "\\u2800🤖"), ("a\u3000b", r"a\u3000b"),
        ("a\u00a0b", r"a\xa0b"), ("\u202egnp.exe", r"\u202egnp.exe"), ("\ufeffa", r"\ufeffa"),
        ("a\u034fb", r"a\u034fb"), ("a\U000e0041", r"a\U000e0041"), ("a\udcff", r"a\udcff"),
        ("a\tb", r"a\tb"), ("a\r\nb", r"a\r\nb"), ("\x85", r"\x85"),
    ],
)  # fmt: skip
def test_what_is_not_seen_is_shown_by_its_number(text: str, shown: str) -> None:
    assert escaping.printable(text) == shown


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


@pytest.mark.sqlite  # elsewhere the test has made the key files
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


def test_a_name_is_the_same_however_it_is_composed(tmp_path: Path) -> None:
    create = ("keys", "create", "--role", "admin", "--organization")
    for name in ("Café", "Cafe\u0301"):
        assert run(tmp_path, *create, name, "--name", name).returncode == 0
    names = "SELECT organizations.name, users.name FROM organizations, users"
    assert query(tmp_path / FILE, names) == [("Café", "Café")]


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
