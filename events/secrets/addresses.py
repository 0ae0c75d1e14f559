"""What is an address: which values name the server that a secret is sent to.

Only a URL that every program reads alike is compared by its scheme, host and port. Anything else
that may be an address, or a part of one, is compared whole: better a change that is refused than a
secret that is sent away. Takes time in proportion to the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from events.secrets.name_words import name_end, normalized, segments, words

if TYPE_CHECKING:
    from collections.abc import Iterator


_DEFAULT_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
# A URL whose host is the same to every program; what follows its authority does not matter.
_PLAIN_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]{0,30})://(?:[\w.~%!$&()*+,;=:\-]*@)?"
    r"([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::(\d*))?(?=[/?#]|\Z)",
    re.ASCII,
)
# What may be an address: slashes, a name with dots, an IP address, a name with a port.
_SIGN = re.compile(
    r"[/\\]{2}|:[/\\]|\blocalhost\b|\d\.\d{1,3}\.\d{1,3}\.\d|\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z_]:\d{2,5}(?!\d)"
    r"|[\w\-][.\u3002\uff0e\uff61](?!(?:txt|json|wav|ya?ml|xml|html|csv|pdf|png|jpe?g|ogg|flac)\b)"
    r"[^\W\d_]{2,24}(?![\w])"
)
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")
_ASCII_RUN = re.compile("[A-Za-z]+")
# The last word of a name whose value is an address, or a part that decides about one, in any form.
_ADDRESS_WORDS = frozenset((
    "broker", "callback", "endpoint", "gateway", "host", "hostname", "https", "ip", "port", "proxy",
    "scheme", "server", "ssl", "tls", "upstream", "uri", "url", "webhook",
))  # fmt: skip
_ADDRESS_ENDINGS = ("url", "uri", "host", "endpoint", "urls", "uris", "hosts", "endpoints")
# The last word of a name whose value may be a part of a host's name, unless it is a plain word.
_PART_WORDS = frozenset(
    ("account", "base", "bucket", "cluster", "domain", "instance", "region", "resource", "tenant")
)
_PART_SIGN = re.compile(r"[./:@#?%\\]")
_HOST = re.compile(r"[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,8}\.[^\W\d_]{2,24}(?::\d{1,5})?(?:/.*)?")
_PROVIDER_WORDS = frozenset(("provider", "vendor"))


def addresses_in(value: Any, name: str, *, providers: bool) -> Iterator[str]:
    """The addresses in a plain value under a name, each as the text that is compared.

    ``providers`` says whether the name of a provider is an address.
    """
    meaning = meaning_of(name)
    if not isinstance(value, str):
        if meaning == "address" and value is not None:
            yield str(value).lower()
    elif meaning == "provider":
        yield from [folded(value)] if providers and value else ()
    elif (plain := _plain_origin(value)) is not None:
        yield plain
    elif meaning == "address":
        yield from [folded(value)] if value and not _PATH.fullmatch(value) else ()
    elif meaning == "part" and _PART_SIGN.search(value):
        yield folded(value)
    elif _SIGN.search(value):
        words_in = filter(_SIGN.search, value.split())
        yield from (_plain_origin(word) or folded(word) for word in words_in)


Meaning = Literal["provider", "address", "part", ""]


def meaning_of(name: str) -> Meaning:
    """What a name says of its value: that it is a provider, an address, a part of one, or none."""
    return _meaning_of(name_end(name))  # a name may be a megabyte, and must not stay in memory


@lru_cache(maxsize=4096)
def _meaning_of(name: str) -> Meaning:
    name = normalized(name)
    runs = [
        run for part in segments(name) for word in words(part) for run in _ASCII_RUN.findall(word)
    ]
    last = runs[-1].lower() if runs else ""
    last = last if last in _ADDRESS_WORDS else last.removesuffix("s")
    if last in _PROVIDER_WORDS:
        return "provider"
    if last in _ADDRESS_WORDS or last == "proxie" or name.lower().endswith(_ADDRESS_ENDINGS):
        return "address"
    return "part" if last in _PART_WORDS else ""


def folded(text: str) -> str:
    """The text as it is compared: letters that look alike, or differ by case, are the same."""
    return unicodedata.normalize("NFKC", text).casefold()


def looks_like_address(value: Any) -> bool:
    """Whether a secret's value has the form of an address."""
    if not isinstance(value, str) or any(blank in value for blank in " \n"):
        return False
    return "//" in value or ":/" in value or "\\" in value or _HOST.fullmatch(value) is not None


def origin(url: str) -> str:
    """The scheme, host and port of a URL in one spelling.

    All of the URL, if programs may differ about its host.
    """
    return _plain_origin(url) or folded(url)


def _plain_origin(text: str) -> str | None:
    url = _PLAIN_URL.match(text)
    if url is None:
        return None
    rest = text[url.end() :]
    if rest[:1] in ("?", "#") and "@" in rest:  # some programs look for the host after the @
        return None
    scheme, host, port = url[1].lower(), url[2].lower().rstrip("."), url[3]
    is_default = not port or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{port}"
