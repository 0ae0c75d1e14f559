from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_organizations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    make_organizations(path, 2)
    return path
