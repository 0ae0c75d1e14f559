"""A caller who may not read a secret learns nowhere whether a guess of it is right."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
import pytest

from tests.app import stored
from tests.conftest import ASSISTANTS, Organization, Server

RIGHT, OLD, WRONG = "sk-right", "sk-rotated", "sk-wrong!"
KEY = "/api_keys/own"
SETS = "/api/v1/change-sets"


def patch_of(guess: str) -> dict[str, Any]:
    return {"api_keys": {"own": guess}}


def merge(client: httpx.Client, at: str, guess: str, **members: Any) -> httpx.Response:
    return client.patch(at, json=patch_of(guess) | members)


def put(client: httpx.Client, at: str, guess: str, **members: Any) -> httpx.Response:
    return client.put(at, json=client.get(at).json() | patch_of(guess) | members)


def json_patch(client: httpx.Client, at: str, guess: str) -> httpx.Response:
    operations = [{"op": "replace", "path": KEY, "value": guess}]
    kind = {"content-type": "application/json-patch+json"}
    return client.patch(
        at, content=httpx.Request("POST", "/", json=operations).content, headers=kind
    )


def json_patch_test(client: httpx.Client, at: str, guess: str) -> httpx.Response:
    operations = [{"op": "test", "path": KEY, "value": guess}]
    kind = {"content-type": "application/json-patch+json"}
    return client.patch(
        at, content=httpx.Request("POST", "/", json=operations).content, headers=kind
    )


def change_set(client: httpx.Client, at: str, guess: str, **members: Any) -> httpx.Response:
    chosen = {"assistant_ids": [int(at.rpartition("/")[2])], "patch": patch_of(guess)}
    return client.post(SETS, json=chosen | members)


def change_set_filter(client: httpx.Client, at: str, guess: str) -> httpx.Response:
    chosen = {"filter": {"settings": {KEY: guess}}, "patch": {"description": "x"}, "dry_run": True}
    answer = client.post(SETS, json=chosen)
    assert at
    return answer


DOORS = {
    "PATCH": merge,
    "PATCH, dry run": lambda c, at, guess: merge(c, at, guess, dry_run=True),
    "PATCH over the version before it": lambda c, at, guess: merge(c, at, guess, base_version=1),
    "PATCH over it": lambda c, at, guess: merge(c, at, guess, base_version=2),
    "PATCH over it, insisting": lambda c, at, guess: merge(
        c, at, guess, base_version=1, on_conflict="yours"
    ),
    "PUT": put,
    "PUT, dry run": lambda c, at, guess: put(c, at, guess, dry_run=True),
    "JSON Patch": json_patch,
    "JSON Patch, test": json_patch_test,
    "change set": change_set,
    "change set, dry run": lambda c, at, guess: change_set(c, at, guess, dry_run=True),
    "change set, filter": change_set_filter,
}


def transcript(
    server: Server, guess: str, door: Any, *, role: str = "editor", erased: bool = False
) -> list[Any]:
    """All that a caller sees of a guess, in an organization of its own: ids are alike in each."""
    organization = server.organization()
    at = f"{ASSISTANTS}/1"
    with server.client(getattr(organization, role)) as client:
        client.post(ASSISTANTS, json={"name": "Guessed"} | patch_of(OLD))
        client.patch(at, json=patch_of(RIGHT))
        if erased:
            with server.client(organization.admin) as admin:
                admin.request("DELETE", f"{at}/secrets").raise_for_status()
        answer = door(client, at, guess)
        seen = [answer.status_code, sorted(answer.headers), answer.headers.get("etag"), answer.text]
        places = (at, f"{at}/settings-history", f"{at}/versions", "/api/v1/audit/logs")
        seen += [client.get(place).text for place in places]
    seen.append(msgspec.json.encode(stored.events(server.database, organization.id)).decode())
    return [_without_chance(str(text), organization.id) for text in seen]


def _without_chance(text: str, organization_id: int) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"[0-9a-f]{32,}", "RANDOM", text)
    text = re.sub(rf"\"organization_id\": ?{organization_id}\b", "ORGANIZATION", text)
    return re.sub(r"(\"actor\":\{[^{}]*\}|\"key_id\": ?\d+)", "KEY", text)


@pytest.mark.parametrize("door", DOORS)
def test_a_right_guess_is_answered_as_a_wrong_one(server: Server, door: str) -> None:
    wrong = transcript(server, WRONG, DOORS[door])
    assert transcript(server, RIGHT, DOORS[door]) == wrong
    assert transcript(server, OLD, DOORS[door]) == wrong


@pytest.mark.parametrize("door", ["PATCH", "PATCH over the version before it", "change set"])
def test_a_right_guess_of_an_erased_secret_is_answered_as_a_wrong_one(
    server: Server, door: str
) -> None:
    wrong = transcript(server, WRONG, DOORS[door], erased=True)
    assert transcript(server, RIGHT, DOORS[door], erased=True) == wrong


@pytest.mark.parametrize("door", ["PATCH", "PATCH, dry run", "PUT", "change set"])
def test_control_a_caller_who_may_read_it_is_told(server: Server, door: str) -> None:
    wrong = transcript(server, WRONG, DOORS[door], role="admin")
    assert transcript(server, RIGHT, DOORS[door], role="admin") != wrong
    assert transcript(server, "sk-error", DOORS[door], role="admin") == wrong


def test_no_event_of_two_equal_secrets_shows_that_they_are_equal(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    """Not even to a person who has the database and every key in it."""
    for _ in range(2):
        editor.post(ASSISTANTS, json={"name": "One of two"} | patch_of(RIGHT))
    one, other = stored.events(server.database, organization.id)[-2:]
    ours, theirs = (event["changes"][KEY]["after"]["$secret"] for event in (one, other))
    assert ours.keys() == theirs.keys() == {"id"}
    assert ours["id"] != theirs["id"]
    keys = stored.rows(server.database, organization.id)["vault_keys"]
    assert {key["purpose"] for key in keys} == {"data", "pepper"}
