"""The master keys against the keys that they wrap, the audit key against what it signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.audit import signing, verify
from app.audit.checkpoints import recorded_checkpoints
from app.audit.signing import AuditKeyMissing
from app.cli.doctor.finding import Finding, ok, warn, wrong
from app.storage.engines import engines
from app.vault import keys

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.audit.signing import Signer
    from app.config import Config
    from events.log_head import LogHead


def master_keys(config: Config, connection: sa.Connection) -> Finding:
    """Whether the master keys open every organization's keys."""
    given = keys.existing_master_keys(config)
    needed = keys.needed_keys(connection, given)
    names = [keys.fingerprint(key) for key in given]
    if needed.unknown:
        return wrong(
            "master key",
            f"{needed.unknown} sealed keys are not opened by {' or '.join(names)}: put back the key"
            " that this database was made with",
        )
    if set(needed.fingerprints) - {names[0]}:
        return warn("master key", f"{names[0]} is new: run 'backstory vault rotate'")
    return ok("master key", f"{names[0]} opens the keys of all organizations")


def audit_key(config: Config, connection: sa.Connection, logs: list[LogHead]) -> Finding:
    """Whether the signer knows the keys of the last checkpoints."""
    signed = [log for log in logs if log.checkpoint_sequence]
    try:
        signer = signing.open_signer(config, make=False)
    except AuditKeyMissing as error:
        if signed or not engines(config.url).is_embedded:
            return wrong("audit key", str(error))
        return ok("audit key", "the first start of a server makes it")
    for log in signed:
        if not _is_known(connection, signer, log):
            return wrong(
                "audit key",
                f"another key signed the last checkpoint of organization {log.organization_id}: put"
                " it back, or add it as retired:PUBLIC_KEY",
            )
    return ok("audit key", f"{signer.fingerprints[0]} signs, and the last checkpoints are known")


def _is_known(connection: sa.Connection, signer: Signer, log: LogHead) -> bool:
    before = log.checkpoint_sequence + 1
    (recorded,) = recorded_checkpoints(connection, log.organization_id, 1, before)
    known = {key.key_id for key in signer.keys(log.origin)}
    note = verify.read_note(recorded.checkpoint)
    return any(signature[:4].hex() in known for _, signature in note.signatures)
