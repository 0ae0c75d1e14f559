"""The credentials in a URL: its user information, and secret parts of its path and query.

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


# RFC 3986, appendix B, after the scheme: authority, path, query, fragment. ``urllib.parse`` does
# not tell the positions of these parts, drops characters, and raises on brackets.
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.:_\-]*:)?//")
_AFTER_SCHEME = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
# Follows what may be a host and a port, and tells that it is a user and the start of a password. A
# query such as ``?email=a@b`` does not, unless a digit stands before it.
_AS_IN_USER = re.compile(r"#[^@]*@|\?[^@=]*@|(?<=[0-9])\?[^@]*@")
_PARAMETER = re.compile(r"[?&;#]([^=?&;#]+)=([^&;#]*)")
_BEARING_HOSTS = ("slack.com", "discord", "telegram.org")
# URLs that let anyone who knows them post, by the documentation of Slack, Discord and Telegram.
_BEARING = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/([^?#]+)"
    r"|discord(?:app)?\.com/api/webhooks/[0-9]+/([^/?#]+)"
    r"|api\.telegram\.org/(?:file/)?bot([^/?#]+))",
    re.IGNORECASE,
)
_SIGNING = frozenset(("auth", "sig", "signature"))  # names of parameters that are always secret
_BLANK = re.compile(r"\s")
_AMBIGUOUS = frozenset("/?#")


class Address(Struct, frozen=True, kw_only=True):
    """A URL without its credentials, and these in order, with their positions in ``url``.

    User information stands right after ``//``; its ``@`` is in neither.
    """

    url: str
    at: tuple[int, ...]
    parts: tuple[str, ...]

    @property
    def has_user_alone(self) -> bool:
        """Whether the only credential is the user information."""
        return len(self.at) == 1 and is_user_at(self.url, self.at[0])


def is_user_at(url: str, place: int) -> bool:
    """Whether a position in a URL is that of its user information."""
    scheme = _SCHEME.match(url)
    return scheme is not None and place == scheme.end()


def is_ambiguous(text: str) -> bool:
    r"""Whether a text is a URL whose host starts at different places for different programs.

    RFC 3986 allows none of ``/ ? #`` and ``\`` in user information. Some programs take what stands
    before them for the host. A secret must not be shown as if it were sent to another host.
    """
    address = read_url(text)
    if address is None or not is_user_at(address.url, address.at[0]):
        return False
    user = address.parts[0]
    return "\\" in user or (_is_web(address.url) and not _AMBIGUOUS.isdisjoint(user))


def _is_web(url: str) -> bool:
    return url[:4].lower() in ("http", "ws:/", "wss:")


def labels(url: str, at: Sequence[int]) -> list[str]:
    """For each credential of a URL, the name of its parameter, or an empty text."""
    return [re.split(r"[/?&;#]", url[:place])[-1] for place in at]


def in_url(url: str, parts: Sequence[str], at: Sequence[int] | None = None) -> str:
    """A URL with its credentials back at their positions; without those, the user information."""
    if at is None:
        scheme = _SCHEME.match(url)
        at = (scheme.end() if scheme else url.find("://") + 3,)
    pieces, ends = [], [*at, len(url)]
    pieces.append(url[: ends[0]])
    for part, (start, end) in zip(parts, pairwise(ends), strict=True):
        pieces.append(f"{part}@" if is_user_at(url, start) else part)
        pieces.append(url[start:end])
    return "".join(pieces)


def read_url(text: str) -> Address | None:
    """The credentials of a URL; None for a text that is no URL, or has no credentials."""
    if "//" not in text or not _may_have_credentials(text):  # nearly all texts
        return None
    text = text.strip()
    if (scheme := _SCHEME.match(text)) is None or _BLANK.search(text):
        return None
    start = scheme.end()
    end = start + _user_length(text[start:], is_web=_is_web(text))
    spans = [(start, end - 1, end)] if end > start else []
    spans += [(first, last, last) for first, last in _credential_spans(text, end)]
    spans = [span for span in spans if span[1] > span[0]]
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
    """Whether a text with ``//`` may have credentials, as far as that is fast to tell."""
    return "@" in url or "=" in url or any(host in url.lower() for host in _BEARING_HOSTS)


def _user_length(rest: str, *, is_web: bool) -> int:
    """The length of the user information with its ``@``; 0 without one."""
    if "@" not in rest:
        return 0
    parts = _AFTER_SCHEME.match(rest)
    authority = parts[1] if parts else ""
    if "@" in authority:
        return authority.rindex("@") + 1
    hosts = PLACEHOLDER.sub("0", authority).split(",")  # some databases take several
    is_host = all(map(_HOST_AND_PORT.fullmatch, hosts))
    if is_host and not (is_web and _AS_IN_USER.match(rest, len(authority))):
        return 0  # the @ stands in the path or the query
    return rest.rindex("@") + 1  # a password that was not percent-encoded


def _credential_spans(text: str, start: int) -> Iterator[tuple[int, int]]:
    """The positions of credentials after the user information: start and end."""
    if (bearing := _BEARING.match(text, start)) is not None:
        yield bearing.span(bearing.lastindex or 0)
        start = bearing.end()
    for parameter in _PARAMETER.finditer(text, start):
        name, value = parameter[1], parameter[2]
        if value and _is_secret_parameter(_unquoted(name), _unquoted(value)):
            yield parameter.span(2)


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _is_secret_parameter(name: str, value: str) -> bool:
    if value[0] in "*.e" and is_mask(value):
        return verdict(name) is not Verdict.NO or value == MASK
    if value[0] in "{<$" and PLACEHOLDER.fullmatch(value):
        return False  # it is filled in later
    if name.lower() in _SIGNING or speaks_of_credential(name, value):
        return True
    return has_credential_form(value)
