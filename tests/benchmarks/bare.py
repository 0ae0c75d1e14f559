"""The limits: handlers that store nothing, behind the same log and authentication.

``python -m tests.benchmarks.bare DATABASE_URL FILE``: GET returns the bytes of a file. PATCH parses
a body, merges it into what the file holds, and encodes the result.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import uvicorn
from litestar import Litestar, Request, get, patch

from app import log
from app.accounts.authenticator import Authenticator
from app.accounts.failed_logins import FailedLogins
from app.accounts.login_limit import LoginLimit
from app.accounts.logins import Logins
from app.api.middleware import request_log
from app.api.middleware.authentication import Authentication
from app.cli.protocol.trailers import TrailersProtocol
from app.config import Config, read_config
from app.services import utc_now
from app.storage.database import Database
from app.vault.keys import open_vault

if TYPE_CHECKING:
    from litestar.types import ASGIApp

    from app.transactions.write_queue import WriteQueue


PATH = "/bare"
_FOREVER = timedelta(days=1)


def create_app(config: Config, body: bytes) -> ASGIApp:
    """The application; its database is read once, for the key."""
    authenticator = Authenticator(Database(config.url), open_vault(config), utc_now, _FOREVER)
    logins = Logins(
        authenticator=authenticator,
        # The benchmark's keys are good, so that nothing is recorded.
        failed=FailedLogins(cast("WriteQueue", None), time.monotonic),
        limit=LoginLimit(None, time.monotonic),
    )
    settings = msgspec.json.decode(body)

    @get(PATH, media_type="application/json")
    async def bare() -> bytes:
        return body

    @patch(PATH, media_type="application/json")
    async def merged(request: Request[Any, Any, Any]) -> bytes:
        return msgspec.json.encode(_merge(settings, msgspec.json.decode(await request.body())))

    routes = Litestar([bare, merged], openapi_config=None, logging_config=None)
    return request_log.RequestLog(Authentication(routes, lambda: logins))


def _merge(base: Any, edit: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(edit, dict):
        return edit
    return base | {name: _merge(base.get(name), member) for name, member in edit.items()}


class Server(uvicorn.Server):
    """Prints its URL once it listens, as ``backstory serve`` does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"http://{host}:{port}", flush=True)  # noqa: T201  # what it is run for


def serve(app: ASGIApp) -> None:
    """Serve as ``backstory serve`` does."""
    settings = uvicorn.Config(
        app,
        port=0,
        http=TrailersProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    Server(settings).run()


if __name__ == "__main__":
    _, url, file = sys.argv
    config = read_config(os.environ, database_url=url)
    log.configure(config)
    serve(create_app(config, Path(file).read_bytes()))
