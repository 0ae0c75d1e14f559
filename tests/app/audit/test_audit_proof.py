"""Checkpoints and proofs of the audit log, checked by a verifier that shares nothing with it."""

from __future__ import annotations

import base64
import re
import time
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from pymerkle import InmemoryTree

from app.audit import signing
from app.audit.verify import Failed, read_keys, read_note, verify
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AUDIT = "/api/v1/audit"
EVENTS = 41
_NEXT = re.compile(r'<([^>]+)>; rel="next"')
_NOTE = re.compile(
    r"(?P<text>(?P<origin>\S+)\n(?P<size>0|[1-9]\d*)\n(?P<root>[A-Za-z0-9+/]{43}=)\n)\n"
    r"— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/]+=*)\n"
)


# -- RFC 6962 (as RFC 9162, 2.1.3.2 and 2.1.4.2, words it), written here from the text


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


# -- what the server says


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


@pytest.fixture(scope="module")
def log(server: Server) -> Iterator[Log]:
    """A log of 41 events, which no test changes."""
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        for number in range(1, EVENTS):
            log.change(number)
        yield log


@pytest.fixture(scope="module")
def roots(log: Log) -> list[bytes]:
    """Of the tree of each size."""
    leaves = log.leaves
    assert len(leaves) == EVENTS
    return [tree_root(leaves[:size]) for size in range(EVENTS + 1)]


def test_the_roots_are_those_that_another_implementation_makes(
    log: Log, roots: list[bytes]
) -> None:
    oracle = InmemoryTree(algorithm="sha256")
    for row in stored.rows(log.server.database, log.organization.id)["events"]:
        oracle.append_entry(row["body"])
    assert [oracle.get_root(size) for size in range(1, EVENTS + 1)] == roots[1:]


def test_every_leaf_is_proven_in_every_tree_that_holds_it(log: Log, roots: list[bytes]) -> None:
    leaves = log.leaves
    for size in range(1, EVENTS + 1):
        for sequence in range(1, size + 1):
            proof = inclusion(log.admin, sequence, size)
            leaf = leaves[sequence - 1]
            assert proof["leaf_index"] == sequence - 1
            assert (proof["sequence"], proof["size"]) == (sequence, size)
            assert unbase64(proof["leaf_hash"], proof["root"]) == [leaf, roots[size]]
            assert proves_inclusion(proof, leaf, roots[size])
    assert inclusion(log.admin, 3) == inclusion(log.admin, 3, EVENTS)


def test_every_tree_is_proven_to_extend_every_smaller_one(log: Log, roots: list[bytes]) -> None:
    for later in range(EVENTS + 1):
        for size in range(later + 1):
            proof = consistency(log.admin, size, later)
            assert (proof["from_size"], proof["to_size"]) == (size, later)
            assert unbase64(proof["from_root"], proof["to_root"]) == [roots[size], roots[later]]
            assert proves_consistency(proof, (roots[size], roots[later]))
    assert consistency(log.admin, 3) == consistency(log.admin, 3, EVENTS)


def test_proofs_prove_nothing_else(log: Log, roots: list[bytes]) -> None:
    """The control of the tests above."""
    leaves = log.leaves
    for size in (2, 7, 8, 33, EVENTS):
        for sequence in range(1, size + 1):
            proof = inclusion(log.admin, sequence, size)
            others = [leaves[one] for one in range(EVENTS) if one != sequence - 1]
            assert not any(proves_inclusion(proof, leaf, roots[size]) for leaf in others)
            assert not proves_inclusion(proof, leaves[sequence - 1], roots[size - 1])
            moved = proof | {"leaf_index": sequence % size}
            assert not proves_inclusion(moved, leaves[sequence - 1], roots[size])
    for size, later in ((1, 2), (3, 7), (8, 40), (33, EVENTS)):
        proof = consistency(log.admin, size, later)
        assert not proves_consistency(proof, (roots[size - 1], roots[later]))
        assert not proves_consistency(proof, (roots[size], roots[later - 1]))
        cut = proof | {"proof": proof["proof"][:-1]}
        assert not proves_consistency(cut, (roots[size], roots[later]))


