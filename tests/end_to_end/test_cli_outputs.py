"""Where a command's output goes: streams, full disks, readers that leave, encodings, Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.config import as_unicode
from tests.conftest import make_organizations
from tests.databases import copy_database, execute, query
from tests.end_to_end.processes import FILE, environment, run

pytestmark = pytest.mark.sqlite

FULL = "No space left on device"
# A pipe for stdout that nobody reads any more.
LEFT = "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)"
CLOSED = "import sys; sys.stdout = None"
# Ctrl-C in the middle of an export, and where views are compared.
INTERRUPTED = """
import signal
import app.audit.exporting, projections.views
def stop(*_):
    signal.raise_signal(signal.SIGINT)
app.audit.exporting.read_page = projections.views.fold = stop
"""
EXPORT = ("export", "--output")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    make_organizations(folder / FILE, 1)
    for name in ("one", "other"):  # two events
        of = ("--organization", "Organization 0", "--role", "viewer", "--name", name)
        assert run(folder, "keys", "create", *of).returncode == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy_database(made / FILE, tmp_path / FILE)
    return tmp_path


def exports(folder: Path) -> int:
    ((count,),) = query(
        folder / FILE, "SELECT count(*) FROM events WHERE type = 'audit_exported.v1'"
    )
    return int(count)


def said(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What a command said on stderr, beside how far it was."""
    return [line for line in ended.stderr.splitlines() if "ing: " not in line]


# -- where an export goes


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_export_to_stdout_is_all_that_stands_there(folder: Path, output: str) -> None:
    ended = run(folder, *EXPORT, output)
    assert ended.returncode == 0
    first, *_, last = ended.stdout.splitlines()
    assert first.startswith('{"leaf_index":0,')
    assert last.startswith('{"last_sequence":')
    assert ended.stderr.endswith(": up to sequence 2\n")


def test_a_file_that_stdout_leads_to_holds_the_export_alone(folder: Path) -> None:
    (folder / "taken").touch()
    ended = run(folder, *EXPORT, "/dev/stdout", stdout=str(folder / "taken"))
    assert (ended.returncode, ended.stdout) == (0, "")
    run(folder, *EXPORT, "written", "--until-sequence", "2")
    assert (folder / "taken").read_bytes() == (folder / "written").read_bytes()


def test_a_file_named_as_a_dash_is_a_file(folder: Path) -> None:
    ended = run(folder, *EXPORT, "./-")
    assert (ended.returncode, ended.stdout) == (0, "./-: up to sequence 2\n")
    assert (folder / "-").read_bytes().startswith(b'{"leaf_index":0,')


def test_a_pipe_with_a_name_gets_the_whole_export(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((folder / "pipe").read_bytes()))
    reader.start()
    ended = run(folder, *EXPORT, "pipe")
    reader.join()
    assert (ended.returncode, ended.stdout) == (0, "pipe: up to sequence 2\n")
    assert read[0].splitlines()[-1].startswith(b'{"last_sequence":2')


@pytest.mark.parametrize("output", ["-", "/dev/full"])
def test_an_export_to_a_full_disk_fails_in_one_line(folder: Path, output: str) -> None:
    ended = run(folder, *EXPORT, output, stdout="/dev/full")
    assert ended.returncode == 1
    assert said(ended) == [f"backstory: {FULL}"]


def test_a_file_that_cannot_be_written_gets_no_export_on_record(folder: Path) -> None:
    (folder / "none.ndjson").symlink_to(folder / "nowhere" / "x")
    (folder / "other.txt").write_text("my letters\n")
    before = exports(folder)
    for output, code in (("none.ndjson", 1), ("other.txt", 1), (".", 2)):
        ended = run(folder, *EXPORT, output)
        assert (ended.returncode, ended.stdout) == (code, "")
        assert len(ended.stderr.splitlines()) == 1
    assert (folder / "other.txt").read_text() == "my letters\n"
    assert exports(folder) == before


