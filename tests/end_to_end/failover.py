"""A cluster of PostgreSQL servers under Patroni, with etcd, each of which can be killed.

Debian has all of it: ``apt-get install patroni etcd-server postgresql``.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa
import yaml
from msgspec import Struct

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_USER = "postgres"  # the server refuses to run as root
_NODES = 3
_SECONDS = 120
_TTL = 20  # seconds after which a silent leader has lost its place: the least that Patroni takes
IS_INSTALLED = bool(shutil.which("patroni") and shutil.which("etcd") and _BINARIES)


class Node(Struct):
    """One server, and the Patroni that looks after it."""

    number: int
    folder: Path
    port: int
    api: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"node{self.number}"

    def start(self) -> None:
        self.process = _start(self.folder, "patroni", str(self.folder / "patroni.yml"))

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_leader(self) -> bool:
        return self._answers("primary")

    def follows(self) -> bool:
        return self._answers("replica?lag=1MB")

    def _answers(self, path: str) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.api}/{path}", timeout=2).status_code == 200
        return False

    def kill(self) -> None:
        """End the server and its Patroni at once, as when the machine loses its power."""
        assert self.process is not None
        for one in [psutil.Process(self.process.pid), *self._server()]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()

    def fall_silent(self) -> None:
        """Send no standby anything more, as behind a network that loses everything."""
        for one in self._server():
            if "walsender" in " ".join(one.cmdline()):
                one.send_signal(signal.SIGSTOP)

    def _server(self) -> list[psutil.Process]:
        """The server's processes, which are not Patroni's children: they outlive it."""
        with suppress(OSError, psutil.NoSuchProcess):
            number = (self.folder / "data" / "postmaster.pid").read_text().partition("\n")[0]
            first = psutil.Process(int(number))
            return [first, *first.children(recursive=True)]
        return []


class Cluster:
    """The servers, one of which leads. It answers writes once a standby has them, too."""

    def __init__(self, folder: Path, *, is_synchronous: bool) -> None:
        shutil.chown(folder, _USER)
        client, peer = _free_port(), _free_port()
        store = _folder(folder / "etcd")
        self._etcd = _start(
            store,
            "etcd",
            *(
                "--data-dir",
                str(store / "data"),
                "--initial-cluster",
                f"default=http://127.0.0.1:{peer}",
            ),
            *("--listen-client-urls", f"http://127.0.0.1:{client}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{client}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        )
        self.nodes = [
            Node(number, _folder(folder / f"node{number}"), _free_port(), _free_port())
            for number in range(_NODES)
        ]
        for node in self.nodes:
            settings = _settings(node, client, is_synchronous=is_synchronous)
            (node.folder / "patroni.yml").write_text(yaml.safe_dump(settings))
            node.start()
        try:
            self.wait_until_whole()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """All servers: a client looks for the leader among them."""
        hosts = [f"127.0.0.1:{node.port}" for node in self.nodes]
        query = {"host": hosts, "target_session_attrs": "primary"}
        url = sa.URL.create("postgresql", username=_USER, database="postgres", query=query)
        return url.render_as_string(hide_password=False)

    def leader(self) -> Node:
        """The one that leads now."""
        found: Node = wait_for(lambda: next((one for one in self.nodes if one.is_leader()), None))
        return found

    def wait_until_whole(self) -> None:
        """Return once one leads, and all others follow."""
        leader = self.leader()
        others = [node for node in self.nodes if node is not leader]
        wait_for(lambda: all(node.follows() for node in others))

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        self._etcd.kill()
        self._etcd.wait()


@contextmanager
def cluster(folder: Path, *, is_synchronous: bool = True) -> Iterator[Cluster]:
    made = Cluster(folder, is_synchronous=is_synchronous)
    try:
        yield made
    finally:
        made.close()


def wait_for(found: Callable[[], Any]) -> Any:
    """What is found, once it is."""
    until = time.monotonic() + _SECONDS
    while not (value := found()):
        assert time.monotonic() < until, "the cluster is not as it should be"
        time.sleep(0.1)  # a pace
    return value


def _settings(node: Node, etcd: int, *, is_synchronous: bool) -> dict[str, Any]:
    return {
        "scope": "backstory",
        "name": node.name,
        "restapi": _address(node.api),
        "etcd3": {"host": f"127.0.0.1:{etcd}"},
        "bootstrap": {
            "dcs": {
                "ttl": _TTL,
                "loop_wait": 1,
                "retry_timeout": 3,
                "synchronous_mode": is_synchronous,
                "synchronous_mode_strict": is_synchronous,
                "postgresql": {"use_pg_rewind": True},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
        },
        "postgresql": {
            **_address(node.port),
            "data_dir": str(node.folder / "data"),
            "bin_dir": str(_BINARIES[-1]),
            "pgpass": str(node.folder / "pgpass"),
            "authentication": {
                "superuser": {"username": _USER},
                "replication": {"username": _USER},
            },
            "parameters": {"unix_socket_directories": str(node.folder), "max_connections": 200},
            "pg_hba": [
                "local all all trust",
                "host all all 127.0.0.1/32 trust",
                "host replication all 127.0.0.1/32 trust",
            ],
        },
    }


def _address(port: int) -> dict[str, str]:
    return {"listen": f"127.0.0.1:{port}", "connect_address": f"127.0.0.1:{port}"}


def _start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, user=_USER, group=_USER
        )


def _folder(path: Path) -> Path:
    path.mkdir()
    shutil.chown(path, _USER, _USER)
    path.chmod(0o700)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port
