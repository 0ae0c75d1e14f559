"""A setting that is added to the settings is on the console's page without another list."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from app.api.providers import PROVIDERS
from app.console import rows
from events import shape

_AFTER = "\n\nSETTING_NAMES = "
_NEW = """\
    mood: Annotated[Literal["calm", "lively"], _voice] = "calm"
    retries: Annotated[Literal[1, 2, 3], Meta(extra={"group": "New things", "label": "Tries"})] = 2
    small_talk: bool = False
    pause_lengths: list[float] = field(default_factory=lambda: [0.5])
    spare_keys: list[Secret] = field(default_factory=list)
    shop: Annotated[EndCallTool, _defaults, _tools] = field(default_factory=EndCallTool)
"""
_NESTED = "    max_tokens: Annotated[\n"
_SCRIPT = """
import json
from app.console import edits, fields
from app.console.rendering import templates
from events.settings import Settings
from msgspec import to_builtins

shown = to_builtins(Settings(name="Front desk"))
found = fields.all_fields(shown)
edit = edits.edit(found, {one.path: [one.text] for one in found}, shown)
assert edits.operations(shown, edit.edited) == []
form = {"/retries": ["3"], "/pause_lengths": ["[0.5, 1.0]"], "/small_talk": ["on"]}
made = edits.edit(found, form, shown).edited
titles = {
    group.title: {one.path: [one.section, one.label, one.kind] for one in group.fields}
    for group in fields.groups(shown)
}
print(json.dumps([titles, edits.operations(shown, made)]))
"""


def shown_by(tree: Path) -> Any:
    """The groups of a tree's console, and the operations of an edit of some new settings."""
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=tree, capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the application, with settings that came later."""
    root = Path(app.__file__).parent.parent
    for name in ("app", "events", "projections"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = tmp_path / "events" / "settings.py"
    text = settings.read_text("utf-8")
    assert text.count(_AFTER) == text.count(_NESTED) == 1
    text = text.replace(_AFTER, _NEW + _AFTER)
    settings.write_text(text.replace(_NESTED, "    min_tokens: int = 1\n" + _NESTED), "utf-8")
    return tmp_path


def test_a_new_setting_stands_in_its_group_or_in_the_last_one(tree: Path) -> None:
    groups, operations = shown_by(tree)
    assert list(groups) == [
        "Essentials", "General", "Model and prompt", "Voice", "Transcription", "Calling", "Tools",
        "Knowledge", "After the call", "Safety", "New things",
    ]  # fmt: skip
    assert groups["Voice"]["/mood"] == ["", "Mood", "choice"]
    assert groups["New things"] == {"/retries": ["", "Tries", "choice"]}
    assert groups["Model and prompt"]["/llm_settings/min_tokens"] == [
        "Model", "Min tokens", "integer",
    ]  # fmt: skip
    assert groups["Tools"]["/shop/enabled"] == ["Shop", "End call tool", "switch"]
    general = groups["General"]
    assert (general["/small_talk"][2], general["/pause_lengths"][2]) == ("switch", "json")
    assert general["/spare_keys"][2] == "json"
    assert operations == [
        {"op": "replace", "path": "/retries", "value": 3},
        {"op": "replace", "path": "/small_talk", "value": True},
        {"op": "replace", "path": "/pause_lengths", "value": [0.5, 1.0]},
    ]


def test_only_providers_and_models_that_the_service_knows_are_suggested() -> None:
    stt = shape.SETTINGS.members["stt_settings"]
    assert isinstance(stt.shape, shape.Record)
    known = {stt.default["provider"]} | {
        name.removesuffix("_config") for name in stt.shape.members if name.endswith("_config")
    }
    assert set(rows.LISTENERS) <= known
    chosen = {"llm_provider": "anthropic"}
    models = rows.suggestions("/llm_provider_config/model", chosen)
    assert models == tuple(PROVIDERS["anthropic"]["models"])
    assert rows.suggestions("/tts_settings/provider", chosen) == ()
