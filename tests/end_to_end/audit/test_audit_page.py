"""What app/audit/README.md says is true: its commands work as pasted, its tables are complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import app.audit
from projections.exports.formats import FORMATS
from tests.conftest import ASSISTANTS, make_organizations
from tests.end_to_end.processes import FILE, client, environment, serving

ROOM = Path(str(app.audit.__file__)).parent
PAGE = (ROOM / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"(?ms)^```sh\n(.*?)^```", PAGE)


def paste(folder: Path, text: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a text in a folder that has ``.venv``; the first command that fails ends it."""
    (folder / ".venv").symlink_to(sys.prefix)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.sqlite
def test_the_commands_of_the_page_work_as_they_are_pasted(tmp_path: Path) -> None:
    (organization,) = make_organizations(tmp_path / FILE, 1)
    with serving(tmp_path / FILE) as server:
        with client(server.url, organization.admin) as admin:
            assert admin.post(ASSISTANTS, json={"name": "Desk"}).status_code == 201
        ended = paste(tmp_path, "\n".join(COMMANDS), URL=server.url, KEY=organization.admin)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("verified") == 2
    assert (tmp_path / "audit.csv").read_text().startswith("sequence,time,")
    assert (tmp_path / "audit.ocsf.ndjson").read_text().startswith('{"category_uid":')


def test_control_a_pasted_command_that_fails_is_seen(tmp_path: Path) -> None:
    text = "\n".join(COMMANDS)
    assert paste(tmp_path, text, URL="http://127.0.0.1:1", KEY="none").returncode != 0


def test_the_page_names_every_module_and_every_format() -> None:
    modules = {path.name for path in ROOM.glob("*.py")} - {"__init__.py"}
    assert modules == set(re.findall(r"\]\((\w+\.py)\)", PAGE))
    assert FORMATS.keys() <= set(re.findall(r"(?m)^\| `(\w+)` \|", PAGE))
