"""The organization's users, who own its API keys. For admins."""

from __future__ import annotations

from litestar import get

from app.accounts import organizations
from app.accounts.organizations import User
from app.api import routing
from app.api.access import ADMIN
from app.api.examples import USER
from app.api.openapi.operations import Answer, operation
from app.api.request import ApiRequest


@get(
    "/",
    opt=ADMIN,
    summary="List users",
    operation_class=operation(Answer(User, example=[USER], many=True)),
)
async def list_users(request: ApiRequest) -> list[User]:
    """Oldest first. Filters of the audit log take their ids."""
    organization_id = request.principal.organization_id
    return await request.services.database.read(organizations.list_users, organization_id)


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/users", route_handlers=[list_users], tags=["API keys"]
)
