"""A second release of the settings: a copy of the tree with some settings more.

Its processes are started as this release's are, with ``PYTHONPATH`` before everything.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
_ROOMS = ("app", "events", "projections")
# A line of ``events/settings.py``, and what stands before it in the newer release.
NEW_SETTINGS = {
    "    llm_provider: Annotated[str, _ignored]": (
        '    voicemail_message: str | None = "Please call again."\n'
        "    voicemail_key: Secret | None = None\n"
        "    consent_settings: Annotated[ConsentSettings, _defaults] = field(\n"
        "        default_factory=ConsentSettings\n"
        "    )\n"
    ),
    "    stop_sequences: list[str]": "    seed: Annotated[int, Meta(ge=0)] = 7\n",
    "    config: FreeForm | None = field(default_factory=dict)\n\n\nclass LLMFallbackSettings": (
        "    timeout: float = 30.0\n"
    ),
    "class Settings(Struct": (
        "class ConsentSettings(Struct, frozen=True, kw_only=True):\n"
        '    """Whether callers are asked."""\n\n'
        "    asks: bool = False\n"
        "    question: str | None = None\n\n\n"
    ),
}


def make(folder: Path, added: Mapping[str, str] = NEW_SETTINGS) -> Path:
    """The tree of another release, in a folder that is not there yet."""
    for room in _ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    settings = folder / "events" / "settings.py"
    text = settings.read_text()
    for line, before in added.items():
        assert text.count(line) == 1, line
        text = text.replace(line, before + line)
    settings.write_text(text)
    return folder
