"""The recipes of ``app/README.md``, carried out on a copy of the tree whose own tests then pass.

An event type takes three edits of the source, and its stored bytes. An endpoint with its page takes
a file of routes, a page with its template, and a row in the table.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import Struct

from tests.releases import ROOT

pytestmark = pytest.mark.sqlite
_ONGOING = shutil.ignore_patterns("*.pyc.*")  # what other tests write right now
_COPIED = ("app", "events", "projections", "tests", "pyproject.toml", "README.md")


class Edit(Struct, frozen=True):
    """A text of a file, and what replaces it; no text for a new file."""

    file: str
    old: str
    new: str


def copied(folder: Path, edits: Iterable[Edit]) -> Path:
    """A copy of the tree with some edits, and with what Python has compiled of the rest."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_ONGOING)
        else:
            shutil.copy2(source, folder / name)
    for edit in edits:
        file = folder / edit.file
        if edit.old:
            text = file.read_text("utf-8")
            assert text.count(edit.old) == 1, f"{edit.file}: {text.count(edit.old)} x {edit.old}"
            file.write_text(text.replace(edit.old, edit.new), "utf-8")
        else:
            file.write_text(edit.new, "utf-8")
    return folder


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a tree's own modules."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "HOME": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


def passes(tree: Path, *chosen: str) -> bool:
    """Whether tests of a tree pass in it. A choice that matches no test does not."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    ended = python(tree, "-m", "pytest", *options, *chosen)
    sys.stdout.write(ended.stdout)
    return ended.returncode == 0


# -- a type of event

TAG = "assistant_reviewed.v1"
STORED = (
    f'{{"type":"{TAG}","organization_id":3,"sequence":90,"assistant_id":12,'
    '"occurred_at":"2026-01-02T04:05:00Z",'
    '"actor":{"type":"api_key","id":7,"name":"B\u00fcro","user_id":5},"reason":null,'
    '"request_id":"01J9Z3K8Q4","idempotency_key":null,"version":5,"cause":{"type":"patch"},'
    '"verdict":"good"}'
)
STRUCT = Edit(
    "events/changed.py",
    "class SecretsErased(Versioned",
    f'''class AssistantReviewed(Versioned, frozen=True, kw_only=True, tag="{TAG}"):
    """Somebody listened to the assistant, and said how it is."""

    verdict: str


class SecretsErased(Versioned''',
)
IN_STREAM = Edit(
    "events/changed.py",
    "    | AssistantRestored\n    | SecretsErased\n)",
    "    | AssistantRestored\n    | AssistantReviewed\n    | SecretsErased\n)",
)
EVOLVES = Edit(
    "events/changed.py",
    "        case SecretsErased():\n            return msgspec.structs.replace(\n",
    """        case AssistantReviewed():
            return msgspec.structs.replace(state, version=event.version)
        case SecretsErased():
            return msgspec.structs.replace(
""",
)
NAMED = Edit(
    "projections/event_types.py",
    "    VersionLabelled: Kind(\n",
    """    AssistantReviewed: Kind(
        "assistant",
        "review",
        "An assistant was reviewed",
        Activity(OTHER, "Review", "assistant", "reviewed assistant"),
    ),
    VersionLabelled: Kind(
""",
)
NAMED_IMPORT = Edit(
    "projections/event_types.py",
    "    AssistantRestored,\n    AssistantSettingsChanged,\n",
    "    AssistantRestored,\n    AssistantReviewed,\n    AssistantSettingsChanged,\n",
)
SHOWN = Edit(
    "projections/history.py",
    "        case SecretsErased():  # earlier",
    """        case AssistantReviewed():
            return msgspec.structs.replace(state, version=event.version - 1)
        case SecretsErased():  # earlier""",
)
SHOWN_IMPORT = Edit(
    "projections/history.py",
    "    AssistantRestored,\n    AssistantSettingsChanged,\n",
    "    AssistantRestored,\n    AssistantReviewed,\n    AssistantSettingsChanged,\n",
)
SOURCE = (STRUCT, IN_STREAM, EVOLVES, NAMED, NAMED_IMPORT, SHOWN, SHOWN_IMPORT)
_EXAMPLE = """AssistantReviewed(
        sequence=90,
        version=5,
        occurred_at=datetime(2026, 1, 2, 4, 5, tzinfo=UTC),
        reason=None,
        cause=Cause(type="patch"),
        verdict="good",
        **SAID,
    )"""
GOLDEN = (
    Edit(f"tests/events/golden/{TAG}.json", "", STORED),
    Edit("tests/events/test_codec.py", "    AssistantRestored,\n",
         "    AssistantRestored,\n    AssistantReviewed,\n"),
    Edit("tests/events/test_codec.py", '    "policy_changed.v1": PolicyChanged(\n',
         f'    "{TAG}": {_EXAMPLE},\n    "policy_changed.v1": PolicyChanged(\n'),
)  # fmt: skip
EXAMPLE = (
    Edit("tests/projections/exports/sample_log.py", "    AssistantRestored,\n",
         "    AssistantRestored,\n    AssistantReviewed,\n"),
    Edit("tests/projections/exports/sample_log.py", "    VersionLabelled(labelled_version=2",
         """    AssistantReviewed(
        version=6, cause=Cause(type="patch"), verdict="good", **common(25)
    ),
    VersionLabelled(labelled_version=2"""),
)  # fmt: skip
GUARDS = ("tests/events/test_codec.py", "tests/projections/exports/test_export_formats.py")


def test_an_event_type_takes_three_edits_and_its_examples(tmp_path: Path) -> None:
    assert len({edit.file for edit in SOURCE}) == 3
    """The types of the files that it changes; long: of everything."""
    tree = copied(tmp_path / "tree", (*SOURCE, *GOLDEN, *EXAMPLE))
    assert passes(tree, *GUARDS)
    assert python(tree, "-m", "mypy", *{edit.file for edit in SOURCE}).returncode == 0


@pytest.mark.long
def test_an_event_type_takes_no_edit_more_for_the_types(tmp_path: Path) -> None:
    """pytest -m long tests/end_to_end/test_code_recipes.py"""
    tree = copied(tmp_path / "tree", SOURCE)
    assert python(tree, "-m", "mypy", "events", "projections").returncode == 0


def test_control_an_event_type_without_stored_bytes_fails_the_tests(tmp_path: Path) -> None:
    assert not passes(copied(tmp_path / "tree", SOURCE), GUARDS[0])


@pytest.mark.long
def test_control_an_event_type_without_its_entry_fails_the_tests(tmp_path: Path) -> None:
    """pytest -m long tests/end_to_end/test_code_recipes.py"""
    edits = (STRUCT, IN_STREAM, EVOLVES, *GOLDEN, *EXAMPLE)
    assert not passes(copied(tmp_path / "tree", edits), GUARDS[1])


@pytest.mark.long
@pytest.mark.parametrize("left_out", [EVOLVES, SHOWN])
def test_control_an_event_type_without_its_case_fails_the_types(
    tmp_path: Path, left_out: Edit
) -> None:
    """pytest -m long tests/end_to_end/test_code_recipes.py"""
    edits = [edit for edit in SOURCE if edit is not left_out]
    tree = copied(tmp_path / "tree", edits)
    assert python(tree, "-m", "mypy", "events", "projections").returncode != 0


# -- an endpoint with its page

ROUTE = Edit(
    "app/api/routes/summaries.py",
    "",
    '''"""A summary of an assistant."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.params import FromPath

from app.api import routing
from app.api.access import VIEWER
from app.api.openapi.operations import Answer, operation
from app.api.request import ApiRequest
from app.assistants import current


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An assistant's name, and how often it was changed."""

    name: str
    version: int


@get(
    "/summary",
    opt=VIEWER,
    summary="Summarize an assistant",
    operation_class=operation(
        Answer(Summary, example={"name": "Front desk", "version": 12}), errors=(404, 422)
    ),
)
async def summarize(request: ApiRequest, assistant_id: FromPath[str]) -> Summary:
    """The name, and the current version."""
    state = await request.services.database.read(
        current.head, request.assistant_key(assistant_id)
    )
    return Summary(name=state.settings["name"], version=state.version)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT, route_handlers=[summarize], tags=["Assistants"]
)
''',
)
PAGE = Edit(
    "app/console/summary.py",
    "",
    '''"""A summary of an assistant, as a page."""

from __future__ import annotations

from litestar import Router, get
from litestar.params import FromPath
from litestar.response import Template

from app.api.access import VIEWER
from app.console.api_client import segment
from app.console.rendering import page
from app.console.visitor import PageRequest


@get("/summary", opt=VIEWER)
async def show_summary(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """The assistant's name and version."""
    answer = await request.visitor.get(f"/assistants/{segment(assistant_id)}/summary")
    return page("summary", request.visitor, summary=answer.or_raise())


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_summary])
''',
)
TEMPLATE = Edit(
    "app/console/templates/summary.html",
    "",
    """{% extends "layout.html" %}
{% block title %}Summary{% endblock %}
{% block main %}<h1><bdi>{{ show.name(summary.name) }}</bdi></h1>
<p>Version {{ summary.version }}</p>{% endblock %}
""",
)
LISTED = (
    Edit("app/api/router.py", "    secrets,\n", "    secrets,\n    summaries,\n"),
    Edit("app/api/router.py", "    secrets.ROUTER,\n",
         "    secrets.ROUTER,\n    summaries.ROUTER,\n"),
    Edit("app/console/router.py", "    sign_in,\n", "    sign_in,\n    summary,\n"),
    Edit("app/console/router.py", "        sign_in.ROUTER,\n",
         "        sign_in.ROUTER,\n        summary.ROUTER,\n"),
)  # fmt: skip
ROW = Edit(
    "app/api/ENDPOINTS.md",
    "| PUT | `/api/v1/assistants/{assistant_id}` |",
    "| GET | `/api/v1/assistants/{assistant_id}/summary` | viewer | its name and version |\n"
    "| PUT | `/api/v1/assistants/{assistant_id}` |",
)
ENDPOINT = (ROUTE, PAGE, TEMPLATE, *LISTED)
OWN_TEST = Edit(
    "tests/test_summary.py",
    "",
    """from tests.conftest import ASSISTANTS, Server
from tests.console import Browser


def test_the_summary_is_answered_and_shown(server: Server) -> None:
    key = server.organization().admin
    with server.client(key) as client, Browser(server.url) as browser:
        made = client.post(ASSISTANTS, json={"name": "Front desk"}).json()
        at = f"/assistants/{made['id']}/summary"
        assert client.get(f"/api/v1{at}").json() == {"name": "Front desk", "version": 1}
        browser.sign_in(key)
        assert "Front desk" in browser.get(at).text
""",
)


ROUTE_GUARDS = (
    "tests/app/accounts/test_roles.py",
    "tests/app/api/test_openapi.py",
    "tests/end_to_end/test_readme.py",
)


def test_an_endpoint_and_its_page_are_checked_as_all_others(tmp_path: Path) -> None:
    """The tests that draw from the route table find the new route by themselves."""
    tree = copied(tmp_path / "tree", (*ENDPOINT, ROW, OWN_TEST))
    chosen = ("-k", "summary or endpoints_are_those", "tests/test_summary.py", *ROUTE_GUARDS)
    assert passes(tree, *chosen)


@pytest.mark.long
def test_an_endpoint_passes_all_tests_that_draw_from_the_route_table(tmp_path: Path) -> None:
    """pytest -m long tests/end_to_end/test_code_recipes.py"""
    tree = copied(tmp_path / "tree", (*ENDPOINT, ROW))
    names = ("isolation", "methods", "roles_before_bodies", "statements", "error_words", "caching")
    assert passes(tree, *(f"tests/app/api/test_{name}.py" for name in names))


def test_control_an_endpoint_that_the_table_does_not_list_fails(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree", ENDPOINT)
    assert not passes(tree, "-k", "endpoints_are_those", "tests/end_to_end/test_readme.py")
