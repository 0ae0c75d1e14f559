"""The log of a release, as it wrote it, and the states that it folds every log so far to.

``python -m tests.events.golden_release N`` adds the folder ``golden/release-N``, once, when release
N is made. It is never written again: what stands there is what later releases must still read.

- ``log.jsonl``: the stored bytes of every kind of event, one a line, of an organization whose
  assistants have every setting set to what is not its default, and secrets.
- ``states.json``: for this log and those before it, by the name of the release, the state of each
  assistant after each of its versions.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import httpx
import msgspec

from events import codec, shape
from events.changed import NOTHING, Event, State, evolve
from events.pointers import Tree
from events.shape import SETTINGS
from tests.conftest import ASSISTANTS, make_organizations, serving
from tests.databases import query

GOLDEN = Path(__file__).parent / "golden"
States = dict[str, list[State]]  # by assistant, after each version
Upcasters = Mapping[str, Callable[..., dict[str, Any]]]
_SPECIAL = {"bypass_numbers": ["+14155551234"], "webhook_url": "https://ada:pw@hooks.example/in"}
_KEY = "/api/v1/users/me/api-keys"


# -- what a release wrote


def names(root: Path = GOLDEN) -> list[str]:
    """The releases that have a folder, the first one first."""
    found = (path.name for path in root.iterdir() if path.is_dir())
    return sorted(found, key=lambda name: int(name.removeprefix("release-")))


def log(root: Path, name: str) -> list[bytes]:
    """The stored events of a release."""
    return (root / name / "log.jsonl").read_bytes().splitlines()


def folded(bodies: Iterable[bytes], upcasters: Upcasters = codec.UPCASTERS) -> States:
    """The states of each assistant, after each version, as this release folds them."""
    states: States = defaultdict(list)
    for body in bodies:
        event = codec.decode(body, codec.tag_in(body), upcasters)
        if isinstance(event, Event):
            one = states[str(event.assistant_id)]
            one.append(evolve(one[-1] if one else NOTHING, event))
    return dict(states)


def expected(root: Path, name: str) -> dict[str, States]:
    """What a release folded each log to, by the name of the release that wrote it."""
    text = (root / name / "states.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, States])


def add(root: Path, name: str, bodies: Iterable[bytes]) -> None:
    """Write the folder of a release; it must not be there yet."""
    (root / name).mkdir()
    (root / name / "log.jsonl").write_bytes(b"".join(body + b"\n" for body in bodies))
    states = {one: folded(log(root, one)) for one in names(root)}
    text = msgspec.json.encode(states)
    by_line = text.replace(b'{"version":', b'\n{"version":')  # one state a line
    (root / name / "states.json").write_bytes(by_line + b"\n")


# -- the log of this release


def changed_settings(kind: shape.Shape = SETTINGS, default: Any = None) -> Any:
    """A value of each setting that is not its default; secrets where one may stand."""
    match kind:
        case shape.Record(members=members):
            return {
                name: _SPECIAL.get(name) or changed_settings(member.shape, member.default)
                for name, member in members.items()
            }
        case shape.Listing(item=item):
            return [changed_settings(item)]
        case shape.Mapping(value=value):
            return {"one": changed_settings(value)}
        case shape.FreeForm():
            return {"colour": "blue", "api_key": "sk-free-5b1e", "none": [None, 1, 1.0]}
        case shape.Scalar(secret=True):
            return "sk-typed-77aa01"
        case shape.Scalar(type=scalar):
            return _other(scalar, default)


def _other(scalar: Any, default: Any) -> Any:
    if get_origin(scalar) is Literal:
        return next(one for one in get_args(scalar) if one != default)
    plain = getattr(scalar, "__origin__", scalar)
    if plain is bool:
        return not default
    if plain is str:
        return "Grüße, 𝄞"
    (bounds,) = scalar.__metadata__
    least = 1 if bounds.ge is None else bounds.ge
    most = least + 4 if bounds.le is None else bounds.le
    return next(one for one in (plain(least + (most - least) / 2), most) if one != default)


def written() -> list[bytes]:
    """What this release stores of the story below."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "backstory.db")
        (organization,) = make_organizations(database, 1)
        with serving(database, []) as server, server.client(organization.admin) as admin:
            _tell(admin)
        with serving(database, [], checkpoint_interval="1s"):
            while not any(b'"checkpoint_recorded.' in body for body in _stored(database)):
                pass
        return _stored(database)


def _stored(database: Path) -> list[bytes]:
    return [bytes(body) for (body,) in query(database, "SELECT body FROM events ORDER BY sequence")]


def _tell(admin: httpx.Client) -> None:
    """Every kind of event, and every way to change the settings of an assistant."""

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = admin.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    whole: Tree = changed_settings()
    plain, full = f"{ASSISTANTS}/1", f"{ASSISTANTS}/2"
    ask("POST", ASSISTANTS, {"name": "Plain"})
    ask("POST", ASSISTANTS, whole | {"change_description": "All of it"})
    ask("PATCH", plain, whole, **{"idempotency-key": "once"})
    ask("PUT", plain, {"llm_settings": None, "custom_settings": {"colour": None}, "api_keys": {}})
    operations = [{"op": "move", "from": "/idle_message", "path": "/description"}]
    ask("PATCH", plain, operations, **{"content-type": "application/json-patch+json"})
    ask("PATCH", plain, {"base_version": 2, "name": "Merged"})
    ask("PATCH", f"{plain}/status?is_active=true")
    ask("POST", f"{plain}/undo", {"version": 3})
    ask("POST", f"{plain}/rollback", {"to_version": 1, "paths": ["/llm_settings"]})
    ask("POST", f"{plain}/rollback", {"to_version": 2, "change_description": "Back"})
    ask("PUT", f"{plain}/versions/2/label", {"label": "Vor dem Start"})
    ask("POST", f"{full}/duplicate")
    sent = {"assistant_ids": [1, 2, 3], "patch": {"llm_settings": {"temperature": 0.75}}}
    set_id = ask("POST", "/api/v1/change-sets", sent)["change_set_id"]
    ask("POST", f"/api/v1/change-sets/{set_id}/revert", {})
    ask("POST", f"{full}/secrets/reveal", {"paths": ["/api_keys"], "reason": "Call 7"})
    ask("DELETE", f"{full}/secrets", {"reason": "Contract ended"})
    ask("DELETE", full)
    ask("POST", f"{full}/restore", {"change_description": "By mistake"})
    ask("POST", "/api/v1/vault/rotate", {"data_keys": True})
    ask("PUT", "/api/v1/policy", {"admin_paths": ["/llm_settings", "/recording_settings/format"]})
    made = ask("POST", _KEY, {"name": "CI", "role": "editor"})
    key = f"{_KEY}/{made['api_key']['id']}"
    ask("PUT", key, {"name": "Nightly"})
    ask("DELETE", key)
    refused = {"authorization": f"Bearer {made['key']}"}
    assert admin.get(ASSISTANTS, headers=refused).status_code == httpx.codes.UNAUTHORIZED
    assert admin.get("/api/v1/audit/export").is_success


if __name__ == "__main__":
    add(GOLDEN, f"release-{int(sys.argv[1])}", written())
