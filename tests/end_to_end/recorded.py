"""What a checkout answers to given requests, and what it stores: as JSON, on its output.

``same_bytes`` runs this text in the Python of each checkout, whose own ``tests.conftest`` serves.
``make DATABASE`` makes a database with one organization, ``record DATABASE COUNT START KEYS`` sends
it requests. The clock stands until the next request, and new ids are drawn in a fixed order.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from events import log_head
from tests.conftest import ASSISTANTS, make_organizations, serving

_SEED = 19
_ASSISTANTS = 6  # few, so that some get keyframes
_SECOND = timedelta(seconds=1)
_JSON, _MERGE, _STEPS = (
    "application/json",
    "application/merge-patch+json",
    "application/json-patch+json",
)
# What moves by itself, and what a client was counted for in real seconds.
_MOVING = {"date", "server", "ratelimit", "ratelimit-policy", "retry-after"}
_REASONS = (None, None, "Callers said so", "As the manager wished")
_TEXTS = ("Hello", "Good day, how can I help?", "Grüezi «wie geht's»?", "", "a" * 2000)
_sets = [1]  # the change sets so far, after one that is none
Request = tuple[str, str, dict[str, str], Any]  # method, path, headers, body


def _secret(choose: random.Random) -> str:
    return f"sk-{choose.randrange(30):040d}"


_MEMBERS: dict[str, Callable[[random.Random], Any]] = {
    "name": lambda choose: f"Line {choose.randrange(9)}",
    "description": lambda choose: choose.choice((None, *_TEXTS)),
    "is_active": lambda choose: choose.random() < 0.5,
    "llm_provider": lambda choose: choose.choice(("openai", "groq")),
    "llm_settings": lambda choose: choose.choice(
        (
            {"temperature": choose.randrange(20) / 10},
            {"max_tokens": choose.randrange(1, 4000), "temperature": 1},
            {"system_prompt": choose.choice(_TEXTS), "welcome_message": choose.choice(_TEXTS)},
            {"temperature": "hot", "max_tokens": -1},
            None,
        )
    ),
    "llm_provider_config": lambda choose: {
        "api_key": _secret(choose),
        "custom_config": {"token": _secret(choose), "region": "eu"},
    },
    "webhook_url": lambda choose: choose.choice(
        (None, "https://example.com/a", f"https://user:{_secret(choose)}@example.com/b")
    ),
    "webhook_headers": lambda choose: choose.choice(
        (None, {"A": _secret(choose)}, {"A": _secret(choose), "B": _secret(choose)})
    ),
    "api_keys": lambda choose: {choose.choice(("openai", "groq")): _secret(choose)},
    "custom_settings": lambda choose: choose.choice(
        (None, {"theme": "dark", "auth": {"token": _secret(choose)}}, {"list": [1, 2.5, None]})
    ),
    "stt_settings": lambda choose: {"keyterms": choose.sample(("a", "b", "c", "d"), 2)},
    "llm_fallback_providers": lambda choose: {
        "fallbacks": [
            {"provider": name, "api_key": _secret(choose)}
            for name in choose.sample(("groq", "xai", "mistral"), choose.randrange(3))
        ]
    },
    "tools_settings": lambda choose: {
        "custom_tools": [{"tool_id": "t", "url": "https://example.com", "key": _secret(choose)}],
        "end_call": {"enabled": choose.random() < 0.5},
    },
    "recording_settings": lambda choose: choose.choice((None, {"format": "wav", "more": [1]})),
    "bypass_numbers": lambda choose: choose.choice((None, ["+41 44 668 18 00"], ["nobody"])),
    "idle_timeout": lambda choose: choose.choice((None, 5, 7.5)),
    "no_such_setting": lambda _: 1,
}


def _settings(choose: random.Random, most: int = 3) -> dict[str, Any]:
    names = choose.sample(sorted(_MEMBERS), choose.randint(1, most))
    return {name: _MEMBERS[name](choose) for name in names}


def _step(choose: random.Random) -> dict[str, Any]:
    return choose.choice(
        (
            {"op": "replace", "path": "/llm_settings/temperature", "value": choose.random()},
            {"op": "add", "path": "/stt_settings/keyterms/-", "value": "e"},
            {"op": "remove", "path": "/webhook_headers"},
            {"op": "test", "path": "/is_active", "value": True},
            {"op": "copy", "from": "/name", "path": "/description"},
            {"op": "add", "path": "/llm_provider_config/api_key", "value": _secret(choose)},
            {"op": "replace", "path": "/no/such", "value": 1},
        )
    )


def _version(choose: random.Random) -> int:
    """Small ones more often: they exist sooner."""
    return int(choose.expovariate(1 / 25)) + 1


def _bodies(choose: random.Random) -> dict[str, Any]:
    """A body for each of the paths below an assistant's."""
    reason = {"change_description": choose.choice(_REASONS), "dry_run": choose.random() < 0.2}
    return {
        "/rollback": {"to_version": _version(choose)} | reason,
        "/undo": {
            "version": _version(choose),
            "on_conflict": choose.choice(("fail", "skip", "force")),
            "restore_secrets": choose.random() < 0.3,
        }
        | reason,
        "/duplicate": None,
        f"/settings-history/{_version(choose)}/rollback": reason,
        "/secrets/reveal": {"paths": ["/llm_provider_config/api_key"], "reason": "A call"},
    }


