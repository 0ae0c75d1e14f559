"""Changes of the settings' definitions, on a copy of the tree, over a database from before.

Each recipe edits one place of ``events/settings.py`` and appends at most one upcaster. Then the
current view, the list, every version, history, diff, blame, secrets, the console, undo and rollback
across the change, restore, export and the proofs are right, and no stored byte is another one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests import releases
from tests.releases import ROOT, setting

STEPS = ROOT / "tests" / "end_to_end" / "recipe_steps.py"
pytestmark = pytest.mark.sqlite

Values = dict[str, dict[str, Any]]
NEW_OBJECT = """class Greeting(Struct, frozen=True, kw_only=True):
    \"\"\"How a call begins.\"\"\"

    language: str = "en"
    pause_ms: int = 250


class Settings("""
LAST = setting("Settings", "stt_limit")
TOP_P = setting("LLMSettings", "top_p")
PROVIDER = setting("LLMFallbackProvider", "provider") + setting("LLMFallbackProvider", "enabled")
DISCLOSURE = setting("RecordingSettings", "disclosure_mode")
FREQUENCY = setting("BackchannelGenerationSettings", "frequency")


class Recipe(Struct, frozen=True, kw_only=True):
    """Edits of the settings, an upcaster, and what then is expected.

    ``now`` is by assistant, ``then`` by version of the first: what stands at some paths.
    """

    edits: dict[str, str]
    upcaster: str = ""
    now: Values = {}
    then: Values = {}
    patch: dict[str, Any] = {}
    patched: dict[str, Any] = {}
    gone: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    secrets: dict[str, str] = {}
    moved_secrets: tuple[str, ...] = ()


def added(line: str, path: str, value: Any, patch: dict[str, Any], to: Any) -> Recipe:
    """A setting at the top that nobody has set."""
    return Recipe(
        edits={LAST: line + LAST},
        now={"1": {path: value}, "3": {path: value}},
        then={"1": {path: value}, "64": {path: value}},
        patch=patch,
        patched={path: to},
    )


RECIPES: dict[str, Recipe] = {
    "add a setting at the top": added(
        '    farewell: str = "Have a nice day"\n',
        "/farewell",
        "Have a nice day",
        {"farewell": "Ciao"},
        "Ciao",
    ),
    "add a secret": added(
        "    pager_key: Secret | None = None\n",
        "/pager_key",
        None,
        {"pager_key": "pk-1"},
        "********",
    ),
    "add a nested setting": Recipe(
        edits={
            TOP_P: TOP_P + "    min_p: float = 0.25\n",
        },
        now={"1": {"/llm_settings/min_p": 0.25, "/llm_settings/top_p": 0.9}},
        then={"1": {"/llm_settings/min_p": 0.25}, "64": {"/llm_settings/min_p": 0.25}},
        patch={"llm_settings": {"min_p": 0.5}},
        patched={"/llm_settings/min_p": 0.5, "/llm_settings/top_p": 0.9},
    ),
    "add a setting to a list's element": Recipe(
        edits={
            PROVIDER: PROVIDER + "    timeout_ms: int = 900\n",
        },
        now={"1": {"/llm_fallback_providers/fallbacks/0/timeout_ms": 900}},
        then={"1": {"/llm_fallback_providers/fallbacks/0/timeout_ms": 900}},
    ),
    "add a setting to an object that takes any member": Recipe(
        edits={
            DISCLOSURE: DISCLOSURE + '    studio: str = "main"\n',
        },
        now={
            "1": {"/recording_settings/studio": "north"},
            "3": {"/recording_settings/studio": "main"},
        },
        then={"1": {"/recording_settings/studio": "main"}},
        patch={"recording_settings": {"studio": "south"}},
        patched={"/recording_settings/studio": "south"},
    ),
    "add an object": Recipe(
        edits={
            "class Settings(": NEW_OBJECT,
            LAST: LAST
            + "    greeting: Annotated[Greeting, _defaults] = field(default_factory=Greeting)\n",
        },
        now={"1": {"/greeting": {"language": "en", "pause_ms": 250}}},
        then={"1": {"/greeting": {"language": "en", "pause_ms": 250}}},
        patch={"greeting": {"pause_ms": 0}},
        patched={"/greeting": {"language": "en", "pause_ms": 0}},
    ),
    "change a default": Recipe(
        edits={setting("LLMSettings", "temperature"): "    temperature: float = 0.7\n"},
        # Every event of a creation says what it was: nobody's setting changes by itself.
        now={
            "1": {"/llm_settings/temperature": 0.5},
            "3": {"/llm_settings/temperature": 0.5},
        },
        then={"1": {"/llm_settings/temperature": 0.5}},
    ),
    "change the default of a setting that is younger than some assistants": Recipe(
        # As when a release after the first added it with 1, and this one makes it 2.
        edits={LAST: "    patience: int = 2\n" + LAST},
        upcaster='Upcaster(filled={"/patience": 1})',
        now={"1": {"/patience": 1}, "3": {"/patience": 1}},
        then={"1": {"/patience": 1}, "70": {"/patience": 1}},
        patch={"patience": 2},
        patched={"/patience": 2},
    ),
    "narrow bounds": Recipe(
        edits={
            setting("RAGSettings", "search_limit"): (
                "    search_limit: Annotated[int, Meta(ge=1, le=5)] = 3\n"
            ),
        },
        # What stands beyond them stays until it is changed, and is taken back to as well.
        now={"1": {"/rag_settings/search_limit": 9}},
        then={"1": {"/rag_settings/search_limit": 9}},
        patch={"rag_settings": {"chunk_size": 800}},
        patched={"/rag_settings/chunk_size": 800, "/rag_settings/search_limit": 9},
    ),
    "widen bounds": Recipe(
        edits={FREQUENCY: "    frequency: Amount = 3\n"},
        now={"1": {"/backchannel_settings/frequency": 5}},
        patch={"backchannel_settings": {"frequency": 50}},
        patched={"/backchannel_settings/frequency": 50},
    ),
    "add a choice": Recipe(
        edits={'Literal["cold", "warm"]': 'Literal["cold", "warm", "silent"]'},
        now={"1": {"/tools_settings/transfer_call/transfer_type": "cold"}},
        patch={"tools_settings": {"transfer_call": {"transfer_type": "silent"}}},
        patched={"/tools_settings/transfer_call/transfer_type": "silent"},
    ),
    "rename": Recipe(
        edits={"    end_call_message:": "    goodbye_message:"},
        upcaster='Upcaster(moved={"/end_call_message": "/goodbye_message"})',
        now={"1": {"/goodbye_message": "Goodbye"}, "3": {"/goodbye_message": None}},
        then={"1": {"/goodbye_message": "Bye"}, "2": {"/goodbye_message": "Goodbye"}},
        gone=("/end_call_message",),
        never=("end_call_message",),
        patch={"goodbye_message": "Ciao"},
        patched={"/goodbye_message": "Ciao"},
    ),
    "rename in an object that came and went": Recipe(
        edits={FREQUENCY: "    each: int = 3\n"},
        upcaster=(
            'Upcaster(moved={"/backchannel_settings/frequency": "/backchannel_settings/each"})'
        ),
        now={"1": {"/backchannel_settings": {"enabled": True, "each": 5}}},
        then={
            "2": {"/backchannel_settings": None},
            "3": {"/backchannel_settings": {"enabled": True, "each": 5}},
        },
    ),
    "rename in a list's element": Recipe(
        edits={
            setting("LLMFallbackProvider", "model"): "    engine: str | None = None\n",
            '("provider", "model")': '("provider", "engine")',
        },
        upcaster=(
            'Upcaster(moved={"/llm_fallback_providers/fallbacks/*/model":'
            ' "/llm_fallback_providers/fallbacks/*/engine"})'
        ),
        now={"1": {"/llm_fallback_providers/fallbacks/0/engine": "claude"}},
        then={"1": {"/llm_fallback_providers/fallbacks/0/engine": "claude"}},
    ),
    "split": Recipe(
        edits={
            setting("Settings", "transfer_call_message"): (
                "    transfer_greeting: str | None = None\n"
                "    transfer_request: str | None = None\n"
            ),
        },
        upcaster="""Upcaster(
        replaced={
            "/transfer_call_message": {
                "/transfer_greeting": lambda text: text and text.partition("|")[0],
                "/transfer_request": lambda text: text and text.partition("|")[2],
            }
        }
    )""",
        now={"1": {"/transfer_greeting": "Hold on", "/transfer_request": "thanks"}},
        then={
            "1": {"/transfer_greeting": "One moment", "/transfer_request": "please hold"},
            "4": {"/transfer_greeting": "Hold on", "/transfer_request": "thanks"},
        },
        gone=("/transfer_call_message",),
    ),
    "move": Recipe(
        edits={
            TOP_P: "",
            LAST: TOP_P + LAST,
        },
        upcaster='Upcaster(moved={"/llm_settings/top_p": "/top_p"})',
        now={"1": {"/top_p": 0.9}, "3": {"/top_p": 1.0}},
        then={"1": {"/top_p": 0.9}},
        gone=("/llm_settings/top_p",),
        patch={"top_p": 0.1},
        patched={"/top_p": 0.1},
    ),
    "move a secret": Recipe(
        edits={
            setting("Settings", "webhook_headers"): (
                "    headers: dict[str, Secret] | None = None\n"
            ),
            '"/webhook_headers"': '"/headers"',
        },
        upcaster='Upcaster(moved={"/webhook_headers": "/headers"})',
        now={"1": {"/headers": {"X-Token": "********"}}},
        secrets={"/headers/X-Token": "token-front-desk-02"},
        moved_secrets=("/webhook_headers/X-Token",),
        never=("token-front-desk-02",),
    ),
    "change a type": Recipe(
        edits={
            setting("Settings", "idle_timeout"): ("    idle_timeout: str | None = None\n"),
        },
        upcaster="""Upcaster(
        replaced={
            "/idle_timeout": {
                "/idle_timeout": lambda seconds: None if seconds is None else f"{seconds} s"
            }
        }
    )""",
        now={"1": {"/idle_timeout": "30 s"}, "3": {"/idle_timeout": None}},
        then={"1": {"/idle_timeout": "20 s"}, "4": {"/idle_timeout": "30 s"}},
        patch={"idle_timeout": "1 min"},
        patched={"/idle_timeout": "1 min"},
    ),
    "retire a setting": Recipe(
        edits={setting("RAGSettings", "chunking_strategy"): ""},
        upcaster='Upcaster(retired=("/rag_settings/chunking_strategy",))',
        now={"1": {"/rag_settings/search_limit": 9}},
        gone=("/rag_settings/chunking_strategy",),
        never=("chunking_strategy",),
    ),
    "make secret what was plain": Recipe(
        edits={
            setting("Settings", "messaging_service_sid"): (
                "    messaging_service_sid: Secret | None = None\n"
            ),
        },
        upcaster='Upcaster(made_secret=("/messaging_service_sid",))',
        now={
            "1": {"/messaging_service_sid": "********"},
            "3": {"/messaging_service_sid": None},
        },
        then={"1": {"/messaging_service_sid": "********"}},
        secrets={"/messaging_service_sid": "MG-plain-after"},
        never=(
            "MG-plain-before",
            "MG-plain-after",
            "MG-plain-alone",
        ),
        patch={"messaging_service_sid": "MG-sealed"},
        patched={"/messaging_service_sid": "********"},
    ),
}


# Those that go into one tree together: no two edit the same line.
TOGETHER = {
    "without an upcaster": [name for name, recipe in RECIPES.items() if not recipe.upcaster],
    "with upcasters, one after another": [name for name, one in RECIPES.items() if one.upcaster],
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database, its keys and its archive, as this release makes them."""
    folder = tmp_path_factory.mktemp("before")
    run_step("make", folder, ROOT)
    return folder


def run_step(step: str, folder: Path, tree: Path) -> None:
    """A process that imports a tree's rooms, and all else from here."""
    paths = os.pathsep.join(map(str, (tree, ROOT)))
    process = subprocess.run(
        [sys.executable, str(STEPS), step, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]


def carry_out(recipes: list[Recipe], before: Path, folder: Path) -> None:
    """Serve a copy of the database with the changed tree, and look at everything."""
    edits = (edit for recipe in recipes for edit in recipe.edits.items())
    upcasters = (recipe.upcaster for recipe in recipes if recipe.upcaster)
    tree = releases.make(folder / "tree", edits, upcasters)
    served = shutil.copytree(before, folder / "served")
    expected = {
        "now": merged(recipe.now for recipe in recipes),
        "then": merged(recipe.then for recipe in recipes),
        "patches": [(recipe.patch, recipe.patched) for recipe in recipes if recipe.patch],
        "gone": [path for recipe in recipes for path in recipe.gone],
        "never": [text for recipe in recipes for text in recipe.never],
        "secrets": {path: value for one in recipes for path, value in one.secrets.items()},
        "moved_secrets": [path for recipe in recipes for path in recipe.moved_secrets],
    }
    (served / "expected.json").write_text(json.dumps(expected))
    run_step("check", served, tree)


def merged(values: Iterable[Values]) -> Values:
    found: Values = {}
    for value in values:
        for key, paths in value.items():
            found.setdefault(key, {}).update(paths)
    return found


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_recipes_leave_everything_right(names: list[str], before: Path, tmp_path: Path) -> None:
    """Each by itself: ``pytest -n 2 -m long tests/end_to_end/test_recipes.py``."""
    carry_out([RECIPES[name] for name in names], before, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_everything_right(name: str, before: Path, tmp_path: Path) -> None:
    carry_out([RECIPES[name]], before, tmp_path)


def test_control_without_its_upcaster_a_rename_is_seen(before: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPES["rename"], upcaster="")
    with pytest.raises(AssertionError, match="goodbye_message"):
        carry_out([recipe], before, tmp_path)
