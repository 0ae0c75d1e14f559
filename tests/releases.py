"""A second release of the settings: a copy of the tree in which they were edited.

Its processes are started as this release's are, with ``PYTHONPATH`` before everything.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SETTINGS = ROOT / "events" / "settings.py"
_ROOMS = ("app", "events", "projections")
_NO_UPCASTER = "UPCASTERS: tuple[Upcaster, ...] = ()\n"
Edits = Iterable[tuple[str, str]]  # what stands there, and what shall; one after another
# What stands in ``events/settings.py``, and what stands there in the newer release.
NEWER = {
    "    llm_provider: (\n": (
        '    voicemail_message: str | None = "Please call again."\n'
        "    voicemail_key: Secret | None = None\n"
        "    consent_settings: Annotated[ConsentSettings, _defaults] = field(\n"
        "        default_factory=ConsentSettings\n"
        "    )\n"
        "    llm_provider: (\n"
    ),
    "    stop_sequences: Annotated[": (
        "    seed: Annotated[int, Meta(ge=0)] = 7\n    stop_sequences: Annotated["
    ),
    "\n\n\nclass LLMFallbackSettings": (
        "\n    timeout: float = 30.0\n\n\nclass LLMFallbackSettings"
    ),
    'Literal["cold", "warm"]': 'Literal["cold", "warm", "hot"]',
    "class Settings(Struct": (
        "class ConsentSettings(Struct, frozen=True, kw_only=True):\n"
        '    """Whether callers are asked."""\n\n'
        "    asks: bool = False\n"
        "    question: str | None = None\n\n\n"
        "class Settings(Struct"
    ),
}


def setting(struct: str, name: str) -> str:
    """The definition of a setting, with its marks, as it stands in ``events/settings.py``."""
    text = _SETTINGS.read_text("utf-8")
    (found,) = (
        line
        for one in ast.parse(text).body
        if isinstance(one, ast.ClassDef) and one.name == struct
        for line in one.body
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == name
    )
    return "".join(text.splitlines(keepends=True)[found.lineno - 1 : found.end_lineno])


def make(folder: Path, edits: Edits, upcasters: Iterable[str] = ()) -> Path:
    """The tree of another release, in a folder that is not there yet.

    ``upcasters`` are appended, as Python's text.
    """
    for room in _ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(folder / "events" / "settings.py", edits)
    if appended := "".join(f"    {one},\n" for one in upcasters):
        ours = (_NO_UPCASTER, f"{_NO_UPCASTER[:-2]}\n{appended})\n")
        _edit(folder / "events" / "upcasters.py", [ours])
    return folder


def _edit(file: Path, edits: Edits) -> None:
    text = file.read_text("utf-8")
    for ours, theirs in edits:
        assert text.count(ours) == 1, f"{text.count(ours)} times: {ours}"
        text = text.replace(ours, theirs)
    file.write_text(text, "utf-8")
