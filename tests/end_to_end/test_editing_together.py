"""Many people edit one assistant at once: what was accepted stays, and what clashes is told.

Every client reads, thinks of a change and sends it with the version that it had read; where it is
refused, it reads again. The control sends the same changes without saying what it had read.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from msgspec import Struct, field, structs

from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving_process,
    version_of,
)
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove

CLIENTS = 24
PATH = f"{ASSISTANTS}/1"
_SEED = 20_261
_PAUSE = 0.3  # seconds, at most, between a refusal and the next reading

# How a change says which version its author had read.
Condition = Callable[[int], dict[str, Any]]


class Accepted(Struct, frozen=True, kw_only=True):
    """A change that a client was told is made."""

    version: int
    client: int
    turn: int
    shared: str | None  # the place that others write, too, if the change was there as well

    @property
    def reason(self) -> str:
        return f"client {self.client}, turn {self.turn}"

    @property
    def item(self) -> str:
        """What the change added to the shared place."""
        return f"{self.client}.{self.turn}"


class Edited(Struct, kw_only=True):
    """What came of a run: what was accepted, how often somebody was refused, and what is left."""

    organization: Organization
    accepted: list[Accepted] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    left: dict[str, Any] = field(default_factory=dict)

    def added(self, shared: str) -> list[str]:
        """What the clients were told they had added to a shared place, in order of version."""
        accepted = sorted(self.accepted, key=lambda one: one.version)
        return [one.item for one in accepted if one.shared == shared]

    def kept(self, shared: str) -> list[str]:
        """What the shared place holds in the end."""
        return _items(self.left, shared)


def _base_version(version: int) -> dict[str, Any]:
    return {"params": {"base_version": version}}


def _if_match(version: int) -> dict[str, Any]:
    return {"headers": {"if-match": f'"{version}"'}}


def _nothing(version: int) -> dict[str, Any]:
    del version
    return {}


_SHARED = ("list", "text")  # a list of custom_settings, and a description with commas


def _items(assistant: dict[str, Any], shared: str) -> list[str]:
    if shared == "list":
        found: list[str] = assistant["custom_settings"]["shared"]
        return found
    return [word for word in (assistant["description"] or "").split(",") if word]


def _change(read: dict[str, Any], one: Accepted) -> dict[str, Any]:
    """The client's own path is set; to what is shared, something is added."""
    body: dict[str, Any] = {
        "custom_settings": {f"of_{one.client}": one.turn},
        "change_description": one.reason,
    }
    if one.shared == "list":
        body["custom_settings"]["shared"] = [*_items(read, "list"), one.item]
    elif one.shared == "text":
        body["description"] = ",".join([*_items(read, "text"), one.item])
    return body


async def edit(server: Server, condition: Condition, turns: int, *, sharing: float) -> Edited:
    """Let the clients edit one assistant, all at once; ``sharing`` of the changes are shared."""
    edited = Edited(organization=server.organization())
    headers = {"authorization": f"Bearer {edited.organization.editor}"}
    limits = httpx.Limits(keepalive_expiry=1)  # before the server closes what has been idle
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=60, limits=limits
    ) as editor:
        settings = {"name": "Ours", "custom_settings": {"shared": []}}
        assert (await editor.post(ASSISTANTS, json=settings)).json()["version"] == 1
        clients = (
            one_client(editor, edited, condition, _wishes(number, turns, sharing))
            for number in range(CLIENTS)
        )
        await asyncio.gather(*clients)  # each has a connection of its own
        edited.left = (await editor.get(PATH)).json()
    return edited


def _wishes(number: int, turns: int, sharing: float) -> Iterator[Accepted]:
    """What one client wants, turn by turn; the same in every run."""
    choices = random.Random(f"{_SEED}/{number}")
    for turn in range(turns):
        shared = choices.choice(_SHARED) if choices.random() < sharing else None
        yield Accepted(version=0, client=number, turn=turn, shared=shared)


