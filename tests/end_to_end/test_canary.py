"""No secret's value in any byte that leaves the process: database, log of writes, logs, answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import ASSISTANTS, make_organizations, serving_process
from tests.databases import contents

CHANGE_SETS = "/api/v1/change-sets"

# What a guard that is off would do: the value takes the place of its reference.
_VAULT_OFF = """
import app.transactions.new_secrets
from events.merging import Replace
from events.secrets.values import Plain

def leave_plain(patch, *_):
    if isinstance(patch, Plain):
        return patch.value
    if isinstance(patch, Replace):
        return Replace(leave_plain(patch.value))
    if isinstance(patch, dict):
        return {name: leave_plain(member) for name, member in patch.items()}
    return [leave_plain(item) for item in patch] if isinstance(patch, list) else patch

app.transactions.new_secrets.seal = leave_plain
"""


class Canaries:
    """Unique values to put where secrets go, and where they were found."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.values: list[str] = []

    def __call__(self) -> str:
        # Characters that URL-encoding, JSON and base64 each write in another way.
        value = f'canary/{next(self._numbers):04d}+"é"'
        self.values.append(value)
        return value

    def user(self) -> str:
        """User information of a URL, as it stands there."""
        value = f"canary:{next(self._numbers):04d}"
        self.values.append(value)
        return value

    def settings(self) -> dict[str, object]:
        """A body with a canary in every kind of secret place."""
        fallback = {"provider": "p", "api_key": self(), "config": {"private_key": self()}}
        return {
            "llm_provider_config": {
                "api_key": self(),
                "base_url": f"https://{self.user()}@llm.example/v1",
                "custom_config": {"a": {"authToken": self()}, "list": [{"password": self()}]},
            },
            "api_keys": {"openai_api_key": self(), "other": self()},
            "webhook_url": f"https://{self.user()}@hook.example/",
            "webhook_headers": {"X-Anything": self()},
            "llm_fallback_providers": {"fallbacks": [fallback]},
            "tts_settings": {"provider_config": {"apiKey": self()}},
            "stt_settings": {"provider_config": {"bearer_token": self()}},
            "custom_settings": {"credential": self(), "deep": {"x": {"Cookie": self()}}},
            "recording_settings": {"storage": {"secret": self()}},
            "tools_settings": {"custom_tools": [{"tool_id": "t", "headers": {"cookie": self()}}]},
        }

    def found_in(self, data: bytes) -> set[str]:
        """The canaries that these bytes hold, written in any of the usual ways."""
        return {value for value in self.values if any(form in data for form in _forms(value))}


