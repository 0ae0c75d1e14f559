"""given.when(request).then(version, values): the API of one assistant, as stories.

``then`` compares the whole assistant: the values that it names are new, and every other one is as
it was. ``unchanged``, ``planned``, ``refused`` and ``errors`` compare all rows of the organization:
nothing was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tests.app.assistants.answers import errors, ok
from tests.conftest import version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

# What moves with every change.
_MOVING = {"version", "updated_at"}


class Given(Struct, frozen=True):
    """An assistant, and the client that sends the next requests."""

    client: httpx.Client
    path: str
    rows: Callable[[], Any]
    """All rows of the organization, as the fixture ``rows`` reads them."""

    def by(self, client: httpx.Client) -> Given:
        """The same assistant in another client's hands."""
        return Given(client, self.path, self.rows)

    def after(self, *bodies: dict[str, Any]) -> Given:
        """The assistant after these patches, each of which changes it."""
        for body in bodies:
            version = self.version
            assert ok(self.client.patch(self.path, json=body))["version"] == version + 1
        return self

    @property
    def version(self) -> int:
        """Its version now."""
        return version_of(self.client.get(self.path))

    def state(self, version: int | str = "latest") -> dict[str, Any]:
        """What the API shows of a version, without what moves with every change."""
        shown = ok(self.client.get(self.path, params={"version": version}))
        return {name: value for name, value in shown.items() if name not in _MOVING}

    @property
    def versions(self) -> list[dict[str, Any]]:
        """All that happened to it, newest first, also after it was deleted."""
        listed: list[dict[str, Any]] = ok(self.client.get(f"{self.path}/versions"))
        return listed

    def when(self, method: str, place: str = "", **options: Any) -> When:
        """A request, not sent yet; ``options`` are those of httpx."""
        return When(self, method, place, options)

    def when_rolled_back(self, **body: Any) -> When:
        return self.when("POST", "/rollback", json=body)

    def when_undone(self, **body: Any) -> When:
        return self.when("POST", "/undo", json=body)


class When(Struct, frozen=True):
    """A request to an assistant, not sent yet."""

    story: Given
    method: str
    place: str
    options: dict[str, Any]

    def sent(self) -> httpx.Response:
        return self.story.client.request(
            self.method, f"{self.story.path}{self.place}", **self.options
        )

    def then(self, version: int, values: dict[str, Any]) -> dict[str, Any]:
        """The assistant is at this version, with these values by pointer, and no other new one.

        Returns its newest version as the list of versions has it.
        """
        before = _leaves(self.story.state())
        answer = self.sent()
        assert ok(answer)["version"] == version == version_of(answer)
        shown = ok(self.story.client.get(self.story.path))
        assert answer.json() | shown == answer.json()  # beside it, warnings and a merge
        after = _leaves(self.story.state())
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        assert {path: after.get(path) for path in changed} == values
        newest = self.story.versions[0]
        assert newest["version"] == version
        return newest

    def unchanged(self) -> None:
        """The answer is the assistant as it is."""
        shown = self.story.client.get(self.story.path)
        answer = self._recording_nothing()
        assert ok(answer) | shown.json() == answer.json()
        assert answer.headers["etag"] == shown.headers["etag"]

    def planned(self) -> Any:
        """The plan that the request asks for."""
        return ok(self._recording_nothing())

    def refused(self, status: int, problem: str) -> Any:
        """The body of the problem."""
        answer = self._recording_nothing()
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert body["type"] == f"urn:backstory:problem:{problem}"
        return body

    def errors(self) -> list[tuple[list[Any], str]]:
        """The place and the type of each rule that the request breaks."""
        return errors(self._recording_nothing())

    def _recording_nothing(self) -> httpx.Response:
        before = self.story.rows()
        answer = self.sent()
        assert self.story.rows() == before
        return answer


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of a tree by pointer; an empty object is a value."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {
        place: value
        for name, below in tree.items()
        for place, value in _leaves(below, f"{path}/{name}").items()
    }
