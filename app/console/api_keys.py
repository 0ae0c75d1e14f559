"""API keys: all of the organization, a form that creates one, and a page of each. For admins."""

from __future__ import annotations

import shlex
from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.accounts.principals import RESOLVE, REVEAL, Role, effective
from app.api.access import ADMIN
from app.api.routing import API
from app.console import texts
from app.console.api_client import segment
from app.console.audit import key_names
from app.console.forms import Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor

_KEYS = "/users/me/api-keys"
_SCOPES = {"reveals": REVEAL, "resolves": RESOLVE}  # by the name of the field
_LATEST = 10  # events of a key
_LOOKED_AT = 200  # newest events of its owner, who may have several keys


@get("/", opt=ADMIN)
async def show_keys(request: PageRequest) -> Template:
    """Every key of the organization, and a form that creates one."""
    return await _page(request.visitor)


@post("/", opt=ADMIN, status_code=HTTPStatus.OK)
async def create_key(request: PageRequest) -> Template:
    """Create a key, and show it: this page is the only one that does."""
    visitor, form = await submitted(request)
    body = {
        "name": first(form, "name"),
        "role": first(form, "role") or "viewer",
        "scopes": [scope for name, scope in _SCOPES.items() if name in form],
    }
    answer = await visitor.send("POST", _KEYS, body=body, headers=idempotency(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _page(visitor, form, sentences(answer.data))
    return await _page(visitor, created=answer.or_raise(), url=str(request.base_url).rstrip("/"))


@get("/{key_id:str}", opt=ADMIN)
async def show_key(request: PageRequest, key_id: FromPath[str]) -> Template:
    """One key: what it may do, who made it, and what it did lately."""
    return await _key_page(request.visitor, key_id)


@post("/{key_id:str}", opt=ADMIN, status_code=HTTPStatus.OK)
async def change_key(request: PageRequest, key_id: FromPath[str]) -> Redirect | Template:
    """Rename a key, revoke it, or activate it again."""
    visitor, form = await submitted(request)
    body: dict[str, Any] = {"name": first(form, "name")} if "name" in form else {}
    if "is_active" in form:
        body["is_active"] = first(form, "is_active") == "true"
    path = f"{_KEYS}/{segment(key_id)}"
    answer = await visitor.send("PUT", path, body=body, headers=idempotency(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _key_page(visitor, key_id, sentences(answer.data))
    answer.or_raise()
    return redirect(f"/keys/{segment(key_id)}")


async def _page(
    visitor: Visitor,
    typed: Form | None = None,
    errors: list[str] | None = None,
    created: dict[str, Any] | None = None,
    url: str = "",
) -> Template:
    answer = await visitor.get(_KEYS)
    errors = list(errors or ())
    # A new key is shown even where the list cannot be read.
    is_key_alone = created is not None and answer.is_problem
    if is_key_alone:
        errors += sentences(answer.data)
    return page(
        "keys",
        visitor,
        HTTPStatus.UNPROCESSABLE_ENTITY if errors and created is None else HTTPStatus.OK,
        keys=[] if is_key_alone else answer.or_raise(),
        roles=[role.name for role in Role],
        typed=typed or {},
        errors=errors,
        created=created,
        **(_uses(created["key"], url) if created else {}),
    )


def _uses(key: str, url: str) -> dict[str, str]:
    """How to use a key at this server, as commands that work when pasted."""
    header, address = f"Authorization: Bearer {key}", f"{url}{API}/assistants"
    sdk = (
        "from burki import BurkiClient",
        f"client = BurkiClient(api_key={key!r}, base_url={url!r})",
        "print(client.assistants.list())",
    )
    return {
        "use_curl": shlex.join(["curl", "-H", header, address]),
        "use_sdk": "\n".join(sdk),
    }


async def _key_page(visitor: Visitor, key_id: str, errors: list[str] | None = None) -> Template:
    keys = (await visitor.get(_KEYS)).or_raise()
    key = next((one for one in keys if str(one["id"]) == key_id), None)
    if key is None:
        raise NotFoundException(detail=texts.Problem.no_page)
    admins = [one for one in keys if one["is_active"] and one["role"] == Role.admin.name]
    users = (await visitor.get("/users")).or_raise()
    role = effective(Role[key["role"]], key["permissions"])
    about = await _events(visitor, resource_type="api_key", resource_id=key_id)
    return page(
        "key",
        visitor,
        HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        key=key,
        errors=errors or [],
        is_own=key["id"] == visitor.principal.key_id,
        is_last_admin=admins == [key],
        owner=next(user["name"] for user in users if user["id"] == key["user_id"]),
        role=role.name,
        may={one.name: role >= one for one in Role} | {"reveal": key["permissions"].get(REVEAL)},
        made_by=_maker(about),
        events=await _latest(visitor, key, about),
        key_names=await key_names(visitor),
    )


async def _events(visitor: Visitor, **query: Any) -> list[dict[str, Any]]:
    answer = await visitor.get("/audit/logs", limit=_LOOKED_AT, **query)
    events: list[dict[str, Any]] = answer.or_raise()["logs"]
    return events


def _maker(about: list[dict[str, Any]]) -> str | None:
    """Who made a key, by the events about it."""
    for event in about:
        if event["event_type"] == "api_key_created":
            return str(event["details"]["actor_name"])
    return None


async def _latest(
    visitor: Visitor, key: dict[str, Any], about: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The newest events that a key caused or that are about it."""
    actor = f"api_key:{key['id']}"
    of_owner = await _events(visitor, user_id=key["user_id"])
    by_key = [event for event in of_owner if event["details"]["actor"] == actor]
    found = {event["id"]: event for event in by_key + about}
    return sorted(found.values(), key=lambda event: -event["id"])[:_LATEST]


ROUTER = Router("/keys", route_handlers=[show_keys, create_key, show_key, change_key])
