"""Mixed work of several organizations: what a soak asks of a server, in which proportions.

A request's kind is chosen at random, by weight. Each kind names the statuses that it may be given.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random

from msgspec import Struct

from app.accounts.tokens import make_token
from tests.benchmarks import noise

_API = "/api/v1"
_ASSISTANTS = f"{_API}/assistants"
_COUNT = 25  # assistants of an organization; every fifth has a larger prompt
_PROMPT, _LARGE = 2_000, 60_000  # bytes
_FORMATS = ("ndjson", "json", "csv", "ocsf", "cloudevents", "parquet")
_BACK = 500  # events of an export that follows none
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_numbers = count(1)
_random = Random(20)  # a load, not a secret
_followed: dict[int, int] = defaultdict(int)  # the last event that a follower read, by organization


class Organization(Struct, frozen=True, kw_only=True):
    """The keys of one organization: an admin's, and one that may reveal secrets."""

    number: int
    admin: str
    runtime: str


class Work(Struct, frozen=True):
    """A kind of request: how often it comes, beside the others, and how it may be answered."""

    weight: float
    ask: Callable[[noise.Client, Organization], str]
    statuses: Sequence[str] = ("200",)


def prepare(client: noise.Client, number: int) -> Organization:
    """Make an organization's assistants, and its second key."""
    for position in range(_COUNT):
        size = _PROMPT if position % 5 else _LARGE
        body = {"name": f"Desk {position}", "llm_settings": {"system_prompt": noise.text(size)}}
        client.change("POST", _ASSISTANTS, body)
    for position in range(_COUNT):  # what was never changed cannot be undone
        body = {"api_keys": {"openai_api_key": f"k{position}"}}
        client.change("PATCH", f"{_ASSISTANTS}/{position + 1}", body)
    scoped = {"name": "Runtime", "role": "viewer", "scopes": ["secrets:reveal"]}
    made = client.change("POST", f"{_API}/users/me/api-keys", scoped)
    runtime = json.loads(made.body)["key"]
    return Organization(number=number, admin=client.key, runtime=runtime)


def _one() -> str:
    return f"{_ASSISTANTS}/{_random.randint(1, _COUNT)}"


def _send(client: noise.Client, method: str, path: str, body: object, **headers: str) -> str:
    return client.ask(method, path, json.dumps(body).encode(), **headers)


def _reading(path: str) -> Callable[[noise.Client, Organization], str]:
    """Reads a path; ``{}`` is an assistant."""
    return lambda client, _: client.ask("GET", path.replace("{}", _one()))


def _changed() -> dict[str, object]:
    return {"llm_settings": {"max_tokens": next(_numbers) % 4000 + 1}}


def _patch(client: noise.Client, _: Organization) -> str:
    return _send(client, "PATCH", _one(), _changed())


def _patch_prompt(client: noise.Client, _: Organization) -> str:
    """The same length each time, so that the settings do not grow."""
    prompt = f"{next(_numbers):08}{noise.text(_PROMPT)}"
    return _send(client, "PATCH", _one(), {"llm_settings": {"system_prompt": prompt}})


def _patch_once(client: noise.Client, _: Organization) -> str:
    key = f"soak-{next(_numbers)}"
    path, body = _one(), _changed()
    _send(client, "PATCH", path, body, idempotency_key=key)
    return _send(client, "PATCH", path, body, idempotency_key=key)


def _patch_secret(client: noise.Client, _: Organization) -> str:
    return _send(client, "PATCH", _one(), {"api_keys": {"openai_api_key": f"k{next(_numbers)}"}})


def _stale(client: noise.Client, _: Organization) -> str:
    return _send(client, "PATCH", _one(), _changed(), if_match='"1-stale"')


def _invalid(client: noise.Client, _: Organization) -> str:
    return _send(client, "PATCH", _one(), {"llm_settings": {"max_tokens": "many"}})


def _roll_back(client: noise.Client, _: Organization) -> str:
    return _send(client, "POST", f"{_one()}/rollback", {"to_version": "-1"})


def _undo(client: noise.Client, _: Organization) -> str:
    body = {"version": "latest", "on_conflict": "skip"}
    return _send(client, "POST", f"{_one()}/undo", body)