async def one_client(
    editor: httpx.AsyncClient,
    edited: Edited,
    condition: Condition,
    change_requests: Iterator[Accepted],
) -> None:
    for change_request in change_requests:
        while True:
            read = (await editor.get(PATH)).json()
            body = _change(read, change_request)
            answer = await editor.patch(PATH, json=body, **condition(read["version"]))
            if answer.status_code == 200:
                break
            edited.refusals.append(answer.json())
            await asyncio.sleep(random.uniform(0, _PAUSE))
        version = version_of(answer)
        edited.accepted.append(structs.replace(change_request, version=version))


def prove_nothing_lost(server: Server, edited: Edited, turns: int) -> None:
    """Everything accepted is in the history and in the state, once; and there is nothing else."""
    organization_id = edited.organization.id
    log = log_of(server.database, organization_id)
    prove([Acknowledged(organization_id, 1, c.version, c.reason) for c in edited.accepted], log)
    assert len(edited.accepted) == CLIENTS * turns
    assert len(log) == len(edited.accepted) + 1  # the creation; what was refused left nothing
    for number in range(CLIENTS):
        assert edited.left["custom_settings"][f"of_{number}"] == turns - 1
    for shared in _SHARED:
        assert edited.kept(shared) == edited.added(shared)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("together") / "backstory.db"
    waiting = make_organizations(database, 6)
    with serving_process(database, waiting) as running:
        yield running


def _with_base_version(server: Server, turns: int) -> None:
    edited = asyncio.run(edit(server, _base_version, turns, sharing=0.5))
    prove_nothing_lost(server, edited, turns)
    assert edited.refusals  # they did get in each other's way
    for refusal in edited.refusals:
        assert refusal["type"] == "urn:backstory:problem:conflict"
        for clash in refusal["conflicts"]:
            assert clash["path"] in ("/custom_settings/shared", "/description")
            assert clash["changed_by"]["paths"]


def test_24_clients_edit_one_assistant_over_what_they_had_read_and_nothing_is_lost(
    server: Server,
) -> None:
    _with_base_version(server, turns=3)


@pytest.mark.long
def test_24_clients_edit_one_assistant_1200_times_and_nothing_is_lost(server: Server) -> None:
    """The long form: ``pytest -m long tests/end_to_end/test_editing_together.py``."""
    _with_base_version(server, turns=50)


def test_clients_who_change_different_paths_are_never_refused(server: Server) -> None:
    edited = asyncio.run(edit(server, _base_version, 2, sharing=0))
    prove_nothing_lost(server, edited, 2)
    assert edited.refusals == []


def _with_if_match(server: Server, turns: int) -> None:
    edited = asyncio.run(edit(server, _if_match, turns, sharing=0.5))
    prove_nothing_lost(server, edited, turns)
    assert edited.refusals
    for refusal in edited.refusals:
        assert refusal["type"] == "urn:backstory:problem:precondition-failed"
        newest, *_ = refusal["changed_since"]
        assert newest["version"] == refusal["version"]
        assert newest["reason"].startswith("client ")


def test_24_clients_edit_one_assistant_with_if_match_and_nothing_is_lost(server: Server) -> None:
    _with_if_match(server, turns=2)


@pytest.mark.long
def test_24_clients_edit_one_assistant_240_times_with_if_match_and_nothing_is_lost(
    server: Server,
) -> None:
    _with_if_match(server, turns=10)


def test_control_the_same_changes_without_a_condition_lose_what_others_added(
    server: Server,
) -> None:
    edited = asyncio.run(edit(server, _nothing, 3, sharing=0.5))
    assert edited.refusals == []
    lost = {shared: set(edited.added(shared)) - set(edited.kept(shared)) for shared in _SHARED}
    assert all(lost.values())
    with pytest.raises(AssertionError):
        prove_nothing_lost(server, edited, 3)
    # What was lost was accepted, and the history has it: only the state is without it.
    log = log_of(server.database, edited.organization.id)
    prove(
        [Acknowledged(edited.organization.id, 1, c.version, c.reason) for c in edited.accepted],
        log,
    )
