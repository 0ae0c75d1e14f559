"""The neighbours: what another organization, or a client without a key, does to a server.

A process of its own, for ``tests.benchmarks.neighbours``: ``python -m tests.benchmarks.noise NAME
SIZE URL KEY`` writes the neighbour's data, prints ``ready``, reads the URL of the server to load,
loads it until its input ends, and prints the answers.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, cycle
from urllib.parse import urlsplit

from msgspec import Struct

from app.accounts.tokens import make_token, organization_of

_API = "/api/v1"
_ASSISTANTS = f"{_API}/assistants"
_LARGE = 950_000  # bytes of a text; a body may have 1 MiB, and settings two
_SENT = 800_000  # bytes of a body that nobody reads
_TIMEOUT = 30.0  # seconds without a byte of an answer
_KEPT = 1 << 16  # bytes of an answer
_LINE = b"x-many: " + b"a" * 4000 + b"\r\n"
_LINES = 16_000  # 64 MB
_HALF_OPEN = 2000  # connections
_HALVES = (
    b"GET / HTTP/1.1\r\nhost: bench\r\nx-slow: ",
    b"PUT / HTTP/1.1\r\nhost: bench\r\ncontent-length: 100\r\n\r\n{",
)
_KEYS = 1000
_BUSY = frozenset(("429", "503"))
_numbers = count(1)


class Answer(Struct, frozen=True):
    """The status of an answer, or what took its place; and how its body begins."""

    status: str
    body: bytes = b""
    wait: float = 0.0  # seconds, as ``Retry-After`` says


class Client:
    """A connection with a key, or without one. For one thread."""

    def __init__(self, url: str, key: str) -> None:
        place = urlsplit(url)
        self.address = place.hostname or "", place.port or 0
        self.key = key
        self._connection = http.client.HTTPConnection(*self.address, timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> str:
        """The status of an answer; ``cut off`` where none came."""
        return self.answer(method, path, body, **headers).status

    def answer(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """An answer, read to its end and thrown away after its first bytes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            sent |= {"authorization": f"Bearer {self.key}"}
        if body:
            sent |= {"content-type": "application/json"}
        try:
            if self._connection.sock is None:
                self._connection.connect()
            with suppress(OSError):  # an answer may come before all of the body went
                self._connection.request(method, path, body or None, sent)
            return _read(self._connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer("cut off")

    def change(self, method: str, path: str, body: Mapping[str, object]) -> Answer:
        """A success, after as many attempts as a busy server asks for."""
        while (answer := self.answer(method, path, json.dumps(body).encode())).status in _BUSY:
            time.sleep(min(answer.wait, 1.0) or 0.1)
        if not answer.status.startswith("2"):
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:500]!r}")
        return answer


def _read(response: http.client.HTTPResponse) -> Answer:
    body = response.read(_KEPT)
    while response.read(1 << 20):
        pass
    wait = response.headers.get("retry-after", "0")
    return Answer(str(response.status), body, float(wait) if wait.isdigit() else 0.0)


