"""PgBouncer between a server of the tests and the test's own PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.storage.postgresql import POOL_MODE, TRANSACTION
from tests.databases import server, url_of

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
needs_pgbouncer = pytest.mark.skipif(
    not Path(PGBOUNCER).exists(), reason="pgbouncer is not installed"
)
_CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 200
ignore_startup_parameters = {ignored}
"""
_IGNORED = (  # or it would refuse every connection of the service
    "options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,"
    "synchronous_commit,default_transaction_read_only,jit"
)


@contextmanager
def pooler(database: Path, mode: str, sessions: int = 60) -> Iterator[sa.URL]:
    """The database's address through a pooler that has so many sessions of the server."""
    url, direct = url_of(database), server()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    host = str(direct.query.get("host", direct.host))
    parts = {
        "host": host,
        "port": direct.port,
        "user": direct.username,
        "password": direct.password,
    }
    text = _CONFIGURATION.format(
        server=" ".join(f"{name}={value}" for name, value in parts.items() if value),
        listens=port,
        mode=mode,
        sessions=sessions,
        ignored=_IGNORED,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pgbouncer.ini")
        file.write_text(text)
        Path(folder).chmod(0o755)
        command = [PGBOUNCER, "-q", str(file)]
        if os.getuid() == 0:  # it does not run as root
            command[1:1] = ["-u", pwd.getpwuid(_owner(host)).pw_name]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while True:
                    assert process.poll() is None, "pgbouncer did not start"
                    with socket.socket() as caller:
                        if caller.connect_ex(("127.0.0.1", port)) == 0:
                            break
                yield url.set(host="127.0.0.1", port=port, query={})
            finally:
                process.terminate()


def _owner(host: str) -> int:
    """Who may use the socket, where the server listens on one."""
    return Path(host).stat().st_uid if host.startswith("/") else 65534


def announced(url: sa.URL) -> str:
    """The address, which says that the pooler gives each transaction a session of its own."""
    return url.update_query_dict({POOL_MODE: TRANSACTION}).render_as_string(hide_password=False)
