"""What the README and the pages beside the code tell a reader to paste is run here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from msgspec import Struct

from app.config import Config
from tests.conftest import ASSISTANTS, Server
from tests.databases import SERVER, chosen, text_of
from tests.end_to_end import command_tree
from tests.end_to_end.processes import environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RUN = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/backstory demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest"
pytestmark = pytest.mark.sqlite  # what a reader meets first is a file
VERBS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
# Each answer's status, on stderr; an error status is an error of the command.
CURLRC = 'fail-with-body\nwrite-out = "%{stderr}status %{http_code}\\n"\n'


def section(heading: str) -> str:
    """The text below a heading, up to the next of its rank."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def page(name: str) -> str:
    """A page beside the code."""
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows[2:]]


# The variables, in the README and beside the command that serves.
CONFIGURATION = table(section("Configuration")) + table(
    page("app/cli/README.md").split("\n## Limits\n")[1].split("\n## ")[0]
)


# -- the commands


class Clone(Struct, frozen=True):
    """A copy of the tracked files, where the README's run command serves the demo."""

    folder: Path
    url: str
    key: str


@contextmanager
def shell(folder: Path, script: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A reader's terminal: everything that was started in it gets the Ctrl-C at the end."""
    started = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=pristine() | settings,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with started as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)


def pristine() -> dict[str, str]:
    """An environment that says nothing about this checkout and its interpreter."""
    ours = ("PYTHON", "VIRTUAL_ENV", "GIT_", "COV")
    return {name: v for name, v in environment().items() if not name.startswith(ours)}


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def copy_tracked_files(folder: Path) -> None:
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, env=pristine(), text=True)
    for name in listed.split("\0")[:-1]:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    if not (ROOT / ".git").exists():
        pytest.skip("only a git checkout knows which files a clone has")
    folder = tmp_path_factory.mktemp("clone")
    copy_tracked_files(folder)
    port = str(free_port())
    with shell(folder, RUN, BACKSTORY_PORT=port) as process:
        assert process.stdout is not None
        printed = ""
        while "/schema" not in printed:
            line = process.stdout.readline()
            assert line, f"the demo ended after it had printed: {printed}"
            printed += line
        url, key = re.search(r"http://[\w.:]+", printed), re.search(r"bks_\w+", printed)
        assert url
        assert key
        assert url[0].endswith(f":{port}")
        yield Clone(folder, url[0], key[0])


def test_the_readme_has_one_command_to_run_and_one_to_test() -> None:
    commands = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert commands.count(RUN) == 1
    assert commands.count(TEST) == 1
    assert [line for line in commands if "venv .venv" in line] == [RUN, TEST]


def test_the_run_command_serves_a_fresh_clone(clone: Clone) -> None:
    assert (clone.folder / ".venv" / "bin" / "backstory").exists()
    headers = {"authorization": f"Bearer {clone.key}"}
    assert len(httpx.get(f"{clone.url}{ASSISTANTS}", headers=headers).json()) == 3


def test_the_tour_works_as_it_is_pasted(clone: Clone, tmp_path: Path) -> None:
    scripts = tour_with(clone.url, clone.key)
    toured = tour(clone.folder, tmp_path, scripts)
    assert toured.returncode == 0, toured.stdout + toured.stderr
    assert "verified: " in toured.stdout
    assert re.search(r"sequence \d+: edited: ", toured.stderr)
    assert toured.stdout.endswith("caught\n")
    statuses = re.findall(r"^status (\d+)$", toured.stderr, re.MULTILINE)
    assert len(statuses) == "".join(scripts).count("curl ")
    assert {status[0] for status in statuses} == {"2"}


def test_control_a_tour_that_meets_an_error_fails(clone: Clone, tmp_path: Path) -> None:
    toured = tour(clone.folder, tmp_path, tour_with(clone.url, "bks_wrong"))
    assert toured.returncode == 22
    assert re.findall(r"status (\d+)", toured.stderr) == ["401"]


def tour_with(url: str, key: str) -> list[str]:
    """The tour's blocks, with an address and a key filled in."""
    first, *rest = blocks(section("A tour with curl"), "sh")
    filled_in = re.sub(r"(?m)^URL=.*$", f"URL={url}", first)
    filled_in = re.sub(r"(?m)^KEY=.*$", f"KEY={key}", filled_in)
    assert f"URL={url}\nKEY={key}\n" in filled_in
    return [filled_in, *rest]


