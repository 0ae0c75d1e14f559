"""The ways to change an assistant, and what a policy makes of them."""

from __future__ import annotations

from typing import Any

import httpx
from msgspec import Struct

from tests.conftest import ASSISTANTS

POLICY = "/api/v1/policy"


SETS = "/api/v1/change-sets"


NONE: dict[str, Any] = {
    "require_condition": False,
    "require_reason": False,
    "require_reason_for": [],
    "admin_paths": [],
    "secret_paths": [],
    "plain_paths": [],
}


def ok(answer: httpx.Response, *statuses: int) -> Any:
    assert answer.status_code in (statuses or (200, 201)), answer.text
    return answer.json()


def newest(client: httpx.Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = ok(client.get(f"{path}/versions?limit=1"))[0]
    return found


class Way(Struct, frozen=True, kw_only=True):
    """A request that changes an assistant; ``touches`` is a path that it changes."""

    verb: str
    place: str  # below the assistant, or absolute
    body: Any = None
    kind: str = "application/json"
    touches: str | None = "/description"
    by_query: bool = False  # the reason stands in the query
    after: str = ""  # what must have been done: "deletion" or "set"

    @property
    def reason_at(self) -> list[str]:
        """Where the reason is missed: in the query where the body has no place for one."""
        in_query = self.by_query and not isinstance(self.body, dict)
        return ["query" if in_query else "body", "change_description"]


WAYS = {
    "patch": Way(verb="PATCH", place="", body={"description": "new"}),
    "merge patch": Way(
        verb="PATCH", place="", body={"description": "new"}, kind="application/merge-patch+json"
    ),
    "patch over a base": Way(verb="PATCH", place="", body={"description": "x", "base_version": 2}),
    "patch, said in the query": Way(
        verb="PATCH", place="", body={"description": "new"}, by_query=True
    ),
    "json patch": Way(
        verb="PATCH",
        place="",
        body=[{"op": "replace", "path": "/description", "value": "new"}],
        kind="application/json-patch+json",
        by_query=True,
    ),
    "put": Way(verb="PUT", place="", body={"description": "new"}),
    "status": Way(
        verb="PATCH", place="/status?is_active=false", touches="/is_active", by_query=True
    ),
    "delete": Way(verb="DELETE", place="", touches=None, by_query=True),
    "restore": Way(verb="POST", place="/restore", body={}, touches=None, after="deletion"),
    "rollback": Way(verb="POST", place="/rollback", body={"to_version": 1}),
    "rollback of a path": Way(
        verb="POST", place="/rollback", body={"to_version": 1, "paths": ["/description"]}
    ),
    "rollback to an entry": Way(verb="POST", place="/settings-history/2/rollback", body={}),
    "undo": Way(verb="POST", place="/undo", body={"version": 2}),
    "change set": Way(verb="POST", place=SETS, body={"patch": {"description": "new"}}),
    "revert": Way(verb="POST", place=f"{SETS}/{{set}}/revert", body={}, after="set"),
}


class Target(Struct, frozen=True, kw_only=True):
    """An assistant whose version 2 changed its description and its temperature."""

    path: str
    id: int
    set_id: int

    def ask(
        self,
        client: httpx.Client,
        way: Way,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send the request, with a reason where its kind takes one."""
        place = way.place.format(set=self.set_id)
        body = way.body
        options: dict[str, Any] = {}
        if way.place == SETS:
            body = body | {"assistant_ids": [self.id]}
        if reason is not None and way.by_query:
            options["params"] = {"change_description": reason}
            if "?" in place:
                place, _, query = place.partition("?")
                options["params"] |= dict([query.split("=")])
        elif reason is not None:
            body = body | {"change_description": reason}
        if body is not None:
            options["json"] = body
        sent = {"content-type": way.kind} | (headers or {})
        url = place if place.startswith("/api/") else f"{self.path}{place}"
        return client.request(way.verb, url, headers=sent, **options)


def make(editor: httpx.Client, way: Way) -> Target:
    """A target in the state which a way needs, before there is a policy."""
    made = ok(editor.post(ASSISTANTS, json={"name": "Front desk"}))["id"]
    path = f"{ASSISTANTS}/{made}"
    ok(editor.patch(path, json={"description": "v2", "llm_settings": {"temperature": 0.2}}))
    set_id = 0
    if way.after == "set":
        body = {"assistant_ids": [made], "patch": {"description": "set"}}
        set_id = ok(editor.post(SETS, json=body))["change_set_id"]
    if way.after == "deletion":
        ok(editor.delete(path))
    return Target(path=path, id=made, set_id=set_id)


def crm(**members: Any) -> dict[str, Any]:
    return {"custom_settings": {"crm": {"main": members}}}


def shown(assistant: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = assistant["custom_settings"]["crm"]["main"]
    return found