def _change(choose: random.Random, path: str) -> Request:
    kind = choose.choice((_JSON, _JSON, _MERGE, _STEPS))
    steps = [_step(choose) for _ in range(choose.randint(1, 3))]
    body: Any = steps if kind == _STEPS else _settings(choose)
    if kind == _JSON:
        body |= {"change_description": choose.choice(_REASONS)}
    return "PATCH", path, {"content-type": kind}, body


def _below(choose: random.Random, path: str) -> Request:
    end, body = choose.choice(list(_bodies(choose).items()))
    return "POST", f"{path}{end}", {}, body


def _status(choose: random.Random, path: str) -> Request:
    return "PATCH", f"{path}/status?is_active={choose.choice(('true', 'false'))}", {}, None


def _label(choose: random.Random, path: str) -> Request:
    body = {"label": f"label-{choose.randrange(5)}"}
    return "PUT", f"{path}/versions/{_version(choose)}/label", {}, body


def _set(choose: random.Random, _: str) -> Request:
    api = ASSISTANTS.removesuffix("/assistants")
    if choose.random() < 0.3:
        return "POST", f"{api}/change-sets/{choose.choice(_sets)}/revert", {}, None
    ids = choose.sample(range(1, _ASSISTANTS + 1), 3)
    chosen = choose.choice(({"assistant_ids": ids}, {"filter": {"is_active": True}}))
    return "POST", f"{api}/change-sets", {}, chosen | {"patch": _settings(choose, 1)}


def _removal(choose: random.Random, path: str) -> Request:
    return "DELETE", path + choose.choice(("", "", "/secrets")), {}, None


def _restoration(_: random.Random, path: str) -> Request:
    return "POST", f"{path}/restore", {}, None


def _policy(choose: random.Random, _: str) -> Request:
    paths = choose.choice(([], [], ["/llm_settings"]))
    body = {"require_reason_for": paths, "secret_paths": choose.choice(([], ["/custom_settings"]))}
    return "PUT", f"{ASSISTANTS.removesuffix('/assistants')}/policy", {}, body


def _read(choose: random.Random, path: str) -> Request:
    one, other = _version(choose), _version(choose)
    end = choose.choice(
        (
            "", "?include_deleted=true", f"?version={one}", "/settings-history?limit=3",
            "/versions?limit=3", f"/versions/{one}", f"/diff?from={one}&to={other}&words=true",
            "/blame", "/blame?path=/llm_settings",
        )
    )  # fmt: skip
    return "GET", path + end, {}, None


