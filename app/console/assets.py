"""The console's style sheet and scripts, under names that change with their content."""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from importlib.resources import files

from litestar import Response, Router, get
from litestar.params import FromPath
from msgspec import Struct

from app.api.access import PUBLIC
from app.console.texts import Script

_FOREVER = "public, max-age=31536000, immutable"
_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript"}


class File(Struct, frozen=True):
    """A file that pages load; ``name`` holds a digest of its content."""

    name: str
    media_type: str
    content: bytes


def _read_files() -> dict[str, File]:
    """The files by the names that they have in ``static/``."""
    entries = files("app.console").joinpath("static").iterdir()
    contents = {entry.name: entry.read_bytes() for entry in entries} | {"texts.js": _texts()}
    return {name: _named(name, content) for name, content in contents.items()}


def _named(name: str, content: bytes) -> File:
    stem, _, extension = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:16]
    return File(f"{stem}.{digest}.{extension}", _MEDIA_TYPES[extension], content)


def _texts() -> bytes:
    """The texts that scripts write, as the object ``t``."""
    found = {name: text for name, text in vars(Script).items() if not name.startswith("_")}
    return f"const t = Object.freeze({json.dumps(found)});\n".encode()


_FILES = _read_files()
_SERVED = {file.name: file for file in _FILES.values()}


def asset(name: str) -> str:
    """The address of a file in ``static/``."""
    return f"/static/{_FILES[name].name}"


@get("/static/{name:str}", opt=PUBLIC)
async def get_file(name: FromPath[str]) -> Response[bytes]:
    """A style sheet or a script; caches may keep it forever, as its name changes with it."""
    file = _SERVED.get(name)
    if file is None:
        return Response(b"", status_code=HTTPStatus.NOT_FOUND)
    headers = {"cache-control": _FOREVER}
    return Response(file.content, media_type=file.media_type, headers=headers)


ROUTER = Router("/", route_handlers=[get_file])
