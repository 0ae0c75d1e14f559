"""Makers of clients take the description as it is, without a warning."""

from __future__ import annotations

import json
import py_compile
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from tests.app.route_table import OPERATIONS
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from openapi_python_client.parser.errors import GeneratorError

    from tests.conftest import Organization, Server

# What npm installs; the makers are no packages of Python's.
_TYPESCRIPT = ("typescript@5", "openapi-typescript@7", "@hey-api/openapi-ts@0.95")
_STRICT: dict[str, Any] = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "lib": ["es2022", "dom", "dom.iterable"],
}


@pytest.fixture(scope="module")
def described(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("described") / "openapi.json"
    with server.client(None) as nobody:
        file.write_bytes(nobody.get("/schema/openapi.json").content)
    return file


def make_client(described: Path, folder: Path) -> Sequence[GeneratorError]:
    settings = ConfigFile(post_hooks=[])  # which would only format it
    return generate(
        config=Config.from_sources(
            settings,
            meta_type=MetaType.NONE,
            document_source=described,
            file_encoding="utf-8",
            overwrite=True,
            output_path=folder,
        )
    )


_USE = """
import sys
from {name}.api.assistants import {create}, {get}
from {name}.client import AuthenticatedClient
from {name}.models import AssistantCreate, AssistantPatch, AssistantResponse

url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
made = {create}.sync(client=client, body=AssistantCreate(name="Made by a made client"))
read = {get}.sync(made.id, client=client)
assert isinstance(read, AssistantResponse), read
print(read.name, read.llm_settings.temperature)
"""


def test_openapi_python_client_makes_a_client_that_works_and_warns_of_nothing(
    described: Path, tmp_path: Path, server: Server, organization: Organization
) -> None:
    assert make_client(described, tmp_path / "made") == []
    modules = sorted((tmp_path / "made" / "api").glob("*/*.py"))
    assert len([one for one in modules if one.name != "__init__.py"]) == len(
        [one for one in OPERATIONS if not one.path.startswith("/schema")]
    )
    for module in (tmp_path / "made").rglob("*.py"):
        py_compile.compile(str(module), doraise=True)
    ids = {
        name: json.loads(described.read_bytes())["paths"][path][verb]["operationId"]
        for name, path, verb in (
            ("create", ASSISTANTS, "post"),
            ("get", f"{ASSISTANTS}/{{assistant_id}}", "get"),
        )
    }
    names = {name: _module_of(modules, text) for name, text in ids.items()}
    program = _USE.format(name="made", **names)
    said = subprocess.run(
        [sys.executable, "-c", program, server.url, organization.editor],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.stdout, said.stderr) == ("Made by a made client 0.5\n", "")


def _module_of(modules: list[Path], operation_id: str) -> str:
    """The module of an operation: its name is the id's in another spelling."""
    wanted = operation_id.replace("_", "").lower()
    (found,) = [one.stem for one in modules if one.stem.replace("_", "") == wanted]
    return found


def test_what_stops_a_maker_of_clients_would_be_found(described: Path, tmp_path: Path) -> None:
    document = json.loads(described.read_bytes())
    config = document["components"]["schemas"]["LLMProviderConfig"]["properties"]["custom_config"]
    config["default"] = {}
    document["paths"] = {ASSISTANTS: document["paths"][ASSISTANTS]}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    assert make_client(file, tmp_path / "made") != []


def run(folder: Path, *command: str) -> str:
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr


@pytest.mark.long
def test_makers_of_typescript_make_what_compiles(described: Path, tmp_path: Path) -> None:
    """Needs npm, and its registry: ``pytest tests/app/api/test_generated_clients.py -m long``."""
    run(tmp_path, "npm", "init", "-y")
    run(tmp_path, "npm", "install", *_TYPESCRIPT)
    made = run(tmp_path, "npx", "openapi-typescript", str(described), "-o", "paths.ts")
    made += run(tmp_path, "npx", "openapi-ts", "-i", str(described), "-o", "client")
    assert "warn" not in made.lower()
    (tmp_path / "use.ts").write_text(
        'import type { paths } from "./paths";\n'
        'import type { AssistantResponse } from "./client";\n'
        f'type Answers = paths["{ASSISTANTS}/{{assistant_id}}"]["get"]["responses"];\n'
        'type Read = Answers[200]["content"]["application/json"];\n'
        "export const name = (one: Read): string => one.name;\n"
        "export const heat = (one: AssistantResponse) => one.llm_settings?.temperature;\n"
    )
    included = {"compilerOptions": _STRICT, "include": ["use.ts", "paths.ts", "client"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(included))
    run(tmp_path, "npx", "tsc", "-p", ".")
    # The control: the compiler looks at them.
    (tmp_path / "use.ts").write_text(
        'import type { AssistantResponse } from "./client";\n'
        "export const name = (one: AssistantResponse): number => one.name;\n"
    )
    with pytest.raises(AssertionError, match="not assignable"):
        run(tmp_path, "npx", "tsc", "-p", ".")