def _overview(choose: random.Random, _: str) -> Request:
    api = ASSISTANTS.removesuffix("/assistants")
    end = choose.choice(
        (
            "/assistants", "/assistants?limit=2&is_active=true", "/assistants/activity",
            "/assistants/count", "/policy", "/audit/logs?limit=5", "/audit/export?format=ndjson",
            "/assistants/export", f"/change-sets/{choose.choice(_sets)}",
        )
    )  # fmt: skip
    return "GET", api + end, {}, None


_KINDS: dict[Callable[[random.Random, str], Request], int] = {
    lambda choose, _: ("POST", ASSISTANTS, {}, {"name": "New"} | _settings(choose, 6)): 2,
    _change: 40,
    lambda choose, path: ("PUT", path, {}, _settings(choose, 6)): 8,
    _status: 4,
    _below: 14,
    _label: 2,
    _set: 5,
    _removal: 1,
    _restoration: 4,
    _policy: 1,
    _read: 14,
    _overview: 5,
}


def _requests(count: int) -> Iterator[tuple[str, Request]]:
    """The role of a caller, and a request."""
    choose = random.Random(_SEED)
    for number in range(count):
        path = f"{ASSISTANTS}/{choose.randint(1, _ASSISTANTS)}"
        kind = choose.choices(list(_KINDS), list(_KINDS.values()))[0]
        if number < _ASSISTANTS:
            kind = next(iter(_KINDS))
        method, path, headers, body = kind(choose, path)
        headers |= {"x-request-id": f"request-{number}"}
        for name, value, chance in (
            ("prefer", choose.choice(("return=minimal", "handling=strict")), 0.1),
            ("if-match", f'"{_version(choose)}"', 0.03),
            ("idempotency-key", f"key-{choose.randrange(40)}", 0.1),
        ):
            if choose.random() < chance:
                headers[name] = value
        role = choose.choices(("admin", "editor", "viewer", "runtime"), (40, 50, 5, 5))[0]
        yield role, (method, path, headers, body)


class _Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def _draw_the_same_ids() -> None:
    """``secrets`` draws from this. Each length has numbers of its own, whoever else draws."""
    numbers: defaultdict[int, random.Random] = defaultdict(lambda: random.Random(_SEED))
    drawn = lambda size: numbers[size].randbytes(size)  # noqa: E731  # one line
    random._urandom = drawn  # type: ignore[attr-defined]  # noqa: SLF001  # nothing else is drawn from


def _answers(database: Path, count: int, start: datetime, keys: dict[str, str]) -> Iterator[Any]:
    clock = _Clock(start)
    with (
        serving(database, [], clock, checkpoint_interval="9999d") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        for role, (method, path, headers, body) in _requests(count):
            clock.now += _SECOND
            headers["authorization"] = f"Bearer {keys[role]}"
            content = b"" if body is None else msgspec.json.encode(body)
            if content:
                headers.setdefault("content-type", _JSON)
            answer = client.request(method, path, content=content, headers=headers)
            shown = {name: v for name, v in answer.headers.items() if name not in _MOVING}
            text = answer.content.decode("utf-8", "replace")
            if answer.status_code == 201 and path.endswith("/change-sets"):
                _sets.append(answer.json()["change_set_id"])
            yield f"{method} {path}", answer.status_code, shown, text


def _tables(database: Path) -> dict[str, list[dict[str, Any]]]:
    connection = sqlite3.connect(database)
    names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    return {name: _rows(connection, name) for (name,) in connection.execute(names).fetchall()}


def _rows(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    rows = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in rows.description]
    return sorted((dict(zip(names, map(_text, row), strict=True)) for row in rows), key=repr)


def _text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def main() -> None:
    _, what, database, *others = sys.argv
    path = Path(database)
    if what == "make":
        (made,) = make_organizations(path, 1)
        sys.stdout.write(json.dumps(msgspec.to_builtins(made)))
        return
    count, start, keys = others
    _draw_the_same_ids()
    log_head.MOST_UNSIGNED = 1 << 60  # else a checkpoint is recorded whenever the server looks
    answers = list(_answers(path, int(count), datetime.fromisoformat(start), json.loads(keys)))
    sys.stdout.write(json.dumps({"answers": answers, "tables": _tables(path)}))


if __name__ == "__main__":
    main()
