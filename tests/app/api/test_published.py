"""The description of the API: made once, and then as cheap as a file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.api.openapi import document
from tests.conftest import Organization, Server, make_organizations, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATHS = ("/schema", "/schema/openapi.json")
_KINDS = {"/schema": document.Page, "/schema/openapi.json": document.Document}


@pytest.fixture
def plain(server: Server) -> Iterator[httpx.Client]:
    with server.client(None) as client:
        client.headers["accept-encoding"] = "identity"
        yield client


@pytest.mark.parametrize("path", _PATHS)
def test_the_description_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    made: list[str] = []
    render: Any = _KINDS[path].render

    def counted(*given: Any) -> bytes:
        made.append(path)
        found: bytes = render(*given)
        return found

    monkeypatch.setattr(_KINDS[path], "render", counted)
    make_organizations(tmp_path / "backstory.db", 1)
    with serving(tmp_path / "backstory.db", []) as running, running.client(None) as nobody:
        bodies = {nobody.get(f"{path}{ending}").content for ending in ("", "/", "?x=1", "")}
    assert made == [path]
    assert len(bodies) == 1


@pytest.mark.parametrize("path", _PATHS)
def test_the_description_is_compressed_for_who_takes_that(plain: httpx.Client, path: str) -> None:
    whole = plain.get(path)
    assert "content-encoding" not in whole.headers
    with plain.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["content-type"] == whole.headers["content-type"]
        assert "Accept-Encoding" in answer.headers["vary"]
    assert gzip.decompress(packed) == whole.content
    assert len(packed) < len(whole.content) / 4
    refuses = plain.get(path, headers={"accept-encoding": "gzip;q=0, identity"})
    assert "content-encoding" not in refuses.headers


@pytest.mark.parametrize("path", _PATHS)
def test_who_has_the_description_is_told_so(plain: httpx.Client, path: str) -> None:
    tags = {}
    for encoding in ("identity", "gzip"):
        tags[encoding] = plain.get(path, headers={"accept-encoding": encoding}).headers["etag"]
        for held in (tags[encoding], f'"other", W/{tags[encoding]}'):
            sent = {"accept-encoding": encoding, "if-none-match": held}
            answer = plain.get(path, headers=sent)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tags[encoding]
    assert tags["identity"] != tags["gzip"]
    assert plain.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_what_there_is_not_below_the_description_is_not_kept(
    plain: httpx.Client, organization: Organization
) -> None:
    del organization
    assert [plain.get(f"/schema/{n}").status_code for n in range(3)] == [404] * 3
    assert plain.post("/schema").status_code == 405