@pytest.mark.parametrize("options", [(), ("--bom", "--formulas", "raw")])
def test_a_cut_table_goes_on_with_its_mark_and_its_formulas(
    folder: Path, options: tuple[str, ...]
) -> None:
    table = ("--format", "csv", "--until-sequence", "2", *options)
    run(folder, *EXPORT, "whole", *table)
    whole = (folder / "whole").read_bytes()
    assert whole.startswith(b"\xef\xbb\xbf" if options else b"sequence,")
    for cut in (2, len(whole) - 3):
        (folder / "cut").write_bytes(whole[:cut])
        assert run(folder, *EXPORT, "cut", *table).returncode == 0
        assert (folder / "cut").read_bytes() == whole
    other = () if options else ("--bom",)
    refused = run(folder, *EXPORT, "whole", "--format", "csv", *other)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "backstory: whole holds no such export: see its byte 0\n"


# -- what a command prints


@pytest.mark.parametrize("command", ["keys list", "check", "--help", "audit key"])
def test_a_full_disk_and_a_reader_that_left_are_exit_code_1(folder: Path, command: str) -> None:
    full = run(folder, *command.split(), stdout="/dev/full")
    assert full.returncode == 1
    assert said(full) == [f"backstory: {FULL}"]
    left = run(folder, *command.split(), preamble=LEFT)
    assert left.returncode == 1
    assert said(left) == []


@pytest.mark.parametrize(
    ("stdout", "preamble", "why"),
    [
        ("/dev/full", "", [f"backstory: {FULL}"]),
        ("", LEFT, []),
        ("", CLOSED, ["backstory: stdout is closed"]),
    ],
)
def test_a_key_that_nobody_could_read_is_not_made(
    folder: Path, stdout: str, preamble: str, why: list[str]
) -> None:
    make = ("keys", "create", "--organization", "Organization 0", "--role", "admin")
    kept = "SELECT name FROM api_keys UNION ALL SELECT type FROM events"
    before = query(folder / FILE, kept)
    ended = run(folder, *make, stdout=stdout, preamble=preamble)
    assert ended.returncode == 1
    assert said(ended) == why
    assert query(folder / FILE, kept) == before
    # The control: where it is read, it is made.
    assert run(folder, *make).returncode == 0
    assert query(folder / FILE, kept) != before


def test_what_an_encoding_lacks_is_printed_as_a_number(folder: Path) -> None:
    execute(folder / FILE, "UPDATE organizations SET name = 'Größe 日本'")
    latin = "import sys; sys.stdout.reconfigure(encoding='latin-1', errors='strict')"
    (folder / "list").touch()
    listed = run(folder, "keys", "list", preamble=latin, stdout=str(folder / "list"))
    assert listed.returncode == 0
    assert "Größe \\u65e5\\u672c" in (folder / "list").read_text("latin-1")
    unguarded = (
        f"{latin}; import app.cli.terminal, contextlib;"
        " app.cli.terminal.outputs = contextlib.nullcontext"
    )
    assert run(folder, "keys", "list", preamble=unguarded).returncode != 0  # the control


def test_a_text_is_read_as_utf_8_whatever_the_locale() -> None:
    for text in ("Größe", "日本 🤖", "plain"):
        assert as_unicode(text) == text
        assert as_unicode(text.encode().decode("ascii", "surrogateescape")) == text
    assert as_unicode("\udcff") is None
    assert as_unicode("\ud800") is None


# -- Ctrl-C


@pytest.mark.parametrize(
    "command", ["export --output cut", "export --output -", "check", "rebuild"]
)
def test_an_interrupted_command_says_so_in_one_line(folder: Path, command: str) -> None:
    before = query(folder / FILE, "SELECT * FROM assistants")
    ended = run(folder, *command.split(), preamble=INTERRUPTED)
    assert ended.returncode == 130
    assert ended.stderr.strip().splitlines()[-1] == "backstory: interrupted"
    assert "Traceback" not in ended.stderr
    assert query(folder / FILE, "SELECT * FROM assistants") == before


def test_ctrl_c_while_the_command_is_still_imported_is_the_same(folder: Path) -> None:
    program = (
        "import sys, signal\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'app.cli.main': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from app.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "check"],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 130
    assert ended.stderr == "backstory: interrupted\n"
