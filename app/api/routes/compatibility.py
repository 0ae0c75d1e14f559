"""Endpoints that the contract has and this service has no data for: voices."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import QueryParameter

from app.api import routing
from app.api.access import PUBLIC, VIEWER
from app.api.openapi.operations import Answer, operation
from app.api.providers import PROVIDERS


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An LLM provider that assistants can use."""

    name: str
    models: list[str]
    default_model: str | None


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """The LLM providers by their key."""

    providers: dict[str, Provider]


class ClonedVoices(msgspec.Struct, frozen=True, kw_only=True):
    """The organization's cloned voices."""

    success: bool
    cloned_voices: list[dict[str, Any]]


@get(
    "/cloned-voices",
    opt=VIEWER,
    summary="List cloned voices",
    operation_class=operation(
        Answer(ClonedVoices, example={"success": True, "cloned_voices": []}),
        errors=(422,),
    ),
)
async def list_cloned_voices(
    status: Annotated[str | None, QueryParameter()] = None,
    provider: Annotated[str | None, QueryParameter()] = None,
) -> ClonedVoices:
    """Always empty: this service has no voices."""
    del status, provider
    return ClonedVoices(success=True, cloned_voices=[])


@get(
    "/providers",
    opt=PUBLIC,
    summary="List LLM providers",
    operation_class=operation(Answer(Providers), public=True, errors=(429,)),
)
async def list_providers() -> Providers:
    """The providers that assistants can name; needs no key."""
    return Providers(providers={key: Provider(**value) for key, value in PROVIDERS.items()})


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[list_cloned_voices, list_providers],
    tags=["Assistants"],
)
