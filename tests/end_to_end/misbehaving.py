"""A TCP proxy that stands before a server and misbehaves as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BYTES = 65_536
_PORTAL = b"<html>Sign in to this network</html>"
_ANSWERS = {
    "portal": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_PORTAL), _PORTAL),
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "noise": bytes(range(256)) * 4,
    "unavailable": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}
# What it does: let nothing through; pass on half of what the server sends, and cut; keep it back;
# pass it on late; send something else instead.
MODES = ("dead", "cut", "hang", "slow", *_ANSWERS)
_LATE = 0.4  # seconds


class Proxy:
    """Passes on what clients send to the ``target``, and what comes back as its ``mode`` says."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.target = 0  # a port
        self._mode = "well"
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def close(self) -> None:
        self.mode = "closed"
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cut every connection, as a network does that is changed."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:  # it was closed
                return
            threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _serve(self, here: socket.socket) -> None:
        with here, socket.socket() as there:
            self._open |= {here, there}
            try:
                there.connect(("127.0.0.1", self.target))
                back = threading.Thread(target=self._back, args=(there, here), daemon=True)
                back.start()
                while (data := here.recv(_BYTES)) and self._mode != "dead":
                    there.sendall(data)
                there.shutdown(socket.SHUT_WR)
                back.join()
            except OSError:  # the server or the client is gone
                pass
            finally:
                self._open -= {here, there}

    def _back(self, there: socket.socket, here: socket.socket) -> None:
        with suppress(OSError):
            while data := there.recv(_BYTES):
                if not self._pass(data, here):
                    break
        for one in (here, there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass(self, data: bytes, here: socket.socket) -> bool:
        """Pass data on as the mode says; whether the connection goes on."""
        mode = self._mode
        if mode in _ANSWERS:
            here.sendall(_ANSWERS[mode])
            return False
        if mode == "cut":
            here.sendall(data[: len(data) // 2])
            return False
        with self._changed:
            if mode == "hang":
                self._changed.wait_for(lambda: self._mode != "hang")
            if mode == "slow":
                self._changed.wait_for(lambda: self._mode == "closed", _LATE)
        here.sendall(data)
        return True


@contextmanager
def misbehaving() -> Iterator[Proxy]:
    proxy = Proxy()
    try:
        yield proxy
    finally:
        proxy.close()
