from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.events.log import Log, opened


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with opened(tmp_path_factory.mktemp("events") / "backstory.db") as made:
        yield made
