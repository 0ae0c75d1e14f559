"""The rows of sealed secrets, the only place of their ciphertexts: add, unseal, renew, destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.storage.sqlite import mark_for_scrub
from app.storage.tables import sealed_secrets
from app.vault.sealing import Ciphertext, Sealed, SecretUnreadable, decrypt, encrypt, seal_row
from events import codec
from events.pointers import MARK, join
from events.secrets.references import SecretPlacement, revealed
from events.store import read_body
from events.tables import rows_of
from events.upcasters import former

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from app.vault.keys import Key, Vault


def add_secrets(
    connection: sa.Connection,
    organization_id: int,
    data: Key,
    secrets: Iterable[tuple[int, str, Sealed]],
) -> None:
    """Encrypt and store secrets, given as (assistant id, secret id, secret)."""
    rows = [seal_row(data, organization_id, *secret) for secret in secrets]
    if rows:
        connection.execute(sa.insert(sealed_secrets), rows)


def unseal(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    data: Key,
    placements: dict[str, SecretPlacement],
) -> dict[str, str | int | float]:
    """The values of references, under the same names as their placements.

    Raises ``SecretUnreadable``.
    """
    query = rows_of(sealed_secrets, organization_id).where(
        sealed_secrets.c.assistant_id == assistant_id
    )
    rows = {row.secret_id: row for row in connection.execute(query)}
    values = {}
    for name, placement in placements.items():
        if (row := rows.get(placement.reference[MARK]["id"])) is not None:
            value = _unseal_row(row, organization_id, assistant_id, data, placement)
        else:
            value = _never_sealed(connection, organization_id, assistant_id, placement)
        values[name] = revealed(placement.reference, value)
    return values


def _unseal_row(
    row: sa.Row[Any], organization_id: int, assistant_id: int, data: Key, placement: SecretPlacement
) -> Any:
    path = join(placement.bound)
    # The place where the value is requested, not the row's own: a moved row must not open.
    place = Ciphertext(
        organization_id=organization_id,
        secret_id=placement.reference[MARK]["id"],
        assistant_id=assistant_id,
        path=row.path if row.path in former(path) else path,
    )
    return msgspec.json.decode(decrypt(data, place, row.ciphertext))


def _never_sealed(
    connection: sa.Connection, organization_id: int, assistant_id: int, placement: SecretPlacement
) -> Any:
    """A value that its event holds as plain text, because it was not a secret at that time."""
    secret_id = placement.reference[MARK]["id"]
    version, _, _ = secret_id.partition(".")
    body = read_body(connection, organization_id, assistant_id, int(version))
    values = {} if body is None else codec.plain_secrets(body)
    if secret_id not in values:
        raise SecretUnreadable(secret_id)
    return values[secret_id]


def existing_secrets(
    connection: sa.Connection, organization_id: int, assistant_id: int
) -> frozenset[str]:
    """The ids of an assistant's secrets whose values were not destroyed."""
    query = rows_of(sealed_secrets, organization_id, sealed_secrets.c.secret_id)
    return frozenset(connection.scalars(query.where(sealed_secrets.c.assistant_id == assistant_id)))


def assistants_with_secrets(connection: sa.Connection, organization_id: int) -> list[int]:
    """The ids of the assistants that have sealed values, deleted ones too."""
    assistant_id = sealed_secrets.c.assistant_id
    query = rows_of(sealed_secrets, organization_id, assistant_id).distinct()
    return list(connection.scalars(query.order_by(assistant_id)))


def count_secrets(connection: sa.Connection, organization_id: int) -> int:
    """How many sealed values an organization has, old ones too."""
    return connection.scalar(rows_of(sealed_secrets, organization_id, sa.func.count())) or 0


def destroy_secrets(connection: sa.Connection, organization_id: int, assistant_id: int) -> None:
    """Destroy an assistant's ciphertexts."""
    mark_for_scrub(connection)
    connection.execute(
        sa.delete(sealed_secrets).where(
            sealed_secrets.c.organization_id == organization_id,
            sealed_secrets.c.assistant_id == assistant_id,
        )
    )


def destroy_all_secrets(
    connection: sa.Connection, vault: Vault, organization_id: int, now: datetime
) -> None:
    """Destroy an organization's ciphertexts and their key."""
    connection.execute(
        sa.delete(sealed_secrets).where(sealed_secrets.c.organization_id == organization_id)
    )
    vault.replace_data_key(connection, organization_id, now)


def renew_data_key(
    connection: sa.Connection, vault: Vault, organization_id: int, now: datetime
) -> None:
    """Seal an organization's secrets again, under a new data key, and destroy the old key."""
    old = vault.keys(connection, organization_id).data
    rows = connection.execute(rows_of(sealed_secrets, organization_id)).all()
    texts = [decrypt(old, row, row.ciphertext) for row in rows]
    new = vault.replace_data_key(connection, organization_id, now)
    update = (
        sa.update(sealed_secrets)
        .where(
            sealed_secrets.c.organization_id == organization_id,
            sealed_secrets.c.secret_id == sa.bindparam("renewed_id"),
        )
        .values(key_id=new.key_id, ciphertext=sa.bindparam("renewed_ciphertext"))
    )
    renewed = [
        {"renewed_id": row.secret_id, "renewed_ciphertext": encrypt(new, row, text)}
        for row, text in zip(rows, texts, strict=True)
    ]
    if renewed:
        connection.execute(update, renewed)
