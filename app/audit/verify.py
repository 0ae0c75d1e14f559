r"""Verifies exports of the audit log offline: ``python -m app.audit.verify FILE... --key KEYFILE``.

It shares nothing with the server except the RFC, and needs only Python and ``cryptography``. Each
line is an event with its leaf of a Merkle tree (RFC 6962), or a checkpoint: a signed root of that
tree (C2SP signed-note, tlog-checkpoint). Some events hold a checkpoint of all events before them.

    {"leaf_index":0,"leaf_hash":"...","event":{...}}
    {"last_sequence":1,"checkpoint":"ORIGIN\nSIZE\nROOT\n\n— NAME SIGNATURE\n"}

The bytes are hashed as they stand in the file; their JSON only says whether an event is where it
belongs. The tree is kept as its frontier, so that memory does not grow with the file.

With keys, this proves that the events are those that were signed, all and in order; without, only
that the file agrees with itself. A file may always be the true one of an earlier day: keep
checkpoints, and give the latest as ``--checkpoint``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

What = Literal["edited", "missing", "reordered", "truncated", "foreign"]

# 18 digits: int() refuses endless ones, and no log grows so long.
_EVENT = rb'{"leaf_index":(0|[1-9]\d{0,17}),"leaf_hash":"([0-9a-f]{64})","event":({.*})}\n'
_CLOSING = rb'{"last_sequence":(0|[1-9]\d{0,17}),"checkpoint":(".*")}\n'
_FILTERED_CLOSING = rb'{"last_sequence":\d+,"filter":'
_SIGNATURE = r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})\n"
_NOTE = rf"((.+)\n(0|[1-9][0-9]{{0,17}})\n([A-Za-z0-9+/]{{43}}=)\n)\n((?:{_SIGNATURE})+)"
_ED25519 = rb"(?s)\x01.{32}"
_ANCHOR = "checkpoint_recorded.v1"
_LONGEST_LINE = 2**28  # bytes; a file without newlines must not fill the memory
_REPORTED_EVERY = 1000  # events


class Failed(Exception):
    """The log is not what was signed: the first sequence that can be wrong, and in which way."""

    def __init__(self, sequence: int, what: What, detail: str) -> None:
        super().__init__(f"sequence {sequence}: {what}: {detail}")
        self.sequence = sequence
        self.what = what
        self.detail = detail


class Malformed(ValueError):
    """A text that breaks the rules of its format."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was proven. Without keys ``signed_by`` is empty: no signature was checked."""

    events: int
    origin: str
    root: str  # base64
    signed_by: tuple[str, ...]  # ids of the keys that signed the last checkpoint

    def __str__(self) -> str:
        """The sentence to print."""
        signed_by = "signed by " + ", ".join(self.signed_by)
        unsigned = "but no keys were given: nobody's signature was checked"
        return (
            f"verified: {self.events} events of {self.origin}, root {self.root}, "
            f"{signed_by if self.signed_by else unsigned}"
        )


class Tree:
    """The Merkle tree of RFC 6962, section 2.1: the roots of its full subtrees, from the left.

    They are the one bits of the size: 6 leaves are a subtree of 4 and one of 2.
    """

    def __init__(self) -> None:
        self.size = 0
        self.frontier: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash. As bits carry over, two subtrees of one size become one."""
        self.size += 1
        self.frontier.append(leaf)
        carry = self.size
        while carry % 2 == 0:
            right, left = self.frontier.pop(), self.frontier.pop()
            self.frontier.append(_node(left, right))
            carry //= 2

    def root(self) -> bytes:
        """The hash over all leaves so far."""
        if not self.frontier:
            return hashlib.sha256().digest()
        *others, root = self.frontier
        for left in reversed(others):
            root = _node(left, root)
        return root


def leaf_hash(body: bytes) -> bytes:
    """The hash of an event's bytes. The first byte distinguishes leaves from nodes."""
    return hashlib.sha256(b"\x00" + body).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, kw_only=True)
