"""The settings of assistants for a voice worker, also while the server is away. Copy this one file.

It needs Python 3.9 or newer and nothing else, and imports nothing of the server::

    with RuntimeClient("https://backstory.example", "bks_...", [7], directory="kept") as client:
        client.settings(7).values["llm_settings"]  # from memory
        client.resolve("call-1", assistant_id=7).values  # what this call runs on

It holds the settings of the assistants that it is given. One thread follows the change stream,
another asks for what changed, and for everything now and then: a stream gives no guarantee. With a
``directory``, the last good settings and the receipts that wait are files in it, mode 0600. Secrets
are in none of them: all settings that it holds are masked.

Once it has had settings of an assistant it goes on to return the last good ones: when the key is
revoked, the server fails, hangs or sends wrong bytes, or the disk is full. Each result says how old
it is (``age``, ``as_of``) and where it is from (``source``). What is wrong is logged, and in
``status()``. Make a client after a fork, not before.
"""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import http.client
import json
import logging
import os
import random
import socket
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from email.message import Message
    from typing import Self

_DEADLINE = 0.3  # seconds that resolve() waits where there are settings to fall back on,
_PATIENCE = 5.0  # and where there are none
_POLL = 30.0  # seconds between two looks at an assistant
_LONGEST_PAUSE = 15.0  # seconds between two attempts at a server that fails
_TIMEOUT = 10.0  # seconds for a request in the background
_SILENCE = 60.0  # seconds after which a stream without a heartbeat is taken for dead
_REWRITE = 300.0  # seconds after which settings that are still current are written again
_LOGGED_EVERY = 10.0  # seconds between two warnings about the same part, at least
_REPORT = 0.5  # seconds between two times at which receipts are sent
_IDLE = 4  # connections
_ASKING = 64  # requests of resolve() at one time
_CALLS = 10_000  # calls whose answers are kept
_RECEIPTS = 10_000  # receipts that wait
_CLOSING = 1.0  # seconds for the threads to end
_RESOLVE = "/api/v1/resolve"
_LONGEST_LINE = 1 << 20  # bytes of a stream
_PASSING = frozenset((401, 403, 408, 425, 429))  # statuses of a request that may be repeated
_FAILURES = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError)
_log = logging.getLogger("backstory.runtime_client")


class Unknown(LookupError):
    """There have never been settings for this, here or from the server."""


class NotAsked(Exception):
    """The server was not asked, since it would not answer in time."""


class Refused(ValueError):
    """The server answered with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status

    @property
    def is_final(self) -> bool:
        """Whether the same request would be answered so again."""
        return 400 <= self.status < 500 and self.status not in _PASSING  # noqa: PLR2004  # by RFC 9110


@dataclass(frozen=True)
class Settings:
    """The settings of an assistant, or of one call, as the server gave them.

    ``as_of`` is the time, in seconds since 1970, at which the server last called them current; of a
    call that was resolved before, the time of that.
    """

    assistant_id: int
    version: int
    digest: str
    text: str  # the values as JSON
    as_of: float
    source: str  # "memory", "disk" or "server"
    since: float  # the same moment as ``as_of``, by a clock that nobody sets
    reason: str = "current"  # or why a call runs on them: "direct", "pinned" or "offline"
    etag: str = ""

    @property
    def age(self) -> float:
        """The seconds since the server last called them current."""
        # One clock may be set, the other may stand while the machine sleeps.
        return max(0.0, time.monotonic() - self.since, time.time() - self.as_of)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The settings, for the caller alone."""
        values: dict[str, Any] = json.loads(self.text)
        return values


def digest_of(values: Mapping[str, Any]) -> str:
    """The digest of settings: SHA-256 of their JSON, members sorted, without spaces, in UTF-8."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Its body; raises ``Refused`` or ``ValueError``."""
        if self.status != 200:  # noqa: PLR2004  # OK
            raise Refused(self.status)
        return json.loads(self.body)


