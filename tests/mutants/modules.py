"""The modules that are mutated, in groups, and their tests: narrow ones, the fast ones first."""

from __future__ import annotations


def _files(folder: str, *names: str) -> str:
    return " ".join(f"tests/{folder}/test_{name}.py" for name in names)


_DECISIONS = " ".join(
    (
        _files("events", "patching", "three_way", "undo", "rollback", "decider"),
        _files("events/secrets", "moved"),
    )
)
_BODIES = " ".join(
    (
        _files("events/bodies", "patch", "merge_patch", "untouched", "acceptance", "aliases"),
        _files("events/bodies", "documents", "json_patch_limits", "secrets_in_bodies"),
        _files("events", "patching"),
    )
)
_SECRETS = " ".join(
    (
        "tests/events/secrets",
        _files("events", "secret_paths", "rollback"),
        _files("events/bodies", "secrets_in_bodies", "json_patch_masks"),
    )
)
_ACCOUNTS = _files("app/accounts", "known_keys", "api_keys", "roles", "failed_logins")
_VAULT = _files("app/vault", "stored_forms", "vault")
_TREE = " ".join((_files("events", "merkle"), _files("suites", "rfc6962")))
_LOG = _files("events", "store")
_LOCKED = (
    "tests/app/transactions/test_write_queue.py"
    "::test_who_waits_for_a_lock_does_not_hold_up_another_organization"
)
_DUE = "tests/app/transactions/test_clock.py::test_a_checkpoint_is_due_by_time_or_by_sequence"
_HEAD = f"{_LOG} {_DUE} {_files('app/storage', 'glances')} {_LOCKED}"
_WAITING = _files("app/transactions", "waiting_work")
_QUEUE = _files("app/transactions", "write_queue", "fair_writes")

GROUPS: dict[str, dict[str, str]] = {
    "deciding": {
        "events/decider.py": _DECISIONS,
        "events/merging.py": f"{_files('events/secrets', 'older_rules')} {_DECISIONS}",
        "events/patching.py": _DECISIONS,
        "events/meaning.py": _BODIES,
        "events/bodies/acceptance.py": _BODIES,
        "events/bodies/documents.py": _BODIES,
        "events/bodies/merge_patch.py": _BODIES,
        "events/bodies/patch.py": _BODIES,
        "events/bodies/untouched.py": _BODIES,
        "events/secrets/merge.py": _BODIES,
    },
    "masks": dict.fromkeys(
        (
            "events/secret_paths.py",
            "events/secrets/addresses.py",
            "events/secrets/counterparts.py",
            "events/secrets/credential_forms.py",
            "events/secrets/credential_names.py",
            "events/secrets/credential_urls.py",
            "events/secrets/credential_words.py",
            "events/secrets/destinations.py",
            "events/secrets/masks.py",
            "events/secrets/moved.py",
            "events/secrets/name_words.py",
            "events/secrets/pairs.py",
            "events/secrets/randomness.py",
            "events/secrets/references.py",
            "events/secrets/restore.py",
            "events/secrets/templates.py",
            "events/secrets/values.py",
        ),
        _SECRETS,
    ),
    "auth": dict.fromkeys(
        (
            "app/accounts/api_keys.py",
            "app/accounts/authenticator.py",
            "app/accounts/principals.py",
        ),
        _ACCOUNTS,
    )
    | {
        "app/accounts/permissions.py": _files("app/accounts", "permissions"),
        "app/accounts/tokens.py": _files("app/accounts", "tokens"),
    },
    "vault": {
        "app/vault/aead.py": _files("app/vault", "stored_forms"),
        "app/vault/key_files.py": _VAULT,
        "app/vault/keys.py": _VAULT,
        "app/vault/sealing.py": _VAULT,
        "app/vault/store.py": f"{_VAULT} {_files('app/vault', 'sealed_secrets')}",
    },
    "tree": {
        "events/log_head.py": _HEAD,
        "events/log_proofs.py": _LOG,
        "events/merkle.py": _TREE,
    },
    "queue": {
        "app/transactions/waiting_work.py": _WAITING,
        "app/transactions/write_queue.py": _QUEUE,
    },
}
