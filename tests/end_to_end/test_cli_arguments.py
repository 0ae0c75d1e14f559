"""Every command, with arguments that nobody meant: one sentence and an exit code, or it is done.

The commands and their options are those of the program, so that a new one is tried as well. They
run in this process, through ``main``; what a process alone can show is shown by a few.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from app.cli import main, options
from tests.conftest import make_organizations
from tests.end_to_end.command_tree import commands
from tests.end_to_end.processes import FILE

pytestmark = pytest.mark.sqlite

# Ends what would else serve for good: nobody can listen there.
_NOWHERE = ("--port", "99999")
_SERVERS = frozenset(("serve", "demo"))
NASTY = (
    "", " ", "-", "--", "x", "Ünïcödé 日本 🤖", "a\nb", "a\tb", "\x1b[2J\u202e", "\udcff",
    "a\udc80b",
    "0", "-1", "1", "1.5", "9" * 30, "٣", "1e9", "nan", "null", "true", "%00", "%", "'; DROP", "..",
    "/", ".", "/dev/null", "/dev/full", "/nowhere/x", "x" * 300, "x" * 5000, FILE, f"{FILE}/x",
    "Organization 0", "admin", "bks_", "/llm_settings", "~2", "api_key:1", "json", "csv", "parquet",
    "2026-01-01", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
)  # fmt: skip
URLS = (
    f"sqlite+aiosqlite:///{FILE}", f"sqlite+aiosqlite:///./x/../{FILE}", "sqlite+aiosqlite:///new.db",
    "sqlite+aiosqlite:///a b ü.db", "sqlite+aiosqlite:///%00.db", "sqlite+aiosqlite:///no/x.db",
    "sqlite+aiosqlite:///notes", "sqlite+aiosqlite:////dev/null", "sqlite+aiosqlite:///.",
    "sqlite+aiosqlite://host/x.db", "sqlite+aiosqlite:///x?y=z", "sqlite:///x", "x://", "://", ":",
    "postgresql+asyncpg://u@h:port/db", "postgresql+asyncpg://u@[::1/db", "postgresql+asyncpg://",
    "postgresql+asyncpg://u:p@127.0.0.1:1/db?x=y", "postgresql+asyncpg://127.0.0.1:99999/db",
    "sqlite+aiosqlite:///" + "x" * 300, "sqlite+aiosqlite:///\udcff", "sqlite+aiosqlite:///a\nb.db",
)  # fmt: skip
VARIABLES = (
    "HOST", "PORT", "LOG_FORMAT", "LOG_LEVEL", "MASTER_KEY", "MASTER_KEY_FILE", "AUDIT_KEY",
    "AUDIT_KEY_FILE", "CHECKPOINT_INTERVAL", "CHECKPOINT_DIR", "IDEMPOTENCY_TTL", "RECEIPT_TTL",
    "READ_STALENESS",
    "IDEMPOTENCY_KEYS", "SECRET_GRACE", "MIN_FREE_SPACE", "CACHE_SIZE", "DATABASE_URL", "NO_SUCH",
)  # fmt: skip


class Ended(Struct, frozen=True):
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """What it said about why, beside its log and how far it was."""
        return [line for line in self.err.splitlines() if "backstory: " in line]


COMMANDS = dict(commands())


def parameters(path: tuple[str, ...]) -> list[click.Parameter]:
    return COMMANDS[path].params


@st.composite
def arguments(draw: st.DrawFn, path: tuple[str, ...]) -> list[str]:
    """Some of a command's options with values that may be good, and others that it lacks."""
    given: list[str] = []
    for one in parameters(path):
        if not (one.required or draw(st.booleans())) or (one.required and draw(_SELDOM)):
            continue
        name = [] if isinstance(one, click.Argument) else [one.opts[0]]
        is_flag = isinstance(one, click.Option) and one.is_flag
        given += name if is_flag else [*name, draw(values(one))]
    if draw(_SELDOM):
        given.insert(draw(st.integers(0, len(given))), draw(st.sampled_from(NASTY)))
    given = [*path, *given]
    return [*given, *_NOWHERE] if path[0] in _SERVERS else given


