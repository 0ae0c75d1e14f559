"""What a name says of its value: that it is a credential, may be one, or is none.

The last word of a name decides, as in English compounds: ``auth_token`` is a token, and
``token_url`` is an address. Takes time in proportion to the name.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from events.secrets.credential_words import (
    ALWAYS,
    ASKING,
    AUTHENTICATED,
    COMPOUNDS,
    DENYING,
    GUARDED,
    KNOWN,
    NOUNS,
    ORDINARY_KEYS,
    ORDINARY_PINS,
    ORDINARY_SIGNATURES,
    ORDINARY_TOKENS,
    PREPOSITIONS,
    PROVIDERS,
    SECRET_AFTER,
    SIGNED,
    SYSTEMS,
    TRAILING,
)
from events.secrets.name_words import name_end, normalized, segments, words
from events.secrets.randomness import looks_random


class Verdict(Enum):
    """Whether a name is a credential's. For ``PERHAPS``, the look of the value decides."""

    YES = "yes"
    PERHAPS = "perhaps"
    NO = "no"


def verdict(name: str) -> Verdict:
    """What a member's, a header's or a parameter's name says of its value.

    Words are told apart in snake, kebab and camel case, and where known words run together.
    """
    return _verdict(name_end(name))


@lru_cache(4096)  # bodies have the same few hundred names
def _verdict(name: str) -> Verdict:
    parts = segments(normalized(name))
    if not parts:
        return Verdict.NO
    *before, last = (part.lower() for part in parts)
    if last == "cookie" and not before:  # the header; ``cookies`` may be food
        return Verdict.YES
    by_case = [word.lower() for part in parts for word in words(part)]
    verdict = _verdict_of(by_case)
    if verdict is Verdict.NO and (unglued := _unglued(last)):
        return _verdict_of([*before, *unglued])
    return verdict


def _verdict_of(words: list[str]) -> Verdict:
    words = _without_trailing(words)
    if not words or (words[0] in ASKING and len(words) > 1):
        return Verdict.NO
    *before, noun = words
    if before and (before[-1] + noun).removesuffix("s") in COMPOUNDS:
        noun = before.pop() + noun
    plural = noun.endswith("s") and noun not in ("pass", "sas")
    singular = noun.removesuffix("s") if plural else noun
    if singular in ALWAYS or singular in COMPOUNDS:
        return Verdict.PERHAPS if before and before[0] in DENYING else Verdict.YES
    return _of_noun(singular, before, plural=plural)


def _without_trailing(words: list[str]) -> list[str]:
    """The words up to the noun: without ``for ...``, and without what may follow a noun."""
    for position, word in enumerate(words):
        if word in PREPOSITIONS and position:
            words = words[:position]
            break
    end = len(words)
    while end > 1 and words[end - 1] in TRAILING:
        if words[end - 1] == "string" and words[end - 2] in ("connection", "conn"):
            break
        end -= 1
    return words[:end]


def _of_noun(noun: str, before: list[str], *, plural: bool) -> Verdict:
    last = before[-1] if before else ""
    match noun:
        case "key":
            return _of_key(before, last)
        case "token":
            return _of_token(before, last, plural=plural)
        case "signature" | "sig" | "hmac":
            return _of_signature(before, last)
        case "pass":
            known = last in GUARDED or last in SYSTEMS or last in PROVIDERS
            return Verdict.YES if known or not before else Verdict.NO
        case "cookie":
            known = last in GUARDED or last == "set"
            return Verdict.YES if known else Verdict.PERHAPS
        case "pin":
            return Verdict.NO if last in ORDINARY_PINS else Verdict.YES
        case "code" | "phrase" | "seed":
            return Verdict.YES if last in SECRET_AFTER[noun] else Verdict.NO
        case "auth" if last in AUTHENTICATED:
            return Verdict.YES
        case _:
            return Verdict.PERHAPS if _may_hold_credential(noun, before, last) else Verdict.NO


def _may_hold_credential(noun: str, before: list[str], last: str) -> bool:
    match noun:
        case "auth":
            return True
        case "authentication" | "private" | "sas":
            return not before or last == "x"
        case "id":
            return last == "secret"
        case "header":
            return _verdict_of(before) is not Verdict.NO
        case _:
            return False


def _of_key(before: list[str], last: str) -> Verdict:
    guarded = any(word in GUARDED or word in PROVIDERS for word in before) or last == "function"
    if last in ("primary", "secondary", "storage") and guarded:
        return Verdict.PERHAPS  # the names of some clouds' keys
    if last in ORDINARY_KEYS:
        return Verdict.NO
    return Verdict.YES if guarded else Verdict.PERHAPS


def _of_token(before: list[str], last: str, *, plural: bool) -> Verdict:
    if any(word in GUARDED for word in before):
        return Verdict.YES
    if last in ORDINARY_TOKENS:
        return Verdict.NO  # those of a language model
    return Verdict.PERHAPS if plural else Verdict.YES


def _of_signature(before: list[str], last: str) -> Verdict:
    if any(word in SIGNED or word in GUARDED or word in PROVIDERS for word in before):
        return Verdict.YES
    return Verdict.NO if last in ORDINARY_SIGNATURES else Verdict.PERHAPS


def _unglued(run: str) -> list[str]:
    """The words that run together, as in ``openaiapikey``; none if one of them is unknown."""
    run = run.removesuffix("s") if not run.endswith("ss") else run
    for noun in NOUNS:
        if run.endswith(noun):
            words = _known_words(run[: -len(noun)])
            return [*words, noun] if words else []
    return []


def _known_words(run: str) -> list[str] | None:
    """A run cut into known words, the longest first; None if something is left over."""
    words: list[str] = []
    while run:
        word = next((run[:n] for n in range(min(len(run), 16), 0, -1) if run[:n] in KNOWN), None)
        if word is None:
            return None
        words.append(word)
        run = run[len(word) :]
    return words


def is_cookie(name: str) -> bool:
    """Whether a name is that of cookies, which are credentials where they are pairs."""
    return name_end(name).lower().removesuffix("s").endswith("cookie")


def speaks_of_credential(name: str, value: str = "") -> bool:
    """Whether a name says that its value is a credential.

    Of a name that leaves it open, the look of the value decides.
    """
    by_name = verdict(name)
    if by_name is not Verdict.PERHAPS:
        return by_name is Verdict.YES
    return looks_random(value) or (is_cookie(name) and "=" in value)


# Members beside a credential that say what it is: they stay readable.
_DESCRIBING = frozenset(
    ("alg", "algorithm", "method", "provider", "region", "scheme", "scope", "scopes", "type")
)


def only_describes(name: str) -> bool:
    """Whether a member of a record of credentials says what they are, and is none itself."""
    return name.lower() in _DESCRIBING