def _change_set(client: noise.Client, _: Organization) -> str:
    """Changes five assistants at once, and takes it back."""
    chosen = _random.sample(range(1, _COUNT + 1), 5)
    body = json.dumps({"assistant_ids": chosen, "patch": _changed()}).encode()
    answer = client.answer("POST", f"{_API}/change-sets", body)
    number = re.search(rb'"change_set_id":(\d+)', answer.body)
    if number is None:
        return answer.status
    path = f"{_API}/change-sets/{number[1].decode()}/revert"
    return _send(client, "POST", path, {"on_conflict": "skip"})


def _choose(client: noise.Client, _: Organization) -> str:
    """Asks which assistants a change of all with a certain prompt would change."""
    return noise.filters(client)


def _come_and_go(client: noise.Client, _: Organization) -> str:
    answer = client.change("POST", f"{_one()}/duplicate", {})
    return client.ask("DELETE", f"{_ASSISTANTS}/{json.loads(answer.body)['id']}")


def _reveal(client: noise.Client, organization: Organization) -> str:
    client.key = organization.runtime
    return _send(client, "POST", f"{_one()}/secrets/reveal", {"paths": ["/api_keys"]})


def _erase(client: noise.Client, _: Organization) -> str:
    return client.ask("DELETE", f"{_one()}/secrets")


def _rotate(client: noise.Client, _: Organization) -> str:
    return _send(client, "POST", f"{_API}/vault/rotate", {"data_keys": True})


def _guess(client: noise.Client, organization: Organization) -> str:
    client.key = make_token(organization.number)
    return client.ask("GET", _one())


def _anonymous(client: noise.Client, _: Organization) -> str:
    client.key = ""
    return client.ask("GET", _one())


def _follow(client: noise.Client, organization: Organization) -> str:
    """Reads the log from where it was last read."""
    after = _followed[organization.number]
    answer = client.answer("GET", f"{_API}/audit/export?format=ndjson&after={after}")
    for sequence in _SEQUENCE.findall(answer.body):
        _followed[organization.number] = max(_followed[organization.number], int(sequence))
    return answer.status


def _export(client: noise.Client, organization: Organization) -> str:
    """Exports the last events in some format; as many at the end as at the start."""
    after = max(_followed[organization.number] - _BACK, 0)
    name = _random.choice(_FORMATS)
    return client.ask("GET", f"{_API}/audit/export?format={name}&after={after}")


WORK: Mapping[str, Work] = {
    "GET": Work(24, _reading("{}")),
    "PATCH": Work(10, _patch),
    "prompt": Work(1, _patch_prompt),
    "repeated": Work(1, _patch_once),
    "secret": Work(1, _patch_secret),
    "stale": Work(1, _stale, ("412",)),
    "invalid": Work(0.5, _invalid, ("422",)),
    "list": Work(2, _reading(f"{_ASSISTANTS}?limit=20")),
    "count": Work(0.5, _reading(f"{_ASSISTANTS}/count")),
    "history": Work(3, _reading("{}/settings-history?limit=20")),
    "versions": Work(2, _reading("{}/versions?limit=20")),
    "past": Work(1, _reading("{}?version=1")),
    "blame": Work(1, _reading("{}/blame")),
    "diff": Work(1, _reading("{}/diff?from=-1&to=latest")),
    "activity": Work(1, _reading(f"{_ASSISTANTS}/activity?search=Desk%201")),
    "logs": Work(1, _reading(f"{_API}/audit/logs?event_type=assistant_deleted&limit=20")),
    "page": Work(0.5, _reading("/"), ("303",)),
    "listing": Work(0.1, _reading(f"{_ASSISTANTS}/export?format=csv")),
    "rollback": Work(0.5, _roll_back),
    "undo": Work(0.5, _undo, ("200", "409")),
    "change-set": Work(0.3, _change_set, ("200", "409")),
    "filter": Work(0.2, _choose),
    "duplicate": Work(0.2, _come_and_go),
    "reveal": Work(0.3, _reveal, ("200", "410")),
    "erase": Work(0.05, _erase),
    "rotate": Work(0.03, _rotate),
    "guess": Work(1, _guess, ("401",)),
    "anonymous": Work(0.5, _anonymous, ("401",)),
    "follow": Work(1, _follow),
    "export": Work(0.2, _export),
}