def _forms(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield plain
    yield quote(value, safe="").encode()
    yield quote(value).encode()
    yield json.dumps(value)[1:-1].encode()
    yield json.dumps(value, ensure_ascii=False)[1:-1].encode()
    for shift in range(3):  # the three alignments that base64 can have inside a longer text
        encoded = base64.b64encode(b"-" * shift + plain).rstrip(b"=")
        yield encoded[(shift * 4 + 2) // 3 + 1 : -2]


def _walk_through(client: httpx.Client, canaries: Canaries) -> Iterator[httpx.Response]:
    """Every way in which a secret can come in, and every one in which it might go out."""
    made = client.post(ASSISTANTS, json={"name": "Canary"} | canaries.settings())
    yield made
    path = f"{ASSISTANTS}/{made.json()['id']}"
    yield client.patch(path, json=canaries.settings())
    yield client.put(path, json=canaries.settings())
    for version in (2, 3):
        rollback = f"{path}/settings-history/{version}/rollback"
        yield client.post(rollback)
        yield client.post(rollback, json={"restore_secrets": True})
    yield client.post(f"{path}/duplicate")

    # Refused, for reasons of their own or because of the very secret.
    yield client.patch(path, json=canaries.settings() | {"tts_limit": 0})
    yield client.patch(path, json={"llm_provider_config": {"api_key": {"nested": canaries()}}})
    yield client.patch(path, json={"api_keys": {"a": [canaries()]}, "webhook_headers": canaries()})
    yield client.patch(path, json={"transfer_call": {"api_key": canaries()}})
    strict = {"prefer": "handling=strict"}
    yield client.patch(path, json={"api_key": canaries()}, headers=strict)
    body = json.dumps(canaries.settings())
    yield client.patch(path, content=body, headers={"content-type": "text/plain"})
    yield client.patch(path, content=body[:-1], headers={"content-type": "application/json"})
    yield client.patch(path, json=canaries.settings() | {"description": "x" * 1_100_000})
    yield client.patch(f"{ASSISTANTS}/9999", json=canaries.settings())

    yield from _change_safely(client, path, canaries)
    yield from _change_several(client, path, canaries)
    yield from _look_back(client, path)

    yield client.get(path)
    yield client.get(ASSISTANTS)
    yield client.get(f"{ASSISTANTS}/export")
    yield client.get(f"{ASSISTANTS}/export", params={"format": "json"})
    yield client.get(f"{path}/settings-history")
    yield client.delete(path)
    yield client.get(f"{path}/settings-history", params={"include_deleted": True})
    yield client.post(f"{path}/restore")


def _change_safely(client: httpx.Client, path: str, canaries: Canaries) -> Iterator[httpx.Response]:
    """Plans, merges, conflicts, patches of JSON, retries: what they answer shows both sides."""
    based = {"base_version": 1}
    yield client.patch(path, json=canaries.settings() | {"dry_run": True})
    yield client.patch(path, json=canaries.settings() | based | {"dry_run": True})
    yield client.patch(path, json=canaries.settings() | based)
    yield client.patch(path, json=canaries.settings() | based | {"on_conflict": "yours"})
    yield client.patch(path, json=canaries.settings(), headers={"if-match": '"1"'})
    for operations in (
        [{"op": "add", "path": "/api_keys/added", "value": canaries()}],
        [{"op": "replace", "path": "/custom_settings", "value": {"password": canaries()}}],
        [{"op": "test", "path": "/api_keys/other", "value": canaries()}],
        [{"op": "add", "path": "/no/such/place", "value": canaries()}],
        [{"op": "move", "from": "/api_keys/added", "path": "/webhook_headers/X-Moved"}],
        [{"op": "copy", "from": "/api_keys/other", "path": "/description"}],
        [{"op": canaries(), "path": "/name", "value": canaries()}],
    ):
        kind = {"content-type": "application/json-patch+json"}
        yield client.patch(path, content=json.dumps(operations), headers=kind)
    once = {"idempotency-key": "canary"}
    settings = canaries.settings()
    for body in (settings, settings, canaries.settings()):
        yield client.patch(path, json=body, headers=once)
    for version in ("latest", "-1", 2):
        for how in ({"dry_run": True}, {}, {"on_conflict": "force", "restore_secrets": True}):
            yield client.post(f"{path}/undo", json={"version": version} | how)
    back = {"to_version": 2, "paths": ["/api_keys", "/llm_provider_config/base_url"]}
    for more in ({"dry_run": True}, {}, {"restore_secrets": True}):
        yield client.post(f"{path}/rollback", json=back | more)


def _change_several(
    client: httpx.Client, path: str, canaries: Canaries
) -> Iterator[httpx.Response]:
    other = client.post(f"{path}/duplicate").json()["id"]
    chosen = {"assistant_ids": [int(path.rpartition("/")[2]), other]}
    change_request = chosen | {"patch": canaries.settings()}
    yield client.post(CHANGE_SETS, json=change_request | {"dry_run": True})
    made = client.post(CHANGE_SETS, json=change_request)
    yield made
    yield client.post(CHANGE_SETS, json=chosen | {"patch": {"api_keys": [canaries()]}})
    by_value = {"settings": {"/api_keys/other": canaries(), canaries(): 1}}
    yield client.post(CHANGE_SETS, json={"filter": by_value, "patch": {"tts_limit": 7}})
    the_set = f"{CHANGE_SETS}/{made.json()['change_set_id']}"
    yield client.get(the_set)
    yield client.get(f"{the_set}/diff")
    yield client.patch(path, json=canaries.settings())
    yield client.post(f"{the_set}/revert")
    yield client.post(f"{the_set}/revert", json={"on_conflict": "force", "restore_secrets": True})


def _look_back(client: httpx.Client, path: str) -> Iterator[httpx.Response]:
    yield client.get(f"{path}/versions")
    for version in (1, 2, "latest"):
        yield client.get(f"{path}/versions/{version}")
        yield client.get(path, params={"version": version})
        for kind in ("application/json", "application/json-patch+json"):
            ends = {"from": version, "to": "-1", "words": True}
            yield client.get(f"{path}/diff", params=ends, headers={"accept": kind})
        yield client.get(f"{path}/blame", params={"version": version})
    yield client.get(f"{path}/blame", params={"path": "/api_keys"})


def _search(folder: Path, preamble: str) -> dict[str, set[str]]:
    """Walk through a server, then search everything that it left: where canaries were found."""
    canaries = Canaries()
    organizations = make_organizations(folder / "canary.db", 1)
    found: dict[str, set[str]] = {}
    with (
        (folder / "log").open("w") as log,
        serving_process(
            folder / "canary.db",
            organizations,
            preamble=preamble,
            stderr=log,
            BACKSTORY_LOG_LEVEL="debug",
        ) as server,
        server.client(organizations[0].admin) as client,
    ):
        answers = list(_walk_through(client, canaries))
        found["database"] = canaries.found_in(contents(folder / "canary.db"))
    assert {answer.status_code for answer in answers} == {200, 201, 404, 409, 412, 413, 415, 422}
    said = b"\n".join(
        b"\n".join((str(answer.headers).encode(), answer.content)) for answer in answers
    )
    found["answers"] = canaries.found_in(said)
    found["log"] = canaries.found_in((folder / "log").read_bytes())
    return found


def test_no_secret_is_in_any_byte_of_database_log_or_answers(tmp_path: Path) -> None:
    found = _search(tmp_path, preamble="")
    assert found == {"database": set(), "answers": set(), "log": set()}


def test_the_search_finds_secrets_when_the_vault_is_off(tmp_path: Path) -> None:
    found = _search(tmp_path, preamble=_VAULT_OFF)
    assert found["database"]
    assert found["answers"]


@pytest.mark.parametrize("form", ["plain", "url", "json", "base64"])
def test_the_search_knows_the_usual_ways_of_writing(form: str) -> None:
    canaries = Canaries()
    value = canaries()
    written = {
        "plain": value,
        "url": quote(value, safe=""),
        "json": json.dumps({"x": value}),
        "base64": base64.b64encode(f"user: {value};".encode()).decode(),
    }[form]
    assert canaries.found_in(written.encode()) == {value}