def tour(folder: Path, curl_home: Path, scripts: list[str]) -> subprocess.CompletedProcess[str]:
    (curl_home / ".curlrc").write_text(CURLRC)
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(scripts)],
        cwd=folder,
        env=pristine() | {"CURL_HOME": str(curl_home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_python_client_works_as_it_is_pasted(clone: Clone) -> None:
    (pasted,) = blocks(section("A tour with curl"), "python")
    code = pasted.replace("bks_...", clone.key).replace("http://127.0.0.1:8000", clone.url)
    assert code != pasted
    subprocess.run([sys.executable, "-c", code], check=True)
    headers = {"authorization": f"Bearer {clone.key}"}
    one = httpx.get(f"{clone.url}{ASSISTANTS}/1", headers=headers).json()
    assert one["llm_settings"]["temperature"] == 0.3


def test_the_commands_that_serve_work_as_they_are_pasted(clone: Clone) -> None:
    script = "set -e\n" + "\n".join(blocks(section("Serve it"), "sh"))
    with shell(clone.folder, script, BACKSTORY_PORT=str(free_port())) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        key = (clone.folder / "key.txt").read_text().strip()
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.get(f"{url}{ASSISTANTS}", headers=headers).json() == []
    old = (clone.folder / "backstory.db.key").read_bytes()
    (rotate,) = blocks(page("app/vault/README.md"), "sh")
    subprocess.run(["bash", "-e", "-c", rotate], cwd=clone.folder, env=pristine(), check=True)
    assert (clone.folder / "old.key").read_bytes() == old
    assert (clone.folder / "backstory.db.key").read_bytes() != old
    subprocess.run([".venv/bin/backstory", "check"], cwd=clone.folder, env=pristine(), check=True)


def test_the_commands_for_postgresql_work_as_they_are_pasted(clone: Clone, tmp_path: Path) -> None:
    with chosen("postgresql"):
        given = text_of(tmp_path / "empty", is_empty=True)
    script = "set -e\n" + "\n".join(blocks(section("PostgreSQL"), "sh"))
    pasted = script.replace("postgresql+asyncpg://USER:PASSWORD@HOST/NAME", f"'{given}'")
    assert pasted != script
    with shell(clone.folder, pasted, BACKSTORY_PORT=str(free_port())) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(2)]
        assert said[0].endswith("is up to date")
        key = (clone.folder / "pg-key.txt").read_text().strip()
        headers = {"authorization": f"Bearer {key}"}
        created = httpx.post(f"{said[1]}{ASSISTANTS}", headers=headers, json={"name": "One"})
        assert created.status_code == 201


# -- the tables


def test_the_endpoints_are_those_that_are_served(server: Server) -> None:
    with server.client(None) as client:
        paths = client.get("/schema/openapi.json").json()["paths"]
    served = {
        (verb.upper(), path)
        for path, operations in paths.items()
        for verb in operations
        if verb.upper() in VERBS
    }
    assert {(row[0], row[1].strip("`")) for row in table(page("app/api/ENDPOINTS.md"))} == served


def test_the_variables_are_those_of_the_configuration() -> None:
    configured = {f"BACKSTORY_{name.upper()}" for name in Config.__struct_fields__}
    assert {row[0].strip("`") for row in CONFIGURATION} == configured
    named = set(re.findall(r"BACKSTORY_[A-Z_]*[A-Z]", README + page("app/cli/README.md")))
    assert named - {SERVER} == configured


_DEFAULTS = [name for name in Config.__struct_fields__ if getattr(Config(), name) is not None]


@pytest.mark.parametrize("name", _DEFAULTS)
def test_the_defaults_are_those_of_the_configuration(name: str) -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in CONFIGURATION}
    assert rows[f"BACKSTORY_{name.upper()}"] == str(getattr(Config(), name))


def test_the_commands_and_their_options_are_those_of_the_command_line() -> None:
    said = {}
    for row in table(section("Serve it")):
        words = re.findall(r"[\w-]+", row[0])
        name = " ".join(word for word in words[1:3] if word.islower() and word[0] != "-")
        said[name] = set(re.findall(r"--[\w-]+", row[0]))
    served = command_tree.options()
    assert said.keys() == served.keys()
    for name, options in said.items():
        # Every command but the demo takes --database; saying so once is enough.
        assert options <= served[name] <= options | {"--database"}