def test_proofs_are_as_short_as_the_tree_is_high(log: Log) -> None:
    for sequence in range(1, EVENTS + 1):
        assert len(inclusion(log.admin, sequence)["proof"]) <= 6
        assert len(consistency(log.admin, sequence)["proof"]) <= 7


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("inclusion", {"sequence": "0"}, "sequence"),
        ("inclusion", {"sequence": "42"}, "sequence"),
        ("inclusion", {"sequence": "5", "size": "4"}, "sequence"),
        ("inclusion", {"sequence": "1", "size": "0"}, "size"),
        ("inclusion", {"sequence": "1", "size": "42"}, "size"),
        ("inclusion", {"sequence": "1", "size": "-1"}, "size"),
        ("inclusion", {"sequence": "-1"}, "sequence"),
        ("inclusion", {"sequence": "9" * 30}, "sequence"),
        ("inclusion", {"sequence": "x"}, "sequence"),
        ("inclusion", {}, "sequence"),
        ("consistency", {"from": "1", "to": "42"}, "to"),
        ("consistency", {"from": "42"}, "from"),
        ("consistency", {"from": "5", "to": "4"}, "from"),
        ("consistency", {"from": "-1"}, "from"),
        ("consistency", {"from": "x"}, "from"),
        ("consistency", {"from": "9" * 30}, "from"),
        ("consistency", {"from": ""}, "from"),
        ("consistency", {"to": "4"}, "from"),
    ],
)
def test_what_the_log_does_not_hold_is_named(
    log: Log, path: str, query: dict[str, str], name: str
) -> None:
    answer = log.admin.get(f"{AUDIT}/proof/{path}", params=query)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]


# -- checkpoints


def test_a_checkpoint_is_signed_by_the_key_that_is_published(log: Log, roots: list[bytes]) -> None:
    checkpoint = sign(log.admin)
    keys = keys_of(log.admin)
    assert (checkpoint.size, checkpoint.root) == (EVENTS, roots[EVENTS])
    assert checkpoint.origin == keys["origin"]
    checkpoint.verify(keys)
    (key,) = keys["keys"]
    assert key["current"] is True
    (public,) = unbase64(key["public_key"])
    # C2SP signed-note: what the id of a key is made of, and how the key itself is written.
    key_id = sha256(f"{keys['origin']}\n".encode() + b"\x01" + public).digest()[:4]
    assert checkpoint.key_id == key_id == bytes.fromhex(key["key_id"])
    typed = base64.b64encode(b"\x01" + public).decode()
    assert key["verifier_key"] == f"{keys['origin']}+{key_id.hex()}+{typed}"
    for number in range(len(checkpoint.text)):  # the control: no byte of it can be another
        edited = bytearray(checkpoint.text)
        edited[number] ^= 1
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public).verify(checkpoint.signature, bytes(edited))


def test_a_checkpoint_is_plain_text_that_no_cache_keeps(log: Log) -> None:
    headers = log.admin.get(f"{AUDIT}/checkpoint").headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "text/plain; charset=utf-8"


def test_a_checkpoint_of_an_empty_log_is_the_hash_of_nothing(server: Server) -> None:
    with server.client(server.organization().admin) as admin:
        checkpoint = sign(admin)
        assert (checkpoint.size, checkpoint.root) == (0, sha256().digest())
        checkpoint.verify(keys_of(admin))
        assert consistency(admin, 0)["to_size"] == 0
        assert admin.get(f"{AUDIT}/checkpoints").json() == []


def test_logs_differ_in_their_origins(server: Server, log: Log) -> None:
    with server.client(server.organization().admin) as admin:
        assert keys_of(admin)["origin"] != keys_of(log.admin)["origin"]
        with pytest.raises(InvalidSignature):
            sign(admin).verify(keys_of(log.admin))