class Note:
    """A signed checkpoint: a number of events, and the root over them."""

    origin: str
    size: int
    root: bytes
    signed: bytes  # the text that the signatures sign
    signatures: tuple[
        tuple[str, bytes], ...
    ]  # of each: the key's name, then its id and the signature


def read_note(text: str) -> Note:
    """The checkpoint that a note holds; raises ``Malformed``."""
    note = re.fullmatch(_NOTE, text)
    # The specification forbids control characters and lone surrogates, and so do terminals.
    if not note or not note[2].isprintable():
        raise Malformed("the checkpoint is no signed note")
    signatures = [(name, _unbase64(blob)) for name, blob in re.findall(_SIGNATURE, note[5])]
    return Note(
        origin=note[2],
        size=int(note[3]),
        root=_unbase64(note[4]),
        signed=note[1].encode(),
        signatures=tuple(signatures),
    )


def _unbase64(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        blob = b""
    # Spare bits of the last character would make two texts of one signature.
    if base64.b64encode(blob).decode() != text:
        raise Malformed("its base64 is not canonical")
    return blob


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys that may sign the checkpoints of one origin."""

    origin: str
    public: dict[bytes, Ed25519PublicKey]  # by key id

    def signers(self, note: Note) -> tuple[str, ...]:
        """The known keys that signed; raises ``InvalidSignature`` if one of them did not."""
        signers = []
        for name, blob in note.signatures:
            key = self.public.get(blob[:4])
            # A note may carry signatures of any number of unknown keys, such as those of witnesses.
            if key and name == self.origin:
                key.verify(blob[4:], note.signed)
                signers.append(blob[:4].hex())
        return tuple(signers)


def read_keys(text: bytes) -> Keys:
    """The keys that ``GET /api/v1/audit/key`` answered; raises ``Malformed``."""
    match _json(text):
        case {"origin": str(origin), "keys": [_, *_] as entries}:
            return Keys(origin=origin, public=dict(_read_key(origin, entry) for entry in entries))
    raise Malformed("it holds no origin and no keys")


def _read_key(origin: str, entry: Any) -> tuple[bytes, Ed25519PublicKey]:
    """One verifier key: its name, its id in hex, and in base64 its algorithm, 1, and its bytes."""
    match entry:
        case {"verifier_key": str(text)} if text.isprintable() and text.count("+") > 1:
            name, stated_id, blob = text.split("+", 2)
        case _:
            raise Malformed("a key has no verifier_key NAME+ID+KEY")
    key = _unbase64(blob)
    key_id = hashlib.sha256(f"{name}\n".encode() + key).digest()[:4]
    if name != origin or stated_id != key_id.hex() or not re.fullmatch(_ED25519, key):
        raise Malformed(f"{text} is no Ed25519 key of {origin}")
    return key_id, Ed25519PublicKey.from_public_bytes(key[1:])


def _json(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"its JSON cannot be read: {error}") from None


def _quoted(text: str) -> bytes:
    """A string as a checkpoint's line must write it. A file cannot hold raw surrogates."""
    return json.dumps(text, ensure_ascii=False).encode(errors="replace")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a member stands twice")
    return members


def _refuse(constant: str) -> Any:
    raise Malformed(f"{constant} is no number")


class Log:
    """What the lines read so far prove. The ``rest`` is read only to say what is wrong."""

    def __init__(self, keys: Keys | None = None, earlier: Note | None = None) -> None:
        self.keys = keys
        self.earlier = earlier
        self.origin = keys.origin if keys else None
        self.organization: int | None = None
        self.tree = Tree()
        self.proven = 0  # the size of the last checkpoint that was correct
        self.signed_by: tuple[str, ...] = ()
        self.closed = False
        if earlier:
            self._signers(earlier, (1, earlier.size))
            self._extends(earlier, iter(()))

    def read(self, line: bytes, rest: Iterator[bytes]) -> None:
        """Take the next line; raises ``Failed``."""
        if not line.endswith(b"\n"):
            raise self._failed("truncated", "the line is cut off")
        try:
            if event := re.fullmatch(_EVENT, line):
                self._read_event(event, rest)
            elif closing := re.fullmatch(_CLOSING, line):
                self._read_closing(closing, rest)
            else:
                raise self._unreadable(line)
        except Malformed as error:
            raise self._failed("edited", str(error)) from None

    def verified(self) -> Verified:
        """What all lines prove together; raises ``Failed``."""
        size, root = self.tree.size, base64.b64encode(self.tree.root()).decode()
        if not self.closed or self.origin is None:
            raise self._failed("truncated", "the last line is no checkpoint")
        if self.earlier and self.earlier.size > size:
            raise self._failed("truncated", f"earlier there were {self.earlier.size} events")
        return Verified(events=size, origin=self.origin, root=root, signed_by=self.signed_by)

    def _read_event(self, line: re.Match[bytes], rest: Iterator[bytes]) -> None:
        index, leaf, event = int(line[1]), leaf_hash(line[3]), _json(line[3])
        if leaf.hex().encode() != line[2]:
            raise Malformed("the event does not have this leaf_hash")
        self._belongs(event.get("organization_id"), rest)
        if type(event.get("sequence")) is not int or event["sequence"] != index + 1:
            raise Malformed("the event's sequence is not its leaf_index + 1")
        if index < self.tree.size:
            raise self._failed("reordered", f"event {index + 1} comes again")
        if index > self.tree.size:
            raise self._gap(index, chain([line[0]], rest))
        if event.get("type") == _ANCHOR:
            self._read_anchor(event.get("checkpoint"))
        self.tree.append(leaf)
        self.closed = False
        if self.earlier:
            self._extends(self.earlier, rest)

    def _belongs(self, organization: Any, rest: Iterator[bytes]) -> None:
        """All events are of one organization."""
        if type(organization) is not int:
            raise Malformed("the event has no organization_id")
        if self.organization is None:
            self.organization = organization
        if organization == self.organization:
            return
        detail = f"events of the organizations {self.organization} and {organization} in one log"
        # Either of the first two events may be foreign: the third one decides.
        if self.tree.size == 1 and b'"organization_id":%d,' % organization in next(rest, b""):
            raise Failed(1, "foreign", detail)
        raise self._failed("foreign", detail)

    def _read_anchor(self, text: Any) -> None:
        note = read_note(text if isinstance(text, str) else "")
        if note.size != self.tree.size:
            raise Malformed("its checkpoint is not of the events before it")
        # Until its signature is checked, the anchor itself may be wrong.
        self._check(note, note.size + 1)

    def _read_closing(self, line: re.Match[bytes], rest: Iterator[bytes]) -> None:
        text = _json(line[2])
        note = read_note(text)
        if _quoted(text) != line[2] or note.size != int(line[1]):
            raise Malformed("the checkpoint's line is not canonical")
        if note.size < self.tree.size:
            raise self._failed("reordered", f"a checkpoint of {note.size} events comes too late")
        if note.size > self.tree.size:
            raise self._gap(note.size, rest)
        self.signed_by = self._check(note, note.size)
        self.closed = True

    def _check(self, note: Note, last: int) -> tuple[str, ...]:
        """The keys that signed a note. The events since the checkpoint before are suspected."""
        first = self.proven + 1
        signers = self._signers(note, (first, last))
        self._compare(note, (first, note.size if signers else last))
        self.proven = note.size
        return signers

    def _signers(self, note: Note, suspects: tuple[int, int]) -> tuple[str, ...]:
        self.origin = self.origin or note.origin
        if note.origin != self.origin:
            raise _somewhere(suspects, "foreign", f"a checkpoint of {note.origin}")
        try:
            signers = self.keys.signers(note) if self.keys else ()
        except InvalidSignature:
            raise _somewhere(suspects, "edited", "a checkpoint's signature is wrong") from None
        if self.keys and not signers:
            raise _somewhere(suspects, "foreign", "no known key signed the checkpoint")
        return signers

    def _compare(self, note: Note, suspects: tuple[int, int]) -> None:
        if note.root != self.tree.root():
            detail = f"the root of {note.size} events is not the checkpoint's"
            raise _somewhere(suspects, "edited", detail)

    def _extends(self, earlier: Note, rest: Iterator[bytes]) -> None:
        if earlier.size != self.tree.size or earlier.root == self.tree.root():
            return
        # The origin of the log is known at its end.
        closing = re.fullmatch(_CLOSING, next(iter(deque(rest, maxlen=1)), b""))
        if closing and not closing[2].startswith(_quoted(f"{earlier.origin}\n")[:-1]):
            raise Failed(1, "foreign", f"this is no log of {earlier.origin}")
        self._compare(earlier, (1, earlier.size))

    def _gap(self, until: int, rest: Iterator[bytes]) -> Failed:
        """Why the next event is missing, although the log has ``until``; the rest decides."""
        missing, start = b'{"leaf_index":%d,' % self.tree.size, b'{"leaf_index":'
        last, later, following = b"", False, False
        for last in rest:
            later = later or last.startswith(missing)
            following = following or last.startswith(start)
        if re.match(_FILTERED_CLOSING, last):
            return self._unreadable(last)
        if later:
            return self._failed("reordered", "the event comes later")
        if not following:
            return self._failed("truncated", f"there were {until} events")
        if not self.tree.size:
            return self._failed("missing", f"the part with the events 1 to {until} must come first")
        return self._failed("missing", f"events {self.tree.size + 1} to {until} are gone")

    def _unreadable(self, line: bytes) -> Failed:
        if re.match(_FILTERED_CLOSING, line):
            return self._failed("missing", "a filtered export cannot be proven as a whole")
        return self._failed("edited", "the line is neither an event's nor a checkpoint's")

    def _failed(self, what: What, detail: str) -> Failed:
        return Failed(self.tree.size + 1, what, detail)


def _somewhere(suspects: tuple[int, int], what: What, detail: str) -> Failed:
    return Failed(suspects[0], what, f"{detail}: somewhere from {suspects[0]} to {max(suspects)}")


def verify(
    lines: Iterable[bytes],
    keys: Keys | None = None,
    earlier: Note | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verified:
    """What the lines, each with its newline, prove together; raises ``Failed``.

    The export must extend ``earlier``. Now and then, ``progress`` hears the count of events.
    """
    log, rest = Log(keys, earlier), iter(lines)
    for line in rest:
        log.read(line, rest)
        if progress and log.tree.size % _REPORTED_EVERY == 0:
            progress(log.tree.size)
    return log.verified()


def read_lines(files: Iterable[Path]) -> Iterator[bytes]:
    """The lines of an export's parts, in order; raises ``OSError``."""
    for path in files:
        with path.open("rb") as file:
            yield from iter(lambda: file.readline(_LONGEST_LINE), b"")


def _printable(text: object) -> str:
    """A text in one line of visible characters, whatever the files hold."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def main() -> int:
    """The command. Exit code 0: the log is proven; 1: it is not; 2: wrong arguments."""
    parser = argparse.ArgumentParser(description="Verify exports of the audit log, offline.")
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="the parts, in order")
    parser.add_argument("--key", metavar="KEYFILE", type=Path, help="what /api/v1/audit/key says")
    parser.add_argument("--checkpoint", metavar="EARLIER", type=Path, help="a checkpoint you kept")
    given = parser.parse_args()
    try:
        keys = given.key and read_keys(given.key.read_bytes())
        earlier = given.checkpoint and read_note(given.checkpoint.read_bytes().decode())
        verified = verify(read_lines(given.files), keys, earlier)
    except Failed as failed:
        sys.stderr.write(f"{_printable(failed)}\n")
        return 1
    except (OSError, ValueError) as error:
        parser.error(_printable(error))
    sys.stdout.write(f"{_printable(verified)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
