"""Bodies with credentials for tests, and what of them is sealed."""

from __future__ import annotations

from typing import Any

from events.bodies.patch import read_patch
from events.commands import ChangeSettings
from events.pointers import Tree
from events.policy import Policy
from events.secrets.masks import MASK
from events.secrets.references import URL, mask, places
from tests.events.given import Given, create, given, secret, sent_to

RANDOM = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"


def custom(value: Any) -> Tree:
    return {"custom_settings": {"crm": value}}


def tool(members: Tree) -> Tree:
    return {"tools_settings": {"custom_tools": [{"tool_id": "t"} | members]}}


def sealed_at(body: Tree) -> list[str]:
    """Where a body's secrets stand in the settings that it makes."""
    settings = given().after(create(body)).state.settings
    return ["/".join(one.at) for one in places(settings)]


def shown(body: Tree) -> Tree:
    settings: Tree = mask(given().after(create(body)).state.settings)
    return settings


def resend(
    assistant: Given, body: Tree, policy: Policy | None = None, *, base: Tree | None = None
) -> ChangeSettings:
    """What a PATCH of the body becomes, as ``app.transactions.unit_of_work`` does it."""
    return sent_to(assistant, read_patch(body), policy, base=base)


REFERENCE = secret("1.a") | {URL: "https://h/?a=&b="}
ADDRESS = f"https://u:p@h/?api_key={RANDOM}&x=1"
MASKED = f"https://{MASK}@h/?api_key={MASK}&x=1"


def with_url(url: str) -> Tree:
    return {"webhook_url": url}
