"""Exports that an independent builder makes from RFC 6962 and C2SP, true and changed."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import random
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymerkle import InmemoryTree

from app.audit.verify import (
    Failed,
    Keys,
    Log,
    Note,
    Tree,
    leaf_hash,
    read_keys,
    read_note,
    verify,
)

ORIGIN = "backstory/organizations/1/5f0c"


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))


EVENTS = 1000


ANCHOR_EVERY = 100  # events 100, 200, ... hold checkpoints of 99, 199, ... events


# The tree heads of Certificate Transparency's reference tests, for sizes 0 to 8.
CT_LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)


CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)


GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def public(signer: Ed25519PrivateKey) -> bytes:
    return b"\x01" + signer.public_key().public_bytes_raw()


def key_id(signer: Ed25519PrivateKey, name: str = ORIGIN) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + public(signer)).digest()[:4]


def signature(
    text: str, signer: Ed25519PrivateKey, name: str = ORIGIN, identity: bytes | None = None
) -> str:
    blob = (identity or key_id(signer, name)) + signer.sign(text.encode())
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def head(size: int, root: bytes, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def note(size: int, root: bytes, signer: Ed25519PrivateKey = SIGNER, origin: str = ORIGIN) -> str:
    text = head(size, root, origin)
    return f"{text}\n{signature(text, signer, origin)}"


def key_file(*signers: Ed25519PrivateKey, origin: str = ORIGIN) -> bytes:
    keys = [
        {
            "key_id": key_id(signer, origin).hex(),
            "public_key": base64.b64encode(public(signer)[1:]).decode(),
            "verifier_key": f"{origin}+{key_id(signer, origin).hex()}+"
            f"{base64.b64encode(public(signer)).decode()}",
            "current": signer is signers[0],
        }
        for signer in signers
    ]
    return compact({"origin": origin, "keys": keys})


def event(sequence: int, organization: int = 1, /, **members: Any) -> bytes:
    return compact(
        {"type": "assistant_settings_changed.v1", "organization_id": organization}
        | {"sequence": sequence, "assistant_id": sequence % 7, "reason": f"Grüße {sequence}"}
        | {"changes": {"/llm_settings/temperature": {"before": 0.5, "after": 0.7}}}
        | members
    )


def row(index: int, body: bytes, leaf: str | None = None) -> bytes:
    leaf = leaf or hashlib.sha256(b"\x00" + body).hexdigest()
    return b'{"leaf_index":%d,"leaf_hash":"%s","event":%s}\n' % (index, leaf.encode(), body)


def closing(size: int, text: str) -> bytes:
    return compact({"last_sequence": size, "checkpoint": text}) + b"\n"


def export(
    count: int,
    organization: int = 1,
    *,
    every: int = ANCHOR_EVERY,
    signer: Ed25519PrivateKey = SIGNER,
    origin: str = ORIGIN,
    edits: dict[int, bytes] | None = None,
) -> list[bytes]:
    """The lines of an export; ``edits`` are other bodies, by sequence."""
    tree, lines = InmemoryTree(algorithm="sha256"), []
    for sequence in range(1, count + 1):
        body = event(sequence, organization)
        if sequence % every == 0:
            anchor = note(sequence - 1, tree.get_root(), signer, origin)
            body = event(sequence, organization, type="checkpoint_recorded.v1", checkpoint=anchor)
        body = (edits or {}).get(sequence, body)
        tree.append_entry(body)
        lines.append(row(sequence - 1, body))
    return [*lines, closing(count, note(count, tree.get_root(), signer, origin))]


def tree_over(lines: Iterable[bytes]) -> Any:
    """Another tree of the events in the lines."""
    tree = InmemoryTree(algorithm="sha256")
    for line in lines:
        if line.startswith(b'{"leaf_index"'):
            tree.append_entry(line[line.index(b'"event":') + 8 : -2])
    return tree


def earlier(lines: list[bytes], size: int, signer: Ed25519PrivateKey = SIGNER) -> Note:
    return read_note(note(size, tree_over(lines).get_root(size), signer))


def judged(lines: Iterable[bytes], keys: Keys | None = None, kept: Note | None = None) -> str:
    """Whether the lines are verified, or the sequence and the word of the failure."""
    try:
        verify(lines, keys, kept)
    except Failed as failed:
        return f"{failed.sequence} {failed.what}"
    return "verified"


KEYS = read_keys(key_file(SIGNER))


LINES = export(EVENTS)


OTHERS = export(EVENTS, organization=2, origin="backstory/organizations/2/77aa")


SMALL = export(12, every=5)


def states(lines: list[bytes], keys: Keys | None) -> list[Log]:
    """What was known before each line, and at the end."""
    log, known = Log(keys), []
    for line in lines:
        known.append(twin(log))
        log.read(line, iter(()))
    return [*known, log]


def twin(log: Log) -> Log:
    other = copy.copy(log)
    other.tree = Tree()
    other.tree.size, other.tree.frontier = log.tree.size, log.tree.frontier.copy()
    return other


def resumed(log: Log, lines: Iterable[bytes]) -> str:
    """As ``judged``, from what the log knows on."""
    log, rest = twin(log), iter(lines)
    try:
        for line in rest:
            log.read(line, rest)
        log.verified()
    except Failed as failed:
        return f"{failed.sequence} {failed.what}"
    return "verified"


def split(data: bytes) -> list[bytes]:
    return io.BytesIO(data).readlines()


def flipped(lines: list[bytes], number: int, place: int, byte: int) -> Iterator[bytes]:
    """The lines from one on, with another byte in it. A lost newline joins it with the next."""
    line = bytearray(lines[number])
    line[place] = byte
    return chain(
        split(bytes(line) + b"".join(lines[number + 1 : number + 2])),
        islice(lines, number + 2, None),
    )


def other_byte(dice: random.Random, byte: int) -> int:
    return (byte + dice.randrange(1, 256)) % 256


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree.root()


def missed_flips(known: list[Log], places: Iterable[tuple[int, int, int]]) -> list[Any]:
    return [
        (number, place, byte)
        for number, place, byte in places
        if resumed(known[number], flipped(LINES, number, place, byte)) == "verified"
    ]


def sampled(dice: random.Random, count: int) -> Iterator[tuple[int, int, int]]:
    """Random places of the export, each with the byte to write there."""
    for number in dice.choices(range(len(LINES)), weights=list(map(len, LINES)), k=count):
        place = dice.randrange(len(LINES[number]))
        yield number, place, other_byte(dice, LINES[number][place])


def with_byte(data: bytes, place: int, byte: int) -> bytes:
    return data[:place] + bytes([byte]) + data[place + 1 :]