_SELDOM = st.integers(0, 9).map(lambda one: one == 9)


def values(parameter: click.Parameter) -> st.SearchStrategy[str]:
    """What a parameter may be given: mostly what it takes."""
    if isinstance(parameter.type, click.Choice):
        return st.sampled_from([*map(str, parameter.type.choices)] * 5 + [*NASTY])
    if isinstance(parameter.type, click.IntRange) or parameter.type is click.INT:
        return st.integers(-1, 3).map(str) | st.sampled_from(NASTY)
    is_url = parameter.name in ("database", "source", "target")
    texts = st.text(st.characters(exclude_characters="\0"), max_size=5).filter(
        lambda text: "/" not in text
    )
    return st.sampled_from(URLS if is_url else NASTY) | texts


@contextlib.contextmanager
def inside(folder: Path, arguments: list[str], variables: dict[str, str]) -> Iterator[None]:
    """As a process that was started so, in a folder."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in [one for one in os.environ if one.startswith("BACKSTORY_")]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["backstory", *arguments])
            patch.setattr(sys, "stdin", io.StringIO("y\n"))
            yield
    finally:
        os.chdir(before)
        root.handlers = handlers
        root.setLevel(level)


def call(folder: Path, arguments: list[str], **variables: str) -> Ended:
    """Run the command in this process. Its log is left out: it may hold many lines."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    code: object = None
    variables = {"BACKSTORY_LOG_LEVEL": "error"} | variables
    with (
        inside(folder, arguments, variables),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code or 0
        out.flush()
        err.flush()
    out.seek(0)
    err.seek(0)
    assert isinstance(code, int)
    return Ended(code, out.read(), err.read())


def is_in_order(ended: Ended) -> bool:
    """Whether it was done, or one sentence says why not. Help is a page of its own."""
    if ended.code == 0 or "Usage:" in ended.out:
        return True
    return ended.code in (1, 2) and len(ended.said) == 1 and "Traceback" not in ended.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a small database, and a file that is none."""
    made = tmp_path_factory.mktemp("arguments")
    make_organizations(made / FILE, 1)
    (made / "notes").write_text("no database\n" * 100)
    return made


WISHES = st.sampled_from(sorted(COMMANDS)).flatmap(arguments)
VALUES: st.SearchStrategy[dict[str, str]] = st.just({}) | st.dictionaries(
    st.sampled_from(VARIABLES).map("BACKSTORY_{}".format),
    st.sampled_from([*NASTY, "debug", "1h", "0s", "99999999999d"]),
    max_size=1,
)


def check_one(folder: Path, change_request: list[str], variables: dict[str, str]) -> None:
    ended = call(folder, change_request, **variables)
    assert is_in_order(ended), ended


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(WISHES, VALUES)
def test_no_argument_ends_a_command_otherwise(
    folder: Path, change_request: list[str], variables: dict[str, str]
) -> None:
    check_one(folder, change_request, variables)


@pytest.mark.long
@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
@given(WISHES, VALUES)
def test_no_argument_of_thousands_ends_a_command_otherwise(
    folder: Path, change_request: list[str], variables: dict[str, str]
) -> None:
    """``pytest -m long tests/end_to_end/test_cli_arguments.py``, some minutes."""
    check_one(folder, change_request, variables)


def test_without_its_guard_a_text_that_is_not_utf_8_is_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    change_request = ["audit", "key", "--organization", "\udcff"]
    assert is_in_order(call(folder, change_request))
    monkeypatch.setattr(options, "as_unicode", str)
    with pytest.raises(UnicodeEncodeError):
        call(folder, change_request)


def test_every_text_of_every_command_is_read_by_the_guard() -> None:
    kinds = {one.type for path in COMMANDS for one in parameters(path)}
    assert options.TEXT in kinds
    assert click.STRING not in kinds
