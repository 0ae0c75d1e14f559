"""A verifier of proofs and checkpoints that is written from RFC 6962 and RFC 9162 alone."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

AUDIT = "/api/v1/audit"


EVENTS = 41


NEXT = re.compile(r'<([^>]+)>; rel="next"')


_NOTE = re.compile(
    r"(?P<text>(?P<origin>\S+)\n(?P<size>0|[1-9]\d*)\n(?P<root>[A-Za-z0-9+/]{43}=)\n)\n"
    r"— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/]+=*)\n"
)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def tree_root(leaves: list[bytes]) -> bytes:
    """2.1: split at the largest power of two that is smaller."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(tree_root(leaves[:split]), tree_root(leaves[split:]))


def includes(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for hash_ in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node(hash_, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, hash_)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def extends(first: int, second: int, roots: tuple[bytes, bytes], proof: list[bytes]) -> bool:
    if first in (0, second):
        return not proof and (first == 0 or roots[0] == roots[1])
    if not proof:
        return False
    path = [roots[0], *proof] if first & (first - 1) == 0 else proof
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for hash_ in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node(hash_, old), node(hash_, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node(new, hash_)
        fn, sn = fn >> 1, sn >> 1
    return (old, new) == roots and sn == 0


def unbase64(*texts: str) -> list[bytes]:
    return [base64.b64decode(text, validate=True) for text in texts]


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A signed note, and what it says."""

    note: str
    text: bytes
    origin: str
    size: int
    root: bytes
    key_id: bytes
    signature: bytes

    def verify(self, keys: dict[str, Any]) -> None:
        """Raises ``InvalidSignature``, also where no key of the id is known."""
        for key in keys["keys"]:
            if key["key_id"] == self.key_id.hex():
                (public,) = unbase64(key["public_key"])
                Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self.text)
                return
        raise InvalidSignature


def read_checkpoint(note: str) -> Checkpoint:
    found = _NOTE.fullmatch(note)
    assert found, note
    assert found["name"] == found["origin"]
    (root, blob) = unbase64(found["root"], found["signature"])
    assert len(blob) == 4 + 64
    return Checkpoint(
        note=note,
        text=found["text"].encode(),
        origin=found["origin"],
        size=int(found["size"]),
        root=root,
        key_id=blob[:4],
        signature=blob[4:],
    )


def sign(client: httpx.Client) -> Checkpoint:
    answer = client.get(f"{AUDIT}/checkpoint")
    assert answer.status_code == 200
    return read_checkpoint(answer.content.decode())


def keys_of(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(f"{AUDIT}/key")
    assert answer.status_code == 200
    keys: dict[str, Any] = answer.json()
    return keys


def inclusion(client: httpx.Client, sequence: int, size: int | None = None) -> dict[str, Any]:
    query = {"sequence": sequence} | ({} if size is None else {"size": size})
    answer = client.get(f"{AUDIT}/proof/inclusion", params=query)
    assert answer.status_code == 200, answer.text
    proof: dict[str, Any] = answer.json()
    return proof


def consistency(client: httpx.Client, size: int, later: int | None = None) -> dict[str, Any]:
    query = {"from": size} | ({} if later is None else {"to": later})
    answer = client.get(f"{AUDIT}/proof/consistency", params=query)
    assert answer.status_code == 200, answer.text
    proof: dict[str, Any] = answer.json()
    return proof


def proves_inclusion(proof: dict[str, Any], leaf: bytes, root: bytes) -> bool:
    hashes = unbase64(*proof["proof"])
    return includes(leaf, proof["leaf_index"], proof["size"], hashes, root)


def proves_consistency(proof: dict[str, Any], roots: tuple[bytes, bytes]) -> bool:
    return extends(proof["from_size"], proof["to_size"], roots, unbase64(*proof["proof"]))


class Log(Struct, frozen=True, kw_only=True):
    """A log of some events, and its leaves from the bytes that are stored."""

    server: Server
    organization: Organization
    admin: httpx.Client

    @property
    def leaves(self) -> list[bytes]:
        rows = stored.rows(self.server.database, self.organization.id)["events"]
        return [sha256(b"\x00" + row["body"]).digest() for row in rows]

    def change(self, number: int) -> None:
        body = {"description": f"{number}", "api_keys": {"openai_api_key": f"sk-{number}"}}
        assert self.admin.patch(f"{ASSISTANTS}/1", json=body).status_code == 200


def begin(server: Server, organization: Organization, admin: httpx.Client) -> Log:
    body = {"name": "Desk", "api_keys": {"openai_api_key": "sk-0"}}
    assert admin.post(ASSISTANTS, json=body).status_code == 201
    return Log(server=server, organization=organization, admin=admin)
