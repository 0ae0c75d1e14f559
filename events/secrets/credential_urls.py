"""The credentials in a URL: its user information, and parameters and paths that are secret.

Takes time in proportion to the text.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from msgspec import Struct

from events.secrets.credential_forms import has_credential_form
from events.secrets.credential_names import Verdict, speaks_of_credential, verdict
from events.secrets.masks import MASK, is_mask
from events.secrets.templates import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# RFC 3986, appendix B, after the scheme: authority, path, query, fragment. ``urllib.parse`` says
# the same of a URL, but not where its parts stand: it drops characters, and raises on brackets.
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.:_\-]*:)?//")
_AFTER_SCHEME = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
# After what may be a host and a port, or a user and a password that starts with digits. A query
# such as ``?email=a@b`` is one, unless a colon stands before it.
_AS_IN_USER = re.compile(r"#[^@]*@|\?[^@=]*@|(?<=[0-9])\?[^@]*@")
_PARAMETER = re.compile(r"[?&;#]([^=?&;#]+)=([^&;#]*)")
_BEARING_HOSTS = ("slack.com", "discord", "telegram.org")
# Addresses that let their bearer post: Slack's, Discord's and Telegram's say so.
_BEARING = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/([^?#]+)"
    r"|discord(?:app)?\.com/api/webhooks/[0-9]+/([^/?#]+)"
    r"|api\.telegram\.org/(?:file/)?bot([^/?#]+))",
    re.IGNORECASE,
)
_SIGNING = frozenset(("auth", "sig", "signature"))  # as parameters, always
_BLANK = re.compile(r"\s")
_AMBIGUOUS = frozenset("/?#")


class Address(Struct, frozen=True, kw_only=True):
    """A URL without its credentials, and these with the places where they stood, in order.

    The user information stands right after ``//``; its ``@`` is part of neither.
    """

    url: str
    at: tuple[int, ...]
    parts: tuple[str, ...]

    @property
    def has_user_alone(self) -> bool:
        """Whether the only credential is the user information."""
        return len(self.at) == 1 and is_user_at(self.url, self.at[0])


def is_user_at(url: str, place: int) -> bool:
    """Whether a place of a URL is that of its user information."""
    return place == (found.end() if (found := _SCHEME.match(url)) else -1)


def is_ambiguous(text: str) -> bool:
    """Whether a text is a URL of which programs differ about where its host starts.

    RFC 3986 lets none of these characters stand in user information, and what stands before them
    is the host for some: a secret that is sent there must not look as if it went elsewhere.
    """
    address = read_url(text)
    if address is None or not is_user_at(address.url, address.at[0]):
        return False
    user = address.parts[0]
    return "\\" in user or (_is_web(address.url) and not _AMBIGUOUS.isdisjoint(user))


def _is_web(url: str) -> bool:
    return url[:4].lower() in ("http", "ws:/", "wss:")


def labels(url: str, at: Sequence[int]) -> list[str]:
    """What stands before each credential of a URL: the parameter's name, or nothing."""
    return [re.split(r"[/?&;#]", url[:place])[-1] for place in at]


def in_url(url: str, parts: Sequence[str], at: Sequence[int] | None = None) -> str:
    """A URL with its credentials back in their places; without places, the user information."""
    if at is None:
        found = _SCHEME.match(url)
        at = (found.end() if found else url.find("://") + 3,)
    pieces, ends = [], [*at, len(url)]
    pieces.append(url[: ends[0]])
    for part, (start, end) in zip(parts, pairwise(ends), strict=True):
        pieces.append(f"{part}@" if is_user_at(url, start) else part)
        pieces.append(url[start:end])
    return "".join(pieces)


def read_url(text: str) -> Address | None:
    """The credentials of a URL; None where a text is no URL or has none."""
    if "//" not in text or not _may_have_credentials(text):  # as nearly all texts
        return None
    text = text.strip()
    if (scheme := _SCHEME.match(text)) is None or _BLANK.search(text):
        return None
    start = scheme.end()
    end = start + _user_length(text[start:], is_web=_is_web(text))
    spans = [(start, end - 1, end)] if end > start else []
    spans += [(first, last, last) for first, last in _cut(text, end)]
    spans = [one for one in spans if one[1] > one[0]]
    if not spans:
        return None
    kept, at, parts, after = "", [], [], 0
    for first, last, resumes in spans:
        kept += text[after:first]
        at.append(len(kept))
        parts.append(text[first:last])
        after = resumes
    return Address(url=kept + text[after:], at=tuple(at), parts=tuple(parts))


def _may_have_credentials(url: str) -> bool:
    """What is fast to tell of a text that holds ``//``."""
    return "@" in url or "=" in url or any(host in url.lower() for host in _BEARING_HOSTS)


def _user_length(rest: str, *, is_web: bool) -> int:
    """How long the user information is, with its ``@``; 0 where there is none."""
    if "@" not in rest:
        return 0
    found = _AFTER_SCHEME.match(rest)
    authority = found[1] if found else ""
    if "@" in authority:
        return authority.rindex("@") + 1
    hosts = PLACEHOLDER.sub("0", authority).split(",")  # some databases name several
    is_host = all(_HOST_AND_PORT.fullmatch(one) for one in hosts)
    if is_host and not (is_web and _AS_IN_USER.match(rest, len(authority))):
        return 0  # the @ stands in the path or the query
    return rest.rindex("@") + 1  # a password that was not percent-encoded


def _cut(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where the credentials stand after the user information."""
    if (bearing := _BEARING.match(text, start)) is not None:
        yield bearing.span(bearing.lastindex or 0)
        start = bearing.end()
    for found in _PARAMETER.finditer(text, start):
        name, value = found[1], found[2]
        if value and _is_parameter(_unquoted(name), _unquoted(value)):
            yield found.span(2)


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _is_parameter(name: str, value: str) -> bool:
    if value[0] in "*.e" and is_mask(value):
        return verdict(name) is not Verdict.NO or value == MASK
    if value[0] in "{<$" and PLACEHOLDER.fullmatch(value):
        return False  # filled in later
    if name.lower() in _SIGNING or speaks_of_credential(name, value):
        return True
    return has_credential_form(value)