class _Server:
    """Sends requests over connections that it keeps. Each request ends within its seconds."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "https"
        self._host = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._busy: set[socket.socket] = set()
        self._is_closed = False

    def ask(
        self,
        method: str,
        path: str,
        seconds: float,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """The answer to a request; raises one of ``_FAILURES``."""
        content = None if body is None else json.dumps(body).encode()
        kind = {} if content is None else {"Content-Type": "application/json"}
        sent = {**self._headers, **kind, **(headers or {})}
        ends = time.monotonic() + seconds
        with suppress(IndexError, http.client.HTTPException, ConnectionError):
            # An idle connection may have been closed by the server meanwhile.
            return self._exchange(self._idle.pop(), method, path, ends, content, sent)
        return self._exchange(self._connection(), method, path, ends, content, sent)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """The answer that has no end; raises one of ``_FAILURES``."""
        connection = self._connection()
        with self._using(connection, _SILENCE):
            try:
                connection.request("GET", self._prefix + path, headers={**self._headers, **headers})
                yield connection.getresponse()
            finally:
                connection.close()

    def close(self) -> None:
        """End all requests, and keep no connection."""
        self._is_closed = True
        for one in list(self._busy):
            _cut(one)
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        return kind(self._host)

    @contextmanager
    def _using(
        self, connection: http.client.HTTPConnection, seconds: float
    ) -> Iterator[socket.socket]:
        """Each step on the connection ends within the seconds, and all of them at ``close``."""
        connection.timeout = seconds
        used = None
        try:
            if connection.sock is None:
                connection.connect()
            # The connection itself forgets it where the server is to close it.
            used = connection.sock
            used.settimeout(seconds)
            self._busy.add(used)
            if self._is_closed:
                raise ConnectionError("the client is closed")  # noqa: TRY301  # else: close() cuts it
            yield used
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(used)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        ends: float,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> _Answer:
        with self._using(connection, max(ends - time.monotonic(), 0.001)) as used:
            # The socket's own timeout begins anew with each byte.
            watchdog = threading.Timer(max(ends - time.monotonic(), 0.001), _cut, [used])
            watchdog.daemon = True
            watchdog.start()
            try:
                connection.request(method, self._prefix + path, body=content, headers=headers)
                response = connection.getresponse()
                answer = _Answer(response.status, response.headers, response.read())
            finally:
                watchdog.cancel()
        if response.will_close or self._is_closed or len(self._idle) >= _IDLE:
            connection.close()
        else:
            self._idle.append(connection)
        return answer


def _cut(used: socket.socket) -> None:
    """End what a thread waits for on a socket."""
    with suppress(OSError):
        socket.socket.shutdown(used, socket.SHUT_RDWR)  # past TLS, which would wait


class _Disk:
    """JSON files in a folder, each written whole or not at all, for their owner alone."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._folder = Path(directory)

    def read(self, kind: str) -> Iterator[Any]:
        """What the files of a kind hold, oldest first, as far as they can be read."""
        with suppress(OSError):
            found = sorted(self._folder.glob(f"{kind}-*.json"), key=lambda one: one.stat().st_mtime)
            for path in found:
                with suppress(OSError, ValueError):
                    yield json.loads(path.read_bytes())

    def write(self, kind: str, name: str, content: Any) -> None:
        """Write a file; raises ``OSError``."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(kind, name)
        draft = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123  # its mode
                file.write(json.dumps(content).encode())
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise

    def remove(self, kind: str, name: str) -> None:
        """Remove a file, if there is one; raises ``OSError``."""
        with suppress(FileNotFoundError):
            self._path(kind, name).unlink()

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


@dataclass(frozen=True)
class Call:
    """A call whose settings were asked for, and what it runs on if no answer comes in time."""

    call_id: str
    future: Future[Settings]
    seconds: float  # to wait for it
    fallback: Settings | None


class RuntimeClient:
    """Settings from memory, the disk or the server; see the top of this file."""

    def __init__(
        self,
        url: str,
        key: str,
        assistants: Iterable[int] = (),
        *,
        directory: str | os.PathLike[str] | None = None,
        deadline: float = _DEADLINE,
        poll: float = _POLL,
    ) -> None:
        self._server = _Server(url, key)
        self._disk = None if directory is None else _Disk(directory)
        self._deadline = deadline
        self._poll = poll
        self._lock = threading.Lock()
        self._known: dict[int, Settings] = {}
        self._written: dict[int, Settings] = {}
        self._calls: OrderedDict[str, Settings] = OrderedDict()
        self._receipts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lost = 0  # receipts that were refused, or too many
        self._due: dict[int, float] = {}  # when to look at an assistant
        self._announced: dict[int, int] = {}  # versions that the stream told of
        self._troubles: dict[str, str] = {}
        self._logged: dict[str, float] = {}  # when each was logged last
        self._shown: set[str] = set()  # those of which the log says no end yet
        self._failures = 0  # of the server, in a row
        self._quiet_until = 0.0  # no request before
        self._asking = threading.BoundedSemaphore(_ASKING)
        self._wake = threading.Event()
        self._owing = threading.Event()  # there are receipts to send
        self._closed = threading.Event()
        self._is_following = False
        self._last_event: str | None = None
        self._load()
        for assistant_id in assistants:
            self.follow(assistant_id)
        self._threads = [
            threading.Thread(target=work, name="backstory", daemon=True)
            for work in (self._refresh, self._listen, self._report)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End at once. Receipts that wait stay on the disk, if there is one."""
        self._closed.set()
        self._wake.set()
        self._owing.set()
        self._server.close()
        for thread in self._threads:
            thread.join(_CLOSING)

    def follow(self, assistant_id: int) -> None:
        """Hold the settings of one more assistant."""
        self._due.setdefault(assistant_id, 0.0)
        self._wake.set()

    def held(self, assistant_id: int) -> Settings | None:
        """The settings in memory."""
        known = self._known.get(assistant_id)
        return None if known is None else replace(known)

    def settings(self, assistant_id: int) -> Settings:
        """The settings, which the server is asked for the first time; raises ``Unknown``."""
        if (held := self.held(assistant_id)) is not None:
            return held
        try:
            self._look(assistant_id, _PATIENCE)
            self.follow(assistant_id)
            return replace(self._known[assistant_id], source="server")
        except _FAILURES as error:
            self._failed(error)
            raise Unknown(f"assistant {assistant_id}") from error

    def resolve(
        self,
        call_id: str,
        *,
        assistant_id: int,
        caller: str | None = None,
        secrets: bool = False,
    ) -> Settings:
        """What a call runs on, the same each time; raises ``Unknown`` if there was never anything.

        Unless the server says it in time, it is what memory has, and a receipt is sent later. The
        server's answer has ``secrets`` in plain text if asked; what memory has is always masked.
        """
        call = self.ask(
            call_id,
            assistant_id=assistant_id,
            caller=caller,
            secrets=secrets,
        )
        return self.end(call, call.seconds)

    def status(self) -> dict[str, Any]:
        """What it has, how old it is in seconds, what waits, and what is wrong now."""
        known = {one.assistant_id: one for one in list(self._known.values())}
        return {
            "following": self._is_following,
            "troubles": dict(self._troubles),
            "assistants": {
                number: {"version": one.version, "age": one.age, "source": one.source}
                for number, one in known.items()
            },
            "oldest": max((one.age for one in known.values()), default=None),
            "receipts": {"waiting": len(self._receipts), "lost": self._lost},
        }

    # -- a call, in two steps, between which its caller waits

    def ask(
        self,
        call_id: str,
        *,
        assistant_id: int,
        caller: str | None = None,
        secrets: bool = False,
    ) -> Call:
        """Begin to ask what a call runs on."""
        held = self.held(assistant_id)
        fallback = None if held is None else replace(held, reason="offline")
        seconds = _PATIENCE if fallback is None else self._deadline
        future: Future[Settings] = Future()
        call = Call(call_id, future, seconds, fallback)
        if (earlier := self._calls.get(call_id)) is not None:
            future.set_result(replace(earlier))
            return call
        asked = {
            "call_id": call_id,
            "assistant_id": assistant_id,
            "caller": caller,
            "secrets": secrets or None,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        if fallback is not None and time.monotonic() < self._quiet_until:
            future.set_exception(NotAsked("the server failed a moment ago"))
        elif not self._asking.acquire(blocking=False):
            future.set_exception(NotAsked(f"{_ASKING} requests wait"))
        else:
            future.set_running_or_notify_cancel()
            self._start(call, body)
        return call

    def end(self, call: Call, seconds: float = 0.0) -> Settings:
        """What the call runs on, if need be from memory; raises ``Unknown``."""
        try:
            chosen = call.future.result(seconds)
        except Exception as error:  # whatever it is, the call goes on
            self._failed(error)
            if call.fallback is None:
                raise Unknown(f"call {call.call_id}") from error
            chosen = call.fallback
        with self._lock:
            kept = self._calls.setdefault(call.call_id, chosen)
            while len(self._calls) > _CALLS:
                self._calls.popitem(last=False)
        if kept is call.fallback:
            self._owe(call.call_id, kept)
        return replace(kept)

    def _start(self, call: Call, body: dict[str, Any]) -> None:
        try:
            threading.Thread(target=self._ask, args=(call, body), daemon=True).start()
        except RuntimeError as error:  # there is no room for a thread
            self._asking.release()
            call.future.set_exception(error)

    def _ask(self, call: Call, body: dict[str, Any]) -> None:
        try:
            now, clock = time.time(), time.monotonic()
            answer = self._server.ask("POST", _RESOLVE, call.seconds, body).json()
            _is_of(answer, "call_id", call.call_id)
            is_current = answer["reason"] == "direct"
            as_of = now if is_current else min(now, _seconds(answer["resolved_at"]))
            settings = Settings(
                assistant_id=answer["assistant_id"],
                version=answer["version"],
                digest=answer["digest"],
                text=json.dumps(answer["settings"]),
                as_of=as_of,
                source="server",
                since=clock - (now - as_of),
                reason=answer["reason"],
            )
            if not body.get("secrets"):  # the digest is of the masked settings
                _check(settings)
            self._works()
            self._note("requests", None)
            if is_current and not body.get("secrets"):
                self._learn(settings)
            call.future.set_result(settings)
        except Exception as error:  # noqa: BLE001  # who waits for it decides
            call.future.set_exception(error)
        finally:
            self._asking.release()

    def _learn(self, settings: Settings) -> None:
        """Hold the settings of an assistant that it was not told of."""
        if settings.assistant_id not in self._known:
            self._keep(replace(settings, source="memory", reason="current"))
            self.follow(settings.assistant_id)

    def _owe(self, call_id: str, settings: Settings) -> None:
        """Queue the receipt of a call that memory answered."""
        ran = {"version": settings.version, "digest": settings.digest}
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        receipt = {"call_id": call_id, "assistant_id": settings.assistant_id, "at": at, "ran": ran}
        with self._lock:
            self._receipts[call_id] = receipt
            too_many = list(islice(self._receipts, max(0, len(self._receipts) - _RECEIPTS)))
        self._owing.set()
        for dropped in too_many:
            self._settled(dropped, is_lost=True)
        self._write("receipt", call_id, {"receipt": receipt, "settings": asdict(settings)})

    def _settled(self, call_id: str, *, is_lost: bool) -> None:
        with self._lock:
            self._receipts.pop(call_id, None)
            self._lost += is_lost
        if self._disk is not None:
            with suppress(OSError):
                self._disk.remove("receipt", call_id)

    # -- what the threads do

    def _refresh(self) -> None:
        while not self._closed.is_set():
            try:
                self._look_at_what_is_due()
            except Exception as error:  # noqa: BLE001  # whatever it is, it tries again
                self._failed(error)
            now = time.monotonic()
            due = min(list(self._due.values()), default=now + self._poll)
            self._wake.wait(max(due, self._quiet_until) - now)
            self._wake.clear()

    def _look_at_what_is_due(self) -> None:
        for assistant_id, due in list(self._due.items()):
            now = time.monotonic()
            if now < self._quiet_until or self._closed.is_set():
                return
            if due <= now:
                # Before it looks, so that what the stream tells meanwhile makes it look again.
                self._due[assistant_id] = now + self._poll * random.uniform(0.8, 1.2)  # noqa: S311
                self._try_to_look(assistant_id)

    def _try_to_look(self, assistant_id: int) -> None:
        """Look at an assistant, which may have been deleted; raises one of ``_FAILURES``."""
        try:
            self._look(assistant_id, _TIMEOUT)
        except _FAILURES as error:
            if isinstance(error, Refused) and error.is_final:
                self._note(f"assistant {assistant_id}", error)
            else:
                self._due[assistant_id] = 0.0
                raise
        else:
            self._note(f"assistant {assistant_id}", None)

    def _look(self, assistant_id: int, seconds: float) -> None:
        """Ask for an assistant; raises one of ``_FAILURES`` if the server fails."""
        known = self._known.get(assistant_id)
        headers = {"If-None-Match": known.etag} if known and known.etag else {}
        now, clock = time.time(), time.monotonic()
        path = f"/api/v1/assistants/{assistant_id}"
        answer = self._server.ask("GET", path, seconds, headers=headers)
        age = float(answer.headers.get("Age") or 0)
        if answer.status == 304 and known is not None:  # noqa: PLR2004  # Not Modified
            self._keep(replace(known, as_of=now - age, since=clock - age, source="memory"))
        else:
            values = answer.json()
            _is_of(values, "id", assistant_id)
            self._keep(
                Settings(
                    assistant_id=assistant_id,
                    version=int(values["version"]),
                    digest=digest_of(values),
                    text=json.dumps(values),
                    as_of=now - age,
                    source="memory",
                    since=clock - age,
                    etag=answer.headers["ETag"],
                )
            )
        self._works()
        if self._known[assistant_id].version < self._announced.pop(assistant_id, 0):
            self._due[assistant_id] = time.monotonic() + 1  # another process answered, from before

    def _keep(self, fresh: Settings) -> None:
        """Hold settings, unless an answer that overtook them is newer."""
        with self._lock:
            known = self._known.get(fresh.assistant_id)
            if known is not None and known.since > fresh.since:
                return
            self._known[fresh.assistant_id] = fresh
        written = self._written.get(fresh.assistant_id)
        same = written is not None and written.digest == fresh.digest
        if written is None or not same or fresh.since - written.since > _REWRITE:
            self._write("settings", str(fresh.assistant_id), asdict(fresh))
            self._written[fresh.assistant_id] = fresh

    def _report(self) -> None:
        while not self._closed.is_set():
            self._owing.wait()
            self._owing.clear()
            try:
                self._send_receipts()
            except Exception as error:  # noqa: BLE001  # whatever it is, it tries again
                self._failed(error)
            if self._receipts:
                self._owing.set()
            self._closed.wait(max(_REPORT, self._quiet_until - time.monotonic()))

    def _send_receipts(self) -> None:
        for call_id, receipt in list(self._receipts.items()):
            if time.monotonic() < self._quiet_until or self._closed.is_set():
                return
            self._settled(call_id, is_lost=not self._is_taken(receipt))
            self._works()

    def _is_taken(self, receipt: dict[str, Any]) -> bool:
        """Send a receipt; false if the server refuses it; raises one of ``_FAILURES``."""
        try:
            answer = self._server.ask("POST", _RESOLVE, _TIMEOUT, receipt).json()
        except Refused as error:
            if not error.is_final:
                raise
            self._note("receipts", error)
            return False
        _is_of(answer, "call_id", receipt["call_id"])
        self._note("receipts", None)
        return True

    def _listen(self) -> None:
        failures = 0
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._follow_stream()
            except Exception as error:  # noqa: BLE001  # whatever it is, it connects again
                self._note("stream", error)
            self._is_following = False
            failures = 0 if time.monotonic() - began > 1 else failures + 1
            self._closed.wait(_pause(failures))

    def _follow_stream(self) -> None:
        headers = {"Accept": "text/event-stream"}
        if self._last_event is not None:
            headers["Last-Event-ID"] = self._last_event
        with self._server.stream("/api/v1/events/stream", headers) as response:
            if response.status != 200:  # noqa: PLR2004  # OK
                self._last_event = None  # the log may be another one
                raise Refused(response.status)
            if self._last_event is None:
                self._last_event = response.headers["X-After-Sequence"]
            self._note("stream", None)
            self._is_following = True
            for assistant_id in list(self._due):
                self._due[assistant_id] = 0.0
            self._quiet_until = 0.0
            self._wake.set()
            self._read_events(iter(lambda: response.readline(_LONGEST_LINE), b""))

    def _read_events(self, lines: Iterator[bytes]) -> None:
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line != b"\n":
                fields[name] = value
                continue
            event = json.loads(fields.pop("data"))
            self._last_event = str(int(fields.pop("id")))
            assistant_id = event.get("assistant_id")
            if assistant_id in self._due:
                self._announced[assistant_id] = event.get("version", 0)
                self._due[assistant_id] = 0.0
                self._wake.set()

    # -- what is wrong, and the disk

    def _failed(self, error: BaseException) -> None:
        """Ask nothing for a while, longer with each failure in a row."""
        if isinstance(error, NotAsked):
            return
        if isinstance(error, Refused) and error.is_final:  # the server works
            self._note("requests", error)
            return
        self._note("server", error)
        now = time.monotonic()
        if now >= self._quiet_until:
            self._failures += 1
            self._quiet_until = now + _pause(self._failures)

    def _works(self) -> None:
        self._note("server", None)
        self._failures, self._quiet_until = 0, 0.0

    def _note(self, part: str, error: BaseException | None) -> None:
        """Log what is newly wrong, and what is well again."""
        if self._closed.is_set():  # which is why it failed
            return
        now = time.monotonic()
        if error is None:
            self._troubles.pop(part, None)
            if part in self._shown:
                self._shown.discard(part)
                _log.info("%s: well again", part)
            return
        # What fails and works by turns would fill the log.
        is_due = now - self._logged.get(part, -_LOGGED_EVERY) >= _LOGGED_EVERY
        if is_due and part not in self._shown:
            _log.warning("%s: %s", part, _said(error))
            self._logged[part] = now
            self._shown.add(part)
        self._troubles[part] = _said(error)

    def _write(self, kind: str, name: str, content: Any) -> None:
        if self._disk is None:
            return
        try:
            self._disk.write(kind, name, content)
            self._note("disk", None)
        except OSError as error:
            self._note("disk", error)

    def _load(self) -> None:
        if self._disk is None:
            return
        for stored in self._disk.read("settings"):
            with suppress(*_FAILURES):
                settings = _restored(stored)
                self._known[settings.assistant_id] = settings
                self.follow(settings.assistant_id)
        for stored in self._disk.read("receipt"):
            with suppress(*_FAILURES):
                call_id = stored["receipt"]["call_id"]
                self._calls[call_id] = _restored(stored["settings"])
                self._receipts[call_id] = stored["receipt"]
                self._owing.set()


def _restored(stored: dict[str, Any]) -> Settings:
    """Settings from the disk; raises one of ``_FAILURES``."""
    since = time.monotonic() - max(0.0, time.time() - stored["as_of"])
    settings = Settings(**{**stored, "source": "disk", "since": since})
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if digest_of(settings.values) != settings.digest:
        raise ValueError("the settings do not have their digest")


def _is_of(answer: Any, member: str, name: object) -> None:
    if answer[member] != name:
        raise ValueError(f"the answer is of another {member}")


def _seconds(moment: str) -> float:
    """An RFC 3339 moment in UTC as seconds since 1970, without its fraction."""
    return float(calendar.timegm(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    longest = min(_LONGEST_PAUSE, 0.1 * 2.0 ** min(failures, 20))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # no secret


class AsyncRuntimeClient:
    """A ``RuntimeClient`` for asyncio: ``AsyncRuntimeClient(RuntimeClient(...))``."""

    def __init__(self, client: RuntimeClient) -> None:
        self.client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As ``RuntimeClient.close``."""
        await asyncio.to_thread(self.client.close)

    async def settings(self, assistant_id: int) -> Settings:
        """As ``RuntimeClient.settings``: without waiting, once there are some."""
        held = self.client.held(assistant_id)
        if held is not None:
            return held
        return await asyncio.to_thread(self.client.settings, assistant_id)

    async def resolve(
        self,
        call_id: str,
        *,
        assistant_id: int,
        caller: str | None = None,
        secrets: bool = False,
    ) -> Settings:
        """As ``RuntimeClient.resolve``."""
        call = self.client.ask(
            call_id,
            assistant_id=assistant_id,
            caller=caller,
            secrets=secrets,
        )
        with suppress(Exception):  # the end of the call says what it was
            await asyncio.wait_for(asyncio.wrap_future(call.future), call.seconds)
        return await asyncio.to_thread(self.client.end, call)

    def status(self) -> dict[str, Any]:
        """As ``RuntimeClient.status``."""
        return self.client.status()
