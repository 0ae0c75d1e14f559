"""A disk without room: nothing is reported as done that is not, and writing goes on by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.end_to_end.acknowledged import log_of, prove
from tests.end_to_end.processes import (
    WATCHFUL,
    client,
    problem_of,
    run,
    serving,
    wait_until_ready,
)

pytestmark = pytest.mark.sqlite

_DISK = 16 * 1024 * 1024
_BLOCK = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def organization(disk: Path) -> Organization:
    (made,) = make_organizations(disk / "backstory.db", 1)
    return made


@contextmanager
def filled(disk: Path, *, leaving: int = 0) -> Iterator[None]:
    """Another program takes the room of the disk, all of it or except for so many bytes."""
    filler = disk / "of another program"
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(_BLOCK))
        file.truncate(file.tell() - leaving)
    try:
        yield
    finally:
        filler.unlink()


def prompt(size: int) -> dict[str, Any]:
    return {"llm_settings": {"system_prompt": "x" * size}}


def create(editor: httpx.Client) -> None:
    assert editor.post(ASSISTANTS, json={"name": "One"}).status_code == 201


def test_on_a_full_disk_what_does_not_fit_is_not_done_and_later_it_is(
    disk: Path, organization: Organization
) -> None:
    database, one = disk / "backstory.db", f"{ASSISTANTS}/1"
    with (
        serving(database, preamble=WATCHFUL, BACKSTORY_MIN_FREE_SPACE="0") as running,
        client(running.url, organization.editor) as editor,
    ):
        create(editor)
        with filled(disk):
            answers = [editor.patch(one, json=prompt(900_000)) for _ in range(3)]
            assert {(a.status_code, problem_of(a)) for a in answers} == {(503, "disk-full")}
            assert {"retry-after"} <= answers[0].headers.keys()
            assert editor.get(one).json()["version"] == 1
            assert [event.sequence for event in log_of(database, organization.id)] == [1]
        wait_until_ready(editor)
        assert editor.patch(one, json=prompt(900_000)).json()["version"] == 2
    prove([], log_of(database, organization.id))
    assert run(disk, "check").returncode == 0


def test_a_server_that_starts_on_a_full_disk_after_a_crash_answers_reads_and_then_writes(
    disk: Path, organization: Organization
) -> None:
    database, one = disk / "backstory.db", f"{ASSISTANTS}/1"
    settings = {"BACKSTORY_MIN_FREE_SPACE": "0"}
    with serving(database, **settings) as running:
        with client(running.url, organization.editor) as editor:
            create(editor)
            assert editor.patch(one, json=prompt(500_000)).json()["version"] == 2
        running.process.kill()
        running.process.wait(20)
    with (
        filled(disk),
        serving(database, preamble=WATCHFUL, **settings) as running,
        client(running.url, organization.editor) as editor,
    ):
        refused = editor.patch(one, json=prompt(900_000))
        assert (refused.status_code, problem_of(refused)) == (503, "disk-full")
        assert editor.get(one).json()["version"] == 2
        (disk / "of another program").open("wb").close()
        wait_until_ready(editor)
        assert editor.patch(one, json=prompt(900_000)).json()["version"] == 3
    prove([], log_of(database, organization.id))


# -- before it is full


@pytest.mark.parametrize("is_guarded", [True, False])
def test_below_the_mark_nothing_is_written_and_reads_go_on(
    disk: Path, organization: Organization, *, is_guarded: bool
) -> None:
    database, one = disk / "backstory.db", f"{ASSISTANTS}/1"
    mark = "4MiB" if is_guarded else "0"
    with (
        serving(database, preamble=WATCHFUL, BACKSTORY_MIN_FREE_SPACE=mark) as running,
        client(running.url, organization.admin) as admin,
    ):
        create(admin)
        secret = {"api_keys": {"openai_api_key": "sk-live-7d1e"}}
        assert admin.patch(one, json=secret).json()["version"] == 2
        with filled(disk, leaving=2 * 1024 * 1024):
            if not is_guarded:
                assert admin.patch(one, json=prompt(10)).json()["version"] == 3
                return
            assert problem_of(wait_until_ready(admin, 503)) == "disk-full"
            refused = admin.patch(one, json=prompt(10))
            assert (refused.status_code, problem_of(refused)) == (503, "disk-full")
            assert admin.get(one).json()["version"] == 2
            erased = admin.delete(f"{one}/secrets")  # which the law may demand
            assert (erased.status_code, admin.get(one).json()["version"]) == (200, 3)
        wait_until_ready(admin)
        assert admin.patch(one, json=prompt(10)).json()["version"] == 4
