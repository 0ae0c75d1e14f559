"""The visitor of a page: their session and its key, checked before a page's request is read."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from litestar.exceptions import NotFoundException

from app.accounts import sessions
from app.accounts.principals import Principal, Role
from app.accounts.sessions import Session
from app.api import access, methods
from app.api.request import ApiRequest
from app.console import cookies, texts
from app.console.api_client import ApiClient
from app.console.cookies import SignedOut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from litestar import Response

    from app.transactions.unit_of_work import UnitOfWork

# Path parameters; a version may be a name.
_IDS = frozenset(("assistant_id", "key_id", "change_set_id"))
_ID = re.compile(r"[0-9]+")


class PageRequest(ApiRequest):
    """A request for a page of the console."""

    @property
    def visitor(self) -> Visitor:
        """The signed-in visitor; only on routes that need a role."""
        visitor: Visitor = self.state.visitor
        return visitor


class Visitor(ApiClient):
    """A signed-in operator, and the API as their key sees it."""

    def __init__(self, request: ApiRequest, principal: Principal, session: Session) -> None:
        super().__init__(request, principal)
        self._session = session

    @property
    def token(self) -> str:
        """The token that each form of the session carries."""
        return self._session.token

    @property
    def may_edit(self) -> bool:
        """Whether the key's role permits changes."""
        return self.principal.role >= Role.editor

    @property
    def is_admin(self) -> bool:
        """Whether the key's role permits everything."""
        return self.principal.role >= Role.admin

    def now(self) -> datetime:
        """The server's time."""
        return self._request.services.clock()

    @staticmethod
    def idempotency_key() -> str:
        """A new ``Idempotency-Key`` for a form: a double click applies the form once."""
        return str(uuid.uuid4())

    async def sign_out(self) -> None:
        """End the session for every copy of its cookie."""
        organization_id, session = self.principal.organization_id, self._session

        def work(unit: UnitOfWork) -> None:
            long_ago = unit.longer_ago(organization_id, sessions.SESSIONS_KEPT)
            unit.save_time(organization_id)
            unit.write(
                sessions.end_session, organization_id, session.digest, session.expires_at, long_ago
            )

        await self._request.services.writer.write(organization_id, work)


async def before_request(request: PageRequest) -> Response[None] | None:
    """Admit a request for a page, or raise why it is refused.

    The rules are those of ``app.api.access``, with the session's key in place of the header's.
    Raises ``NotFoundException`` for an id in the path that is no number.
    """
    scope = request.scope
    access.check_headers(scope)
    if (answer := methods.options(request)) is not None:
        return answer
    needed = access.needed_role(scope)
    if needed is not None:
        access.check_role(scope, (await _identify(request)).principal, needed)
    access.check_length(scope)
    _check_ids(request.path_params)
    return None


async def _identify(request: PageRequest) -> Visitor:
    """The visitor; raises ``SignedOut``, also where the key was revoked or the session ended.

    The page counts as a request of the key; raises ``LimitExceeded``.
    """
    session = cookies.read(request)
    principal = await cookies.principal_of(request, session.key)
    if principal is None:
        raise SignedOut
    request.scope["principal"] = principal  # type: ignore[typeddict-unknown-key]  # for the log
    request.services.rate_limits.take(principal)
    if await request.services.database.read(
        sessions.is_session_ended, principal.organization_id, session.digest
    ):
        raise SignedOut
    visitor = Visitor(request, principal, session)
    request.state.visitor = visitor  # for the page, and for an error's page
    return visitor


def _check_ids(parameters: Mapping[str, Any]) -> None:
    """The API has routes beside its ids, such as ``/assistants/count``: no id may name one."""
    for name in _IDS.intersection(parameters):
        if not _ID.fullmatch(parameters[name]):
            raise NotFoundException(detail=texts.Problem.no_page)
