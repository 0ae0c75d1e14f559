"""Sealing with an organization's keys: secrets, stored answers, hashes of API keys."""

from __future__ import annotations

import hmac
import secrets as entropy
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from app.vault import aead
from events.pointers import MARK, Path, join
from events.secrets.addresses import looks_like_address
from events.secrets.references import ADDRESS
from events.secrets.values import Plain, url_members

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.vault.keys import Key, Keys
    from events.pointers import Tree


class SecretUnreadable(Exception):
    """A ciphertext does not open at its place: it was moved or changed, or its key is lost."""

    def __init__(self, secret_id: str) -> None:
        super().__init__(f"the sealed secret {secret_id} does not open")
        self.secret_id = secret_id


class Sealed(Struct, frozen=True, eq=False):
    """A secret that already has a reference, and is encrypted when its event is written."""

    plain: Plain
    path: Path


class Ciphertext(Struct, frozen=True, kw_only=True):
    """The place that a ciphertext is bound to, apart from its key."""

    organization_id: int
    secret_id: str
    assistant_id: int
    path: str


def make_reference(plain: Plain, version: int) -> Tree:
    """The reference that replaces a secret in the event of a version: a new id for each secret."""
    mark: Tree = {"id": f"{version}.{entropy.token_hex(16)}"}
    if plain.url is None and looks_like_address(plain.value):
        mark[ADDRESS] = True
    return {MARK: mark} | url_members(plain)


def seal_row(
    data: Key, organization_id: int, assistant_id: int, secret_id: str, sealed: Sealed
) -> dict[str, Any]:
    """A secret as a row of ``sealed_secrets``: encrypted, and bound to its place."""
    place = Ciphertext(
        organization_id=organization_id,
        secret_id=secret_id,
        assistant_id=assistant_id,
        path=join(sealed.path),
    )
    ciphertext = encrypt(data, place, msgspec.json.encode(sealed.plain.value))
    return msgspec.structs.asdict(place) | {"key_id": data.key_id, "ciphertext": ciphertext}


def encrypt(key: Key, place: Ciphertext | sa.Row[Any], text: bytes) -> bytes:
    """A secret's ciphertext, bound to its place and key."""
    return aead.encrypt(AESGCM(key.secret), text, *_bound(key, place))


def decrypt(key: Key, place: Ciphertext | sa.Row[Any], sealed: bytes) -> bytes:
    """A secret's text; raises ``SecretUnreadable``."""
    try:
        return aead.decrypt(AESGCM(key.secret), sealed, *_bound(key, place))
    except InvalidTag:
        raise SecretUnreadable(place.secret_id) from None


def _bound(key: Key, place: Ciphertext | sa.Row[Any]) -> tuple[str | int, ...]:
    ids = (place.organization_id, place.assistant_id, place.path, place.secret_id)
    return ("secret", *ids, key.key_id)


def seal_answer(keys: Keys, text: bytes, *bound: str | int) -> bytes:
    """A stored answer, sealed and bound to its request.

    Its key is derived from the pepper, since rotation and erasure replace the data key: a retry
    must find its answer after them too.
    """
    return aead.encrypt(_answers_cipher(keys), text, "answer", *bound)


def open_answer(keys: Keys, sealed: bytes, *bound: str | int) -> bytes:
    """The text of a stored answer; raises ``SecretUnreadable``."""
    try:
        return aead.decrypt(_answers_cipher(keys), sealed, "answer", *bound)
    except InvalidTag:
        raise SecretUnreadable("answer") from None


def _answers_cipher(keys: Keys) -> AESGCM:
    return AESGCM(hmac.digest(keys.pepper.secret, b"backstory stored answers", "sha256"))


def seal_webhook(keys: Keys, text: bytes, *bound: str | int) -> bytes:
    """What is secret of an endpoint of webhooks, sealed and bound to it.

    Its key is derived from the pepper, as that of stored answers, and for the same reason.
    """
    return aead.encrypt(_webhooks_cipher(keys), text, "webhook", *bound)


def open_webhook(keys: Keys, sealed: bytes, *bound: str | int) -> bytes:
    """The text of ``seal_webhook``; raises ``SecretUnreadable``."""
    try:
        return aead.decrypt(_webhooks_cipher(keys), sealed, "webhook", *bound)
    except InvalidTag:
        raise SecretUnreadable("webhook") from None


def _webhooks_cipher(keys: Keys) -> AESGCM:
    return AESGCM(hmac.digest(keys.pepper.secret, b"backstory webhooks", "sha256"))


def hash_token(pepper: Key, token: str) -> bytes:
    """An API key as it is stored: HMAC-SHA256 under the organization's pepper."""
    return hmac.digest(pepper.secret, token.encode(), "sha256")
