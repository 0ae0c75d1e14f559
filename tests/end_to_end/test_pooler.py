"""PgBouncer between the service and PostgreSQL: in session mode it serves, else it is refused.

In transaction mode one connection's transactions go to different sessions of the server, which
have neither the prepared statements nor the settings that the connection made before.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen, server, url_of, variables
from tests.end_to_end.processes import EQUAL, client, run, started

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
pytestmark = pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="pgbouncer is not installed")
_CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 60
max_client_conn = 200
ignore_startup_parameters = {ignored}
"""
_IGNORED = (  # or it would refuse every connection of the service
    "options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,"
    "synchronous_commit,default_transaction_read_only,jit"
)
_UNGUARDED = "from app.storage import postgresql\npostgresql.PostgreSQL.check = lambda _: None\n"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Organization]]:
    with chosen("postgresql"):
        path = tmp_path_factory.mktemp("pooled") / "backstory.db"
        yield path, make_organizations(path, 1)[0]


@contextmanager
def pooler(database: Path, mode: str) -> Iterator[sa.URL]:
    """The database's address through a pooler."""
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


@contextmanager
def two_servers(path: Path, url: sa.URL, preamble: str = "") -> Iterator[list[str]]:
    """Two processes on the database behind the pooler."""
    text = url.render_as_string(hide_password=False)
    settings = variables(url_of(path).render_as_string(hide_password=False))
    with ExitStack() as stack:
        urls = []
        for number in (1, 2):
            folder = path.parent / f"server-{number}-{url.port}"
            folder.mkdir()
            process = stack.enter_context(
                started(
                    folder,
                    *("serve", "--port", "0", "--database", text),
                    preamble=preamble,
                    BACKSTORY_LOG_LEVEL="warning",
                    **settings,
                )
            )
            assert process.stdout is not None
            urls.append(process.stdout.readline().strip())
            assert urls[-1].startswith("http://"), (folder / "log").read_text()
        yield urls


def count_acknowledged(urls: list[str], key: str, each: int) -> int:
    """How many of the writes of three clients at each process were answered as done."""

    def write(number: int) -> int:
        with client(urls[number % len(urls)], key) as caller:
            answers = [
                caller.post(ASSISTANTS, json={"name": f"Line {number}.{turn}"})
                for turn in range(each)
            ]
        return sum(answer.status_code == 201 for answer in answers)

    clients = 3 * len(urls)
    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(write, range(clients)))


@pytest.mark.long
def test_two_processes_write_through_a_pooler_in_session_mode(
    database: tuple[Path, Organization],
) -> None:
    """``pytest -m long -k pooler``."""
    path, organization = database
    with chosen("postgresql"), pooler(path, "session") as url, two_servers(path, url) as urls:
        assert count_acknowledged(urls, organization.admin, 25) == 150


@pytest.mark.long
def test_control_in_transaction_mode_writes_fail(database: tuple[Path, Organization]) -> None:
    """``pytest -m long -k pooler``."""
    path, organization = database
    with (
        chosen("postgresql"),
        pooler(path, "transaction") as url,
        two_servers(path, url, _UNGUARDED) as urls,
    ):
        acknowledged = count_acknowledged(urls, organization.admin, 25)
    assert acknowledged < 150


@pytest.mark.parametrize("command", ["serve --port 0", "serve --port 0 --workers 2", "check"])
def test_a_pooler_in_transaction_mode_is_refused_with_a_sentence(
    database: tuple[Path, Organization], command: str
) -> None:
    path, _ = database
    with chosen("postgresql"), pooler(path, "transaction") as url:
        text = url.render_as_string(hide_password=False)
        settings = variables(url_of(path).render_as_string(hide_password=False))
        refused = run(path.parent, *command.split(), "--database", text, **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert "pool_mode = session" in line


def test_control_in_session_mode_nothing_is_refused(database: tuple[Path, Organization]) -> None:
    path, _ = database
    with chosen("postgresql"), pooler(path, "session") as url:
        text = url.render_as_string(hide_password=False)
        settings = variables(url_of(path).render_as_string(hide_password=False))
        assert run(path.parent, "check", "--database", text, **settings).stdout == EQUAL
