"""The console's style sheet and scripts, under names that change with their content."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from importlib.resources import files

from litestar import Response, Router, get
from litestar.params import FromPath
from msgspec import Struct

from app.api.access import PUBLIC

_FOREVER = "public, max-age=31536000, immutable"
_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript"}


class File(Struct, frozen=True):
    """A file that pages load; ``name`` holds a digest of its content."""

    name: str
    media_type: str
    content: bytes


def _read_files() -> dict[str, File]:
    """The files by the names that they have in ``static/``."""
    by_name = {}
    for entry in files("app.console").joinpath("static").iterdir():
        stem, _, extension = entry.name.rpartition(".")
        content = entry.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        name = f"{stem}.{digest}.{extension}"
        by_name[entry.name] = File(name, _MEDIA_TYPES[extension], content)
    return by_name


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
