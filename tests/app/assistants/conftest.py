"""One organization for each file of tests, and a client for each of its roles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.app import stored
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.conftest import Organization, Server


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture(scope="module")
def runtime(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    """A viewer who may reveal secrets."""
    with server.client(organization.runtime) as client:
        yield client


@pytest.fixture
def rows(server: Server, organization: Organization) -> Callable[[], Any]:
    """All rows of the organization."""
    return partial(stored.rows, server.database, organization.id)


@pytest.fixture
def path(assistant: dict[str, Any]) -> str:
    """The address of a new assistant."""
    return f"{ASSISTANTS}/{assistant['id']}"