def test_a_checkpoint_agrees_with_every_later_one(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        made = [sign(admin)]
        for number in range(12):
            log.change(number)
            admin.get(f"{AUDIT}/export", params={"format": "csv"})
            made.append(sign(admin))
        assert [one.size for one in made] == [1, *range(3, 26, 2)]
        keys = keys_of(admin)
        for place, earlier in enumerate(made):
            earlier.verify(keys)
            for later in made[place:]:
                proof = consistency(admin, earlier.size, later.size)
                assert proves_consistency(proof, (earlier.root, later.root))
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        for one in made:
            verify(exported, read_keys(admin.get(f"{AUDIT}/key").content), read_note(one.note))
        # The control: a checkpoint with another root is of another log.
        with server.client(server.organization().admin) as other:
            begin(server, organization, other)
            foreign = read_note(sign(other).note)
        with pytest.raises(Failed):
            verify(exported, None, foreign)


def test_erased_secrets_break_no_proof(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        for number in range(9):
            log.change(number + 1)
        before, leaves = sign(admin), log.leaves
        proofs = [inclusion(admin, sequence, 10) for sequence in range(1, 11)]
        assert admin.delete(f"{ASSISTANTS}/1/secrets").json()["message"] != "0 secrets erased"
        assert admin.delete("/api/v1/vault/secrets").status_code == 200
        assert admin.post("/api/v1/vault/rotate", json={"data_keys": True}).status_code == 200
        assert log.leaves[:10] == leaves
        assert [inclusion(admin, sequence, 10) for sequence in range(1, 11)] == proofs
        after = sign(admin)
        assert after.size > before.size
        proof = consistency(admin, before.size, after.size)
        assert proves_consistency(proof, (before.root, after.root))
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(admin.get(f"{AUDIT}/key").content)
        assert verify(exported, keys, read_note(before.note)).events == after.size


# -- checkpoints that are recorded


def eventually(what: Callable[[], list[Any]], count: int) -> list[Any]:
    """What there is once there are so many."""
    deadline = time.monotonic() + 20
    while len(found := what()) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count}"
        time.sleep(0.05)
    return found


def recorded(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{AUDIT}/checkpoints", params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


class Kept(Struct, frozen=True, kw_only=True):
    """What a server left behind that recorded a checkpoint each second."""

    database: Path
    folder: Path
    quiet: Organization  # wrote once, then nothing
    busy: Organization  # wrote after each checkpoint
    waiting: list[Organization]  # the others, which wrote nothing


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    home = tmp_path_factory.mktemp("kept")
    database, folder = home / "backstory.db", home / "checkpoints"
    waiting = make_organizations(database, 3)
    quiet, busy = waiting.pop(), waiting.pop()
    with (
        serving_process(
            database,
            waiting,
            BACKSTORY_CHECKPOINT_INTERVAL="1s",
            BACKSTORY_CHECKPOINT_DIR=str(folder),
        ) as server,
        server.client(quiet.admin) as once,
        server.client(busy.admin) as often,
    ):
        begin(server, quiet, once)
        log = begin(server, busy, often)
        eventually(lambda: recorded(once), 1)
        # The busy one's checkpoints count the seconds for the quiet one.
        for number in range(1, 5):
            eventually(lambda: recorded(often), number)
            log.change(number)
        eventually(lambda: recorded(often), 5)
        eventually(lambda: list(folder.glob("*.checkpoint")), 6)
    return Kept(database=database, folder=folder, quiet=quiet, busy=busy, waiting=waiting)


@pytest.fixture(scope="module")
def again(kept: Kept) -> Iterator[Server]:
    """A server on that database that records none."""
    with serving(kept.database, kept.waiting) as server:
        yield server


def test_a_checkpoint_is_recorded_once_while_nothing_happens(kept: Kept, again: Server) -> None:
    with again.client(kept.quiet.admin) as quiet, again.client(kept.busy.admin) as busy:
        (only,) = recorded(quiet)
        assert (only["sequence"], only["size"]) == (2, 1)
        assert len(stored.events(kept.database, kept.quiet.id)) == 2
        assert len(recorded(busy)) == 5  # the control: there was time for more
    with again.client(kept.waiting[0].admin) as idle:
        assert recorded(idle) == []


def test_recorded_checkpoints_sign_all_events_before_them(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        log = Log(server=again, organization=kept.busy, admin=busy)
        keys, leaves = keys_of(busy), log.leaves
        found = recorded(busy)
        assert [one["sequence"] for one in found] == sorted(
            (one["sequence"] for one in found), reverse=True
        )
        for one in found:
            assert set(one) == {"sequence", "size", "recorded_at", "checkpoint"}
            checkpoint = read_checkpoint(one["checkpoint"])
            checkpoint.verify(keys)
            assert checkpoint.size == one["size"] == one["sequence"] - 1
            assert checkpoint.root == tree_root(leaves[: one["size"]])
        for later, earlier in pairwise(found):
            proof = consistency(busy, earlier["size"], later["size"])
            roots = tuple(read_checkpoint(one["checkpoint"]).root for one in (earlier, later))
            assert proves_consistency(proof, (roots[0], roots[1]))


def test_recorded_checkpoints_are_events(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        events = {
            event["sequence"]: event
            for event in stored.events(kept.database, kept.busy.id)
            if event["type"] == "checkpoint_recorded.v1"
        }
        found = recorded(busy)
        assert {one["sequence"] for one in found} == set(events)
        for one in found:
            event = events[one["sequence"]]
            assert event["checkpoint"] == one["checkpoint"]
            assert event["occurred_at"] == one["recorded_at"]
            assert event["actor"] == {"type": "system", "id": 0, "name": "checkpoint", "user_id": 0}
        page = busy.get(f"{AUDIT}/logs", params={"event_type": "checkpoint_recorded"}).json()
        assert [entry["id"] for entry in page["logs"]] == [one["sequence"] for one in found]


def test_recorded_checkpoints_are_files(kept: Kept, again: Server) -> None:
    expected = {}
    for organization in (kept.quiet, kept.busy):
        with again.client(organization.admin) as admin:
            for one in recorded(admin):
                origin = one["checkpoint"].splitlines()[0].replace("/", "-")
                name = f"{origin}-{one['size']:012}.checkpoint"
                expected[name] = one["checkpoint"]
    found = {path.name: path.read_text("utf-8") for path in kept.folder.iterdir()}
    assert found == expected


def test_pages_of_recorded_checkpoints_join_to_the_whole_list(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        whole = recorded(busy)
        assert len(whole) == 5
        for limit in (1, 2, 4, 5, 200):
            joined, url = [], f"{AUDIT}/checkpoints?limit={limit}"
            while url:
                answer = busy.get(url)
                joined.append(answer.json())
                link = _NEXT.fullmatch(answer.headers.get("link", ""))
                url = link[1] if link else ""
            assert [one for page in joined for one in page] == whole
            assert all(joined)
        for query in ({"limit": "0"}, {"limit": "201"}, {"cursor": "x"}, {"cursor": ""}):
            answer = busy.get(f"{AUDIT}/checkpoints", params=query)
            assert answer.status_code == 422


def test_an_export_with_recorded_checkpoints_verifies_from_each_of_the_files(
    kept: Kept, again: Server
) -> None:
    with again.client(kept.busy.admin) as busy:
        exported = busy.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(busy.get(f"{AUDIT}/key").content)
    files = sorted(kept.folder.glob(f"organization-{kept.busy.id}-*"))
    for file in files:
        earlier = read_note(file.read_text("utf-8"))
        assert verify(exported, keys, earlier).events == len(exported) - 1


# -- another key


def test_after_a_rotation_old_checkpoints_hold_under_the_new_keyfile(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    file = database.with_name(database.name + ".audit.key")
    made, keyfiles = [], []
    for run in range(3):
        with serving(database, []) as server, server.client(organization.admin) as admin:
            if not run:
                begin(server, organization, admin)
            log = Log(server=server, organization=organization, admin=admin)
            log.change(run + 1)
            made.append(sign(admin))
            keyfiles.append(admin.get(f"{AUDIT}/key"))
            exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        private = file.read_text("ascii").split()[0]
        signing.rotate(file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert private not in file.read_text("ascii")
    assert len({one.key_id for one in made}) == 3
    newest = keyfiles[-1].json()
    assert [key["current"] for key in newest["keys"]] == [True, False, False]
    assert [key["key_id"] for key in newest["keys"]] == [one.key_id.hex() for one in made[::-1]]
    keys = read_keys(keyfiles[-1].content)
    for one in made:
        one.verify(newest)
        assert verify(exported, keys, read_note(one.note)).events == len(exported) - 1
    # The control: the keyfile of before does not know the new key.
    for keyfile in keyfiles[:-1]:
        with pytest.raises(InvalidSignature):
            made[-1].verify(keyfile.json())
        with pytest.raises(Failed):
            verify(exported, read_keys(keyfile.content))


def test_recorded_checkpoints_of_a_retired_key_stay_in_a_verified_export(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    for run in range(2):
        with (
            serving_process(database, [], BACKSTORY_CHECKPOINT_INTERVAL="1s") as server,
            server.client(organization.admin) as admin,
        ):
            if not run:
                begin(server, organization, admin)
            Log(server=server, organization=organization, admin=admin).change(run + 1)
            eventually(lambda: recorded(admin), run + 1)
        signing.rotate(database.with_name(database.name + ".audit.key"))
    with serving(database, []) as server, server.client(organization.admin) as admin:
        notes = [read_checkpoint(one["checkpoint"]) for one in recorded(admin)]
        assert len({note.key_id for note in notes}) == 2
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(admin.get(f"{AUDIT}/key").content)
        assert verify(exported, keys).events == len(exported) - 1
