"""What the command proves of exports, and what it cannot prove."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.end_to_end.audit.commands import (
    SMALL,
    Answers,
    Filled,
    export,
    key_of,
    succeeded,
)
from tests.end_to_end.processes import Running, run
from tests.end_to_end.test_cli import said


@pytest.mark.parametrize("command", ["whole", "whole --key keys", "first second --key keys"])
def test_an_export_and_its_parts_are_proven(parts: Path, filled: Filled, command: str) -> None:
    ended = succeeded(run(parts, "audit", "verify", *command.split()))
    assert ended.stderr == ""
    assert re.fullmatch(
        rf"verified: {filled.last} events of backstory/organizations/1/\w+, root \S+, .+\n",
        ended.stdout,
    )
    signed_by = json.loads((parts / "keys").read_bytes())["keys"][0]["key_id"]
    proof = f"signed by {signed_by}\n" if "--key" in command else "nobody's signature was checked\n"
    assert ended.stdout.endswith(proof)


UNPROVEN = {
    "tampered --key keys": "edited",
    "cut --key keys": "truncated",
    "second --key keys": "missing",
    "second first --key keys": "reordered",
    # The server's log had grown when it signed this one.
    "whole --key keys --checkpoint note": "truncated: earlier there were ",
}


@pytest.mark.parametrize("command", UNPROVEN)
def test_what_cannot_be_proven_is_exit_code_1_and_says_where(parts: Path, command: str) -> None:
    ended = run(parts, "audit", "verify", *command.split())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.match(r"backstory: sequence \d+: ", said(ended))
    assert UNPROVEN[command] in said(ended)


@pytest.mark.parametrize("flags", ["--key no-keys", "--key csv", "--checkpoint no-note"])
def test_a_key_file_or_checkpoint_that_is_none_is_exit_code_2(parts: Path, flags: str) -> None:
    ended = run(parts, "audit", "verify", "whole", *flags.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said(ended)


@pytest.mark.usefixtures("database")
def test_the_keys_that_the_command_prints_prove_as_well_as_the_servers(
    answers: Answers, tmp_path: Path
) -> None:
    printed = key_of(tmp_path)
    assert json.loads(printed) == json.loads(answers.keys)
    (tmp_path / "keys").write_bytes(printed)
    succeeded(export(tmp_path, tmp_path / "export"))
    closing = json.loads((tmp_path / "export").read_bytes().splitlines()[-1])
    (tmp_path / "note").write_text(closing["checkpoint"], "utf-8")
    proven = ("audit", "verify", "export", "--key", "keys", "--checkpoint", "note")
    assert "verified" in succeeded(run(tmp_path, *proven)).stdout


def test_keys_of_another_log_prove_nothing(parts: Path, server: Running) -> None:
    ended = succeeded(run(server.database.parent, "audit", "key", "--organization", SMALL))
    (parts / "other-keys").write_text(ended.stdout)
    refusal = run(parts, "audit", "verify", "whole", "--key", "other-keys")
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert "foreign" in said(refusal)
