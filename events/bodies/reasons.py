"""The reason that a body gives for a change."""

from __future__ import annotations

from events.secrets.masks import MASK
from events.secrets.references import shown_reference
from events.secrets.values import Plain, read_text, url_members

REASON = "change_description"  # the member of a body


def clean_reason(text: str | None) -> str | None:
    """A reason without blanks around it; None for an empty one.

    Reasons are shown to every reader of the log, so that a secret in one is masked.
    """
    if text is None:
        return None
    secret = read_text(text)
    if isinstance(secret, Plain) or (secret is not None and secret.url is not None):
        return shown_reference(url_members(secret), MASK)
    return text.strip() or None
