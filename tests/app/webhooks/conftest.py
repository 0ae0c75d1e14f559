from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.webhooks import delivering
from tests.conftest import make_organizations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    make_organizations(path, 2)
    return path


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn takes the time that it takes, on a machine that does much else."""
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 60)
