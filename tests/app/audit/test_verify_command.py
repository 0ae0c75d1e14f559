"""The offline verifier as a command: what it prints, its exit codes and its imports."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

import app.audit
from tests.app.audit.built_exports import (
    ORIGIN,
    SIGNER,
    SMALL,
    key_file,
    key_id,
    note,
    tree_over,
)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.audit.verify", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "export.ndjson").write_bytes(b"".join(SMALL))
    (tmp_path / "cut.ndjson").write_bytes(b"".join(SMALL)[:-1])
    (tmp_path / "keys.json").write_bytes(key_file(SIGNER))
    kept = note(6, tree_over(SMALL).get_root(6))
    (tmp_path / "kept.txt").write_bytes(kept.encode())
    return tmp_path


def test_the_command_prints_what_it_proved_and_ends_with_0(folder: Path) -> None:
    root = base64.b64encode(tree_over(SMALL).get_root()).decode()
    proven = f"verified: 12 events of {ORIGIN}, root {root}, "
    keys, kept = folder / "keys.json", folder / "kept.txt"
    signed = run(folder / "export.ndjson", "--key", keys, "--checkpoint", kept)
    assert (signed.returncode, signed.stderr) == (0, "")
    assert signed.stdout == f"{proven}signed by {key_id(SIGNER).hex()}\n"
    unsigned = run(folder / "export.ndjson")
    assert unsigned.returncode == 0
    assert unsigned.stdout.startswith(f"{proven}but no keys were given")


def test_the_command_names_the_sequence_and_ends_with_1(folder: Path) -> None:
    cut = run(folder / "cut.ndjson", "--key", folder / "keys.json")
    assert (cut.returncode, cut.stdout) == (1, "")
    assert cut.stderr == "sequence 13: truncated: the line is cut off\n"


def test_a_wrong_call_ends_with_2(folder: Path) -> None:
    file, bad = folder / "export.ndjson", folder / "export.ndjson"
    for words in (
        (),
        ("--nothing",),
        (folder / "none.ndjson",),
        (folder,),
        (file, "--key", folder / "none.json"),
        (file, "--key", bad),
        (file, "--checkpoint", bad),
    ):
        ended = run(*words)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Traceback" not in ended.stderr


def imported(*words: str) -> set[str]:
    """The packages that a Python process imports."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True
    )
    modules = [line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()]
    return {module.partition(".")[0] for module in modules} | set(modules)


def test_the_verifier_imports_nothing_of_the_server() -> None:
    server = {"litestar", "sqlalchemy", "msgspec", "structlog", "events", "projections"}
    loaded = imported("-m", "app.audit.verify", "--help")
    assert not loaded & server
    # The room that it stands in, and which loads nothing itself.
    assert {module for module in loaded if module.startswith("app.")} == {"app.audit"}
    assert "import" not in Path(str(app.audit.__file__)).read_text("utf-8")
    # The control: the server's own modules do show.
    assert imported("-c", "import events.codec") & server