def text(size: int) -> str:
    """Words, the same ones for a size."""
    choose = random.Random(size)
    words = ["".join(choose.choices("aeinorst", k=choose.randint(2, 9))) for _ in range(1000)]
    return " ".join(choose.choices(words, k=size // 4))[:size]


# -- what they need: ``size`` 1 for a full measurement, less for a look


def _nothing(client: Client, size: float) -> None:
    """A neighbour without data."""


def _long_history(client: Client, size: float) -> None:
    """An assistant whose large prompt was changed 150 times."""
    body = {"name": "Long", "llm_settings": {"system_prompt": text(_LARGE)}}
    client.change("POST", _ASSISTANTS, body)
    other = {"llm_settings": {"system_prompt": text(_LARGE - 1)}}
    client.change("PATCH", f"{_ASSISTANTS}/1", other)
    for number in range(int(148 * size)):
        client.change("POST", f"{_ASSISTANTS}/1/rollback", {"to_version": 1 + number % 2})


def _many_large(client: Client, size: float) -> None:
    """Three hundred assistants of almost two megabytes."""
    body = {"name": "Large", "llm_settings": {"system_prompt": text(_LARGE)}}
    client.change("POST", _ASSISTANTS, body)
    client.change("PATCH", f"{_ASSISTANTS}/1", {"custom_settings": {"notes": text(_LARGE)}})
    for _ in range(int(299 * size)):
        client.change("POST", f"{_ASSISTANTS}/1/duplicate", {})


def _eight_large(client: Client, _: float) -> None:
    for _number in range(8):
        body = {"name": "Large", "llm_settings": {"system_prompt": text(_LARGE)}}
        client.change("POST", _ASSISTANTS, body)


def _thousand_keys(client: Client, size: float) -> None:
    """An assistant, and the keys that ``keys`` uses."""
    client.change("POST", _ASSISTANTS, {"name": "Busy"})
    for number in range(int(_KEYS * size)):
        body = {"name": f"Key {number}", "role": "editor"}
        answer = client.change("POST", f"{_API}/users/me/api-keys", body)
        _made.append(json.loads(answer.body)["key"])


_made: list[str] = []


# -- what they do, again and again: each returns the answer


def searches(client: Client) -> str:
    """Looks for what no change, no event and no assistant has."""
    return client.ask("GET", next(_SEARCHES))


_SEARCHES = cycle(
    (
        f"{_ASSISTANTS}/1/settings-history?path=/nothing",
        f"{_API}/audit/logs?resource_type=assistant&event_type=assistant_settings_changed&user_id=9",
        f"{_ASSISTANTS}/1/blame?path=/llm_settings",
        f"{_ASSISTANTS}/activity?search=nothing",
    )
)


def filters(client: Client) -> str:
    """Asks which assistants a change of all with a certain prompt would change."""
    chosen = {"settings": {"/llm_settings/system_prompt": "nothing"}}
    body = {"filter": chosen, "patch": {"is_active": False}, "dry_run": True}
    return client.ask("POST", f"{_API}/change-sets", json.dumps(body).encode())


def lists(client: Client) -> str:
    """Reads the list of large assistants."""
    return client.ask("GET", f"{_ASSISTANTS}?limit=100")


def history(client: Client) -> str:
    """Reads pages of large changes."""
    return client.ask("GET", f"{_ASSISTANTS}/1/settings-history?limit=50")


def versions(client: Client) -> str:
    """Reads pages of versions of a large assistant."""
    return client.ask("GET", f"{_ASSISTANTS}/1/versions?limit=10")


def change_sets(client: Client) -> str:
    """Changes all of its large assistants at once."""
    body = {"filter": {}, "patch": {"llm_settings": {"max_tokens": next(_numbers) % 4000 + 1}}}
    return client.ask("POST", f"{_API}/change-sets", json.dumps(body).encode())


def exports(client: Client) -> str:
    """Exports the log of large changes, and the list."""
    return client.ask("GET", next(_EXPORTS))


_EXPORTS = cycle(
    (
        *(f"{_API}/audit/export?format={name}" for name in ("ndjson", "csv", "json", "ocsf")),
        f"{_ASSISTANTS}/export",
    )
)


def patches(client: Client) -> str:
    """Writes large prompts."""
    number = next(_numbers)
    body = {"llm_settings": {"system_prompt": _TEXTS[number % 2]}}
    path = f"{_ASSISTANTS}/{number % 8 + 1}"
    return client.ask("PATCH", path, json.dumps(body).encode())


_TEXTS = (text(_LARGE - 1), text(_LARGE))


def no_ops(client: Client) -> str:
    """Changes nothing of a large assistant, each time under another key."""
    key = f"no-op-{next(_numbers)}"
    return client.ask("PATCH", f"{_ASSISTANTS}/1", b'{"name": "Large"}', idempotency_key=key)


def keys(client: Client) -> str:
    """Reads and changes an assistant, each time with another of a thousand API keys."""
    number = next(_numbers)
    client.key = _made[number % len(_made)]
    if number % 8:
        return client.ask("GET", f"{_ASSISTANTS}/1")
    body = {"llm_settings": {"max_tokens": number % 4000 + 1}}
    return client.ask("PATCH", f"{_ASSISTANTS}/1", json.dumps(body).encode())


def refused_keys(client: Client) -> str:
    """Guesses keys of an organization."""
    client.key = make_token(organization_of(client.key) or 0)
    return client.ask("GET", f"{_ASSISTANTS}/1")


def bodies(client: Client) -> str:
    """Sends long bodies without a key."""
    client.key = ""
    return client.ask("PUT", f"{_ASSISTANTS}/1", _BODY)


_BODY = b'{"custom_settings":{%s}}' % b",".join(b'"k%d":[{"a":1}]' % n for n in range(_SENT // 20))


def headers(client: Client) -> str:
    """Sends header after header, without a key and without an end."""
    try:
        with socket.create_connection(client.address, _TIMEOUT) as sending:
            sending.sendall(b"GET / HTTP/1.1\r\nhost: bench\r\n")
            for _ in range(_LINES):
                sending.sendall(_LINE)
            sending.sendall(b"\r\n")
            return sending.recv(_KEPT)[9:12].decode() or "cut off"
    except OSError:
        return "cut off"


def half_open(client: Client) -> str:
    """Keeps connections open whose requests never end."""
    if len(_open) >= _HALF_OPEN:
        return _watch()
    try:
        sending = socket.create_connection(client.address, _TIMEOUT)
        sending.sendall(_HALVES[len(_open) % 2])
    except OSError:
        time.sleep(0.01)
        return "refused"
    _open.append(sending)
    return "opened"


def _watch() -> str:
    """Wait for what the server says to the connections, which is that it closes some."""
    polled = select.poll()
    files = {sending.fileno(): sending for sending in _open}
    for file in files:
        polled.register(file, select.POLLIN)
    for file, _ in polled.poll(50):
        try:
            status = files[file].recv(_KEPT)[9:12].decode() or "closed"
        except OSError:
            status = "closed"
        files[file].close()
        _open.remove(files[file])
        return status
    return ""


_open: list[socket.socket] = []


def rest(_: Client) -> str:
    """Does nothing."""
    time.sleep(0.1)
    return ""


class Neighbour(Struct, frozen=True):
    """What a neighbour does, over how many connections, and what it needs before."""

    act: Callable[[Client], str]
    connections: int
    prepare: Callable[[Client, float], None] = _nothing


NOBODY = "nobody"
NEIGHBOURS = {
    NOBODY: Neighbour(rest, 1),
    "searches": Neighbour(searches, 8, _long_history),
    "filters": Neighbour(filters, 4, _many_large),
    "lists": Neighbour(lists, 4, _many_large),
    "history": Neighbour(history, 4, _long_history),
    "versions": Neighbour(versions, 6, _long_history),
    "change-sets": Neighbour(change_sets, 2, _many_large),
    "exports": Neighbour(exports, 5, _long_history),
    "patches": Neighbour(patches, 8, _eight_large),
    "no-ops": Neighbour(no_ops, 8, _eight_large),
    "keys": Neighbour(keys, 32, _thousand_keys),
    "refused-keys": Neighbour(refused_keys, 32),
    "bodies": Neighbour(bodies, 32),
    "headers": Neighbour(headers, 8),
    "half-open": Neighbour(half_open, 1),
}


@contextmanager
def _acting(neighbour: Neighbour, url: str, key: str) -> Iterator[Counter[str]]:
    """Threads that act until the end of the block, and the answers so far."""
    answers: Counter[str] = Counter()

    def go_on() -> None:
        client = Client(url, key)
        while True:
            answers[neighbour.act(client)] += 1

    for _ in range(neighbour.connections):
        threading.Thread(target=go_on, daemon=True).start()
    yield answers


def main() -> None:
    """Prepare, act until the input ends, and print the answers."""
    _, name, size, url, key = sys.argv
    os.nice(10)  # the work of clients is not what is measured
    neighbour = NEIGHBOURS[name]
    neighbour.prepare(Client(url, key), float(size))
    print("ready", flush=True)  # noqa: T201  # to the benchmark
    with _acting(neighbour, sys.stdin.readline().strip(), key) as answers:
        sys.stdin.read()
        counts = [f"{number} x {status}" for status, number in answers.most_common() if status]
        print(", ".join(counts) or "no answer", flush=True)  # noqa: T201  # to the benchmark
        os._exit(0)  # whatever still waits for an answer


if __name__ == "__main__":
    main()
