"""A voice worker with the runtime client, and an oracle that knows which settings are right.

The oracle knows of each version when the next one had come. Settings are right if they are all of
one version, and if this version was still current at the moment from which the client says that it
has them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.runtime_client import RuntimeClient, Settings
from tests.conftest import ASSISTANTS, Organization
from tests.end_to_end.misbehaving import Proxy
from tests.end_to_end.processes import client

_KEYS = "/api/v1/users/me/api-keys"
_SECONDS = 20


class Installation:
    """A server behind a proxy, one assistant on it, its versions, and a worker's key."""

    def __init__(self, url: str, organization: Organization, proxy: Proxy) -> None:
        self.proxy = proxy
        self.organization = organization
        self.versions: dict[int, dict[str, Any]] = {}
        self.ended: dict[int, float] = {}  # when the next version had come
        self.is_at(url)
        with self.by(organization.admin) as admin:
            self.versions[1] = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
            scopes = ["calls:resolve", "secrets:reveal"]
            key = {"name": "worker", "role": "viewer", "scopes": scopes}
            made = admin.post(_KEYS, json=key).json()
        self.assistant_id = self.versions[1]["id"]
        self.key, self._key_id = made["key"], made["api_key"]["id"]

    def is_at(self, url: str) -> None:
        """It is another server now."""
        self.url = url
        self.proxy.target = int(url.rpartition(":")[2])

    def by(self, key: str) -> httpx.Client:
        """A client that calls the server directly."""
        return client(self.url, key)

    def receipt(self, call_id: str) -> dict[str, Any]:
        """What the server says that a call ran."""
        with self.by(self.organization.viewer) as viewer:
            found: dict[str, Any] = viewer.get(f"/api/v1/calls/{call_id}").json()
        return found

    def revoke(self) -> None:
        with self.by(self.organization.admin) as admin:
            assert admin.delete(f"{_KEYS}/{self._key_id}").is_success

    def edit(self) -> None:
        """Make a new version. Nobody else makes any."""
        last = max(self.versions)
        path = f"{ASSISTANTS}/{self.assistant_id}"
        with self.by(self.organization.editor) as editor:
            shown = editor.patch(path, json={"custom_settings": {"edit": last}})
        assert shown.status_code == 200, shown.text
        self.versions[last + 1] = shown.json()
        self.ended[last] = time.monotonic()

    def wrong(self, settings: Settings) -> str:
        """What is wrong with settings that were given a moment ago, if anything is."""
        was_current_at = time.monotonic() - settings.age
        # The worker may have heard of a version before the editor has its answer.
        wait_for(lambda: settings.version in self.versions)
        if settings.values != self.versions[settings.version]:
            return f"these are not the settings of version {settings.version}"
        if was_current_at > self.ended.get(settings.version, was_current_at):
            return f"version {settings.version} was over {settings.age} s ago"
        return ""


class Worker(RuntimeClient):
    """A client that knows the one assistant."""

    def __init__(
        self, installation: Installation, directory: Path | None = None, **more: float
    ) -> None:
        self.assistant_id = installation.assistant_id
        url, key = installation.proxy.url, installation.key
        super().__init__(url, key, [self.assistant_id], directory=directory, **more)

    def now(self) -> Settings:
        return self.settings(self.assistant_id)

    def call(self, call_id: str) -> Settings:
        return self.resolve(call_id, assistant_id=self.assistant_id)


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """A file system of its own, in memory; false if it may not be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", place], check=True)
