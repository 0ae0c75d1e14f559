"""``backstory demo``: the first thing that anybody runs."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from tests.conftest import ASSISTANTS
from tests.end_to_end.processes import Process, client, started

pytestmark = pytest.mark.sqlite  # a demo is a file
KEY = re.compile(r"bks_[0-9A-Za-z]{36}")


class Demo(Struct, frozen=True):
    """A demo that runs, and what it said."""

    printed: str

    @property
    def url(self) -> str:
        (url,) = re.findall(r"Backstory serves .* at (http://\S+)", self.printed)
        return str(url)

    @property
    def key(self) -> str:
        (key,) = set(KEY.findall(self.printed))
        return str(key)


def introduced(process: Process) -> Demo:
    """The demo, as soon as it has printed its last line."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "/schema" in line:
            break
    return Demo("".join(lines))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    with started(folder, "demo", "--port", "0", TMPDIR=str(folder)) as process:
        yield introduced(process)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the demo's commands are curl's")
def test_the_demos_three_curl_lines_work_as_they_stand(demo: Demo) -> None:
    lines = [line for line in demo.printed.splitlines() if line.strip().startswith("curl ")]
    read, changed, history = (paste(line) for line in lines)
    assert read["id"] == 1
    assert read["llm_settings"]["temperature"] != 0.7
    assert changed == read | {
        "llm_settings": read["llm_settings"] | {"temperature": 0.7},
        "version": read["version"] + 1,
        "updated_at": changed["updated_at"],
    }
    assert len(history) == 3
    assert history[0]["change_description"] == "Trying the demo"
    assert [change["path"] for change in history[0]["changes"]] == ["/llm_settings/temperature"]


def paste(line: str) -> Any:
    return httpx.Response(200, content=subprocess.check_output(["sh", "-c", line])).json()


def test_the_demo_has_three_assistants_changed_by_several_people_for_a_reason(
    demo: Demo,
) -> None:
    with client(demo.url, demo.key) as visitor:
        assistants = visitor.get(ASSISTANTS).json()
        assert len(assistants) == 3
        for one in assistants:
            entries = visitor.get(f"{ASSISTANTS}/{one['id']}/settings-history").json()
            assert len(entries) >= 10
            assert len({entry["changed_by"]["name"] for entry in entries}) >= 3
            assert all(entry["change_description"] and entry["changes"] for entry in entries)
            moments = [entry["created_at"] for entry in entries]
            assert moments == sorted(moments, reverse=True)


def test_the_demos_page_is_served(demo: Demo) -> None:
    assert demo.printed.rstrip().endswith(f"{demo.url}/schema")
    assert httpx.get(f"{demo.url}/schema").status_code == 200


def test_the_demos_link_opens_the_console_once(demo: Demo) -> None:
    (link,) = re.findall(r"Open the console.*: (\S+)", demo.printed)
    with httpx.Client(base_url=demo.url) as browser:
        assert browser.get(link).status_code == 200
        assert "Front desk" in browser.get("/assistants").text
    assert httpx.get(link).status_code == 401


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_told_to_stop_ends_cleanly_and_removes_its_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with started(tmp_path, "demo", "--port", "0", TMPDIR=str(temporary)) as process:
        introduced(process)
        assert [path.name for path in temporary.glob("*/demo.db")] == ["demo.db"]
        process.send_signal(number)
        assert process.wait(20) == 0
    assert list(temporary.iterdir()) == []
    logged = (tmp_path / "log").read_text()
    assert "Traceback" not in logged
    assert "Aborted" not in logged
