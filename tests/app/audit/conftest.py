"""Fixtures of the tests of the audit log: one server with written logs for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from app import main
from app.accounts import tokens
from app.audit import verify
from tests.app.audit import built_exports
from tests.app.audit.log_reader import (
    AUDIT,
    KEYS,
    create_assistant,
    eventually,
    midnight,
    try_key,
)
from tests.app.audit.proof_checker import EVENTS, Log, begin, tree_root
from tests.app.audit.written_logs import Filled, Written, write, write_heavy, write_varied, writing
from tests.app.standing_clock import Clock
from tests.conftest import (
    ASSISTANTS,
    Server,
    make_organizations,
    serving,
)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("written")
    database = folder / "backstory.db"
    *waiting, brief, heavy, varied = make_organizations(database, 60)
    write(
        database,
        write_varied(varied.id, 3000),
        write_varied(brief.id, 1200),
        write_heavy(heavy.id, 2500),
    )
    return Written(folder=folder, waiting=waiting, varied=varied, brief=brief, heavy=heavy)


@pytest.fixture(scope="session")
def filled(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    database = written.copy(tmp_path_factory.mktemp("filled"))
    with pytest.MonkeyPatch.context() as patch:
        # A test fills the log of writes in less than the second between two checkpoints.
        patch.setattr(main, "_DISK_SECONDS", 0.05)
        with serving(database, [*written.waiting]) as server:
            yield Filled(
                server=server, varied=written.varied, brief=written.brief, heavy=written.heavy
            )


@pytest.fixture(scope="session")
def varied(filled: Filled) -> Iterator[httpx.Client]:
    """An admin's client of the log of many small events."""
    with filled.server.client(filled.varied.admin) as client:
        yield client


@pytest.fixture(scope="session")
def writer(filled: Filled) -> Iterator[Callable[[], None]]:
    """What adds an event to the log of many small ones."""
    with writing(filled.server, filled.varied) as add:
        yield add


@pytest.fixture(scope="session")
def searched(server: Server) -> Iterator[httpx.Client]:
    """An admin's client of an organization with a log of everything that two users did."""
    organization = server.organization()
    with (
        server.client(organization.editor) as editor,
        server.client(organization.admin) as admin,
        server.client(organization.runtime) as runtime,
    ):
        for n in range(8):
            path = f"{ASSISTANTS}/{create_assistant((editor, admin)[n % 2])}"
            (admin, editor)[n % 2].patch(path, json={"description": f"{n}"})
            runtime.post(f"{path}/secrets/reveal", json={"paths": ["/api_keys"]})
            key = admin.post(KEYS, json={"name": f"Key {n}"}).json()
            admin.put(f"{KEYS}/{key['api_key']['id']}", json={"name": f"Key {n}b"})
            if n % 3 == 0:
                admin.delete(f"{KEYS}/{key['api_key']['id']}")
                try_key(server, key["key"])
                editor.delete(path)
        try_key(server, tokens.make_token(organization.id))
        eventually(admin, 4)
        admin.get(f"{AUDIT}/export")
        yield admin


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Clock]]:
    """A server whose clock stands still until it is set."""
    database = tmp_path_factory.mktemp("timed") / "backstory.db"
    waiting = make_organizations(database, 6)
    clock = Clock(midnight())
    with serving(database, waiting, clock, clock.monotonic) as server:
        yield server, clock


@pytest.fixture(scope="session")
def log(server: Server) -> Iterator[Log]:
    """A log of 41 events, which no test changes."""
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        for number in range(1, EVENTS):
            log.change(number)
        yield log


@pytest.fixture(scope="session")
def roots(log: Log) -> list[bytes]:
    """Of the tree of each size."""
    leaves = log.leaves
    assert len(leaves) == EVENTS
    return [tree_root(leaves[:size]) for size in range(EVENTS + 1)]


@pytest.fixture(scope="session")
def known() -> list[verify.Log]:
    """The verifier's state before each line of the built export."""
    return built_exports.states(built_exports.LINES, built_exports.KEYS)
