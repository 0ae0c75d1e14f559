"""What a test of a changed release does, in processes of their own: each imports its own tree.

``make FOLDER`` fills a database as this release does. ``check FOLDER`` serves a copy of it with
the tree that comes first on the path, asks for everything, and holds it against ``expected.json``.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
import structlog

from app.audit import verify
from events import log_head, log_proofs, pointers, shape
from events.tables import events
from projections import current
from projections.check import differences
from tests.conftest import ASSISTANTS, Organization, make_organizations, serving
from tests.console import Browser
from tests.databases import reading_engine

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Server

META = {
    "id", "organization_id", "user_id", "created_at", "updated_at", "version", "total_calls",
    "avg_call_duration", "success_rate",
}  # fmt: skip
VERSIONS = 70  # more than lie between two keyframes
FRONT, DELETED, OTHER, PLAIN = 1, 2, 3, 4
CHANGE_SET = VERSIONS + 5
LOOKED_AT = {*range(1, 7), *range(63, 67)}  # versions, beside the newest
SECRETS = {
    "/llm_provider_config/api_key": "sk-front-desk-0001",
    "/webhook_headers/X-Token": "token-front-desk-02",
    "/llm_fallback_providers/fallbacks/0/api_key": "sk-fallback-00003",
}
PLAIN_SID = "MG-plain-alone"  # of an assistant in which nothing is sealed
FILE, LINES, STORED = "backstory.db", "before.ndjson", "before.json"


def ok(answer: httpx.Response) -> Any:
    """What a successful answer says."""
    request = answer.request
    assert answer.is_success, f"{request.method} {request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def make(folder: Path) -> None:
    """Assistants with a history: secrets, keyframes, a deletion, a change set, a policy."""
    (organization,) = make_organizations(folder / FILE, 1)
    (folder / "organization.json").write_bytes(msgspec.json.encode(organization))
    with (
        serving(folder / FILE, [organization]) as server,
        server.client(organization.admin) as admin,
    ):
        ok(admin.post(ASSISTANTS, json=_front_desk()))
        ok(admin.post(ASSISTANTS, json={"name": "Gone", "llm_provider_config": {"api_key": "k-1"}}))
        ok(admin.post(ASSISTANTS, json={"name": "Other"}))
        front = f"{ASSISTANTS}/{FRONT}"
        for change in _changes():
            ok(admin.patch(front, json=change))
        ok(admin.delete(f"{ASSISTANTS}/{DELETED}"))
        change_set = {"assistant_ids": [FRONT, OTHER], "patch": {"max_call_length": 900}}
        made = ok(admin.post("/api/v1/change-sets", json=change_set))
        assert made["change_set_id"] == CHANGE_SET
        ok(admin.post(f"{front}/rollback", json={"to_version": 4, "paths": ["/end_call_message"]}))
        ok(admin.put(f"{front}/versions/5/label", json={"label": "stable"}))
        ok(admin.put("/api/v1/policy", json={"require_reason_for": ["/end_call_message"]}))
        ok(admin.post(f"{front}/secrets/reveal", json={"paths": ["/llm_provider_config/api_key"]}))
        ok(admin.post(ASSISTANTS, json={"name": "Plain", "messaging_service_sid": PLAIN_SID}))
        (folder / LINES).write_bytes(_export(admin))
    (folder / STORED).write_text(json.dumps(_stored(folder)))


def _front_desk() -> dict[str, Any]:
    return {
        "name": "Front desk",
        "llm_provider_config": {"api_key": SECRETS["/llm_provider_config/api_key"]},
        "llm_settings": {"system_prompt": "Be kind.", "top_p": 0.9},
        "webhook_headers": {"X-Token": SECRETS["/webhook_headers/X-Token"]},
        "messaging_service_sid": "MG-plain-before",
        "end_call_message": "Bye",
        "transfer_call_message": "One moment|please hold",
        "idle_timeout": 20,
        "rag_settings": {"chunking_strategy": "fixed", "search_limit": 9},
        "custom_settings": {"campaign": {"name": "spring", "limit": 1}},
        "tools_settings": {"custom_tools": [{"tool_id": 7, "note": " as it was \r\n"}]},
        "llm_fallback_providers": {
            "enabled": True,
            "fallbacks": [
                {
                    "provider": "anthropic",
                    "model": "claude",
                    "api_key": SECRETS["/llm_fallback_providers/fallbacks/0/api_key"],
                }
            ],
        },
    }


def _changes() -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = [
        {"end_call_message": "Goodbye", "messaging_service_sid": "MG-plain-after"},
        {"backchannel_settings": {"enabled": True, "frequency": 5}},
        {"transfer_call_message": "Hold on|thanks", "idle_timeout": 30},
        {"recording_settings": {"format": "wav", "studio": "north"}},
    ]
    changes += [{"llm_settings": {"max_tokens": 100 + n}} for n in range(VERSIONS - len(changes))]
    return changes


def _export(admin: httpx.Client) -> bytes:
    answer = admin.get("/api/v1/audit/export", params={"format": "ndjson"})
    ok_status = answer.status_code == 200
    assert ok_status, answer.text
    return answer.content


def _stored(folder: Path) -> list[str]:
    """Every stored event as it is, of the only organization."""
    engine = reading_engine(folder / FILE)
    with engine.connect() as connection:
        query = sa.select(events.c.body).order_by(events.c.sequence)
        rows = connection.scalars(query).all()
    engine.dispose()
    return [row.decode() for row in rows]


# -- with the changed tree


def check(folder: Path) -> None:
    """Hold a release with other settings against what is expected of it."""
    expected = json.loads((folder / "expected.json").read_text())
    organization = msgspec.json.decode(
        (folder / "organization.json").read_bytes(), type=Organization
    )
    unfolded = _states(folder)
    with (
        serving(folder / FILE, [organization]) as server,
        server.client(organization.admin) as admin,
    ):
        assert _states(folder) == unfolded, "folded from the events, and from the views"
        _Checks(server, organization, admin, expected).run()
        exported = _export(admin)
        key = admin.get("/api/v1/audit/key").content
    before = (folder / LINES).read_bytes().splitlines()[:-1]
    assert exported.splitlines()[: len(before)] == before
    verify.verify(exported.splitlines(keepends=True), verify.read_keys(key))
    stored = json.loads((folder / STORED).read_text())
    assert _stored(folder)[: len(stored)] == stored
    engine = reading_engine(folder / FILE)
    with engine.connect() as connection:
        assert list(differences(connection, lambda _: None)) == []
        assert log_proofs.first_unproven(connection, organization.id, lambda _: None) is None
    engine.dispose()


def _states(folder: Path) -> list[Any]:
    engine = reading_engine(folder / FILE)
    with engine.connect() as connection:
        ids = log_head.organization_ids(connection)
        states = [
            current.load(connection, one, assistant)
            for one in ids
            for assistant in (FRONT, DELETED, OTHER)
        ]
    engine.dispose()
    return [json.loads(msgspec.json.encode(state)) for state in states]


class _Checks:
    def __init__(
        self,
        server: Server,
        organization: Organization,
        admin: httpx.Client,
        expected: dict[str, Any],
    ) -> None:
        self.server = server
        self.organization = organization
        self.admin = admin
        self.expected = expected
        self.front = f"{ASSISTANTS}/{FRONT}"

    def run(self) -> None:
        self.current_view_and_list()
        self.every_version()
        self.history_diff_and_blame()
        self.secrets()
        self.console()
        self.going_back()
        self.current_view_and_list()
        self.erasing()

    def get(self, address: str, **query: Any) -> Any:
        answer = self.admin.get(address, params=query)
        for text in self.expected["never"]:
            assert text not in answer.text, f"{answer.request.url} shows {text}"
        return ok(answer)

    def complete(self, shown: dict[str, Any]) -> dict[str, Any]:
        """The settings of an answer, which has every setting of the release and no other."""
        settings = {name: value for name, value in shown.items() if name not in META}
        assert settings.keys() == shape.SETTINGS.members.keys()
        assert pointers.same(shape.with_defaults(settings), settings), "a member is missing"
        for path in self.expected["gone"]:
            assert pointers.at(settings, path) is msgspec.UNSET, path
        return settings

    def current_view_and_list(self) -> None:
        listed = {one["id"]: one for one in self.get(ASSISTANTS)}
        for number in (FRONT, OTHER):
            shown = self.get(f"{ASSISTANTS}/{number}")
            assert listed[number] == shown
            settings = self.complete(shown)
            for path, value in self.expected["now"].get(str(number), {}).items():
                assert pointers.same(at(settings, path), value), (path, at(settings, path))

    def every_version(self) -> None:
        newest = self.get(self.front)
        for version in sorted({*LOOKED_AT, *range(VERSIONS, newest["version"] + 1)}):
            settings = self.complete(self.get(self.front, version=version))
            for path, value in self.expected["then"].get(str(version), {}).items():
                assert pointers.same(at(settings, path), value), (version, path)
        assert self.complete(self.get(self.front, version="label:stable"))
        assert self.get(self.front, version="latest") == newest

    def history_diff_and_blame(self) -> None:
        history = f"{self.front}/settings-history"
        entries = self.get(history, limit=100)
        for entry in entries:
            for path in entry["changes"]:
                assert shape.has(pointers.split(path["path"])), path
        snapshot = self.get(f"{history}/{entries[0]['version_id']}")
        assert snapshot["settings_snapshot"]
        found = self.get(f"{self.front}/diff", **{"from": 1, "to": "latest"})
        assert all(shape.has(pointers.split(one["path"])) for one in found)
        blamed = self.get(f"{self.front}/blame")
        assert all(shape.has(pointers.split(one["path"])) for one in blamed)
        self.get("/api/v1/audit/logs")

    def secrets(self) -> None:
        reveals = {**SECRETS, **self.expected["secrets"]}
        for old in self.expected["moved_secrets"]:
            del reveals[old]
        told = ok(self.admin.post(f"{self.front}/secrets/reveal", json={"paths": list(reveals)}))
        assert told["secrets"] == reveals

    def erasing(self) -> None:
        """What was made secret is revealed no more, also where nothing else was sealed."""
        sid = "/messaging_service_sid"
        if sid in self.expected["secrets"]:
            plain = f"{ASSISTANTS}/{PLAIN}"
            body = {"paths": [sid]}
            told = ok(self.admin.post(f"{plain}/secrets/reveal", json=body))
            assert told["secrets"] == {sid: PLAIN_SID}
            ok(self.admin.delete("/api/v1/vault/secrets"))
            for place in (plain, self.front):
                assert self.admin.post(f"{place}/secrets/reveal", json=body).status_code == 410

    def console(self) -> None:
        with Browser(self.server.url) as browser:
            browser.sign_in(self.organization.admin)
            for address in (f"/assistants/{FRONT}", f"/assistants/{FRONT}/history"):
                page = browser.get(address)
                assert page.status_code == 200
                for text in self.expected["never"]:
                    assert text not in page.text

    def going_back(self) -> None:
        before = self.get(self.front)
        for number, (patch, patched) in enumerate(self.expected["patches"]):
            reason = {"change_description": "Of the new release"}
            ok(self.admin.patch(self.front, json=patch | reason))
            settings = self.complete(self.get(self.front))
            for path, value in patched.items():
                assert pointers.same(at(settings, path), value), path
            self.undo(before["version"] + 1 + 2 * number, restore_secrets=True)
            undone = self.complete(self.get(self.front))
            assert not pointers.diff(self.complete(before), undone), patch
        self.undo(2)  # across the change of the settings
        self.undo(4)
        for version in (1, 5, before["version"]):
            body = {"to_version": version, "change_description": "Back"}
            ok(self.admin.post(f"{self.front}/rollback", json=body))
            then = self.complete(self.get(self.front, version=version))
            assert not pointers.diff(then, self.complete(self.get(self.front))), version
        ok(self.admin.post(f"{ASSISTANTS}/{DELETED}/restore", json={}))
        self.complete(self.get(f"{ASSISTANTS}/{DELETED}"))
        copy = ok(self.admin.post(f"{self.front}/duplicate"))
        self.complete(self.get(f"{ASSISTANTS}/{copy['id']}"))
        ok(
            self.admin.post(
                f"/api/v1/change-sets/{CHANGE_SET}/revert", json={"on_conflict": "force"}
            )
        )

    def undo(self, version: int, **wanted: Any) -> None:
        body = {"version": version, "on_conflict": "force", "change_description": "Undone"}
        ok(self.admin.post(f"{self.front}/undo", json=body | wanted))


def at(settings: dict[str, Any], path: str) -> Any:
    """What stands at a place, in lists too."""
    found: Any = settings
    for token in pointers.split(path):
        found = found[int(token)] if isinstance(found, list) else found[token]
    return found


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
