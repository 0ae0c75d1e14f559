"""What is a credential: the one place that decides it, by a value's name and by its form.

A name decides by its last word, as English compounds do: ``auth_token`` is a token, and
``token_url`` is an address. A form decides whatever the name is: a private key in PEM, a JWT,
``Bearer ...``, ``Basic ...``, or a key with a prefix that its provider has published. Of a URL
only the parts that are credentials are one. Everything here takes time in proportion to the text.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MASK = "********"
ERASED = "erased"  # shown where the sealed value was destroyed

_ONLY_MASK = re.compile(r"[*.]+")


def is_mask(text: str) -> bool:
    """Whether a value is only what some server showed in place of a secret."""
    return text == ERASED or _ONLY_MASK.fullmatch(text) is not None


# -- names


class Verdict(Enum):
    """What a name says of its value; for ``PERHAPS`` the value's look decides."""

    YES = "yes"
    PERHAPS = "perhaps"
    NO = "no"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LONGEST_NAME = 200  # characters; the end of a longer name decides

# Nouns that are credentials whatever stands before them.
_ALWAYS = _words(
    "password passwd passphrase passcode passkey pwd passwort kennwort contraseña contrasena"
    " senha secret credential cred authorization jwt bearer dsn mnemonic otp totp hotp cvv cvc"
    " apikey psk pw"
)
# Words that make the noun after them a credential.
_GUARDED = _words(
    "api access account admin aes app application auth authentication authorization authz basic"
    " bearer bot cipher client consumer crypto csrf decrypt decryption deploy deployment"
    " developer encrypt encryption functions hec hmac ingest ingestion integration jwt keystore kms"
    " licence license login machine management master merchant mfa oauth partner password personal"
    " private proxy push refresh rest root rsa sas secret security server service session shared"
    " sign signature signing sso ssh ssl subscription super tls truststore vapid verification"
    " verify webhook wifi wpa write xsrf"
)
# Whose keys are called by the provider's name alone: ``deepgram_key``.
_PROVIDERS = _words(
    "airtable algolia anthropic assembly assemblyai aws azure bedrock bing calendly cartesia"
    " cerebras cloudflare cohere daily datadog deepgram deepinfra deepl deepseek elevenlabs eleven"
    " exa exotel fastly firebase firecrawl fireworks gcp gemini github gitlab gladia google groq"
    " helicone heroku hubspot huggingface hume inworld langfuse langsmith livekit lmnt mailchimp"
    " mailgun mapbox maps minimax mistral mongo mongodb neuphonic notion nvidia ocp okta ollama"
    " openai openrouter pagerduty perplexity pinecone playht plivo posthog postmark qdrant rapidapi"
    " redis replicate resemble resend retell rime rimeai salesforce sarvam segment sendgrid sentry"
    " serpapi serper shopify signalwire slack smallest soniox speechmatics square stripe supabase"
    " tavily telegram telnyx together twilio vapi vercel vonage weaviate xai xi zapier"
    " zendesk"
)
_SYSTEMS = _words(
    "db database ftp git http imap ldap mail mysql pg postgres postgresql sftp sip smtp snmp sql"
    " user vpn"
)
_FILLERS = _words("my our the x new old prod dev test live main pre function")
_KNOWN = _GUARDED | _PROVIDERS | _SYSTEMS | _FILLERS
_ORDINARY_KEYS = _words(
    "answer arrow attribute blob bucket cache candidate column composite config correlation"
    " data dedup dedupe dedupl deduplication dict dictionary document dtmf entity escape event"
    " feature field file flag foreign group grouping hash header hot i idempotency index item"
    " json l label lang language legend localization locale lock lookup map memory message"
    " metadata metric name n natural object option order param parameter partition path phone"
    " pound primary prompt property public publishable query range record row routing s search"
    " secondary setting shard short shortcut site slot sort sorting star state storage"
    " surrogate tag template topic translation unique variable"
)
_ORDINARY_TOKENS = _words(
    "audio bos cancellation cls completion continuation control cost cursor design end eos first"
    " image input last mask max min next output pad page per placeholder prefix prompt sep special"
    " start stop suffix text total unk wake"
)
_ORDINARY_PINS = _words("board drop dropped gpio input location map output")
_ORDINARY_SIGNATURES = _words("call digital email function html key mail method type")
_SIGNED = _words("amz body goog hub payload request x")
# Nouns that are credentials after one of these words alone.
_MADE_BY = {
    "code": _words(
        "access alarm auth authorization backup door entry gate lock login mfa otp pass pin"
        " recovery secret security totp unlock verification"
    ),
    "phrase": _words("mnemonic pass recovery secret security seed"),
    "seed": _words("auth hotp key mfa mnemonic otp secret time token totp wallet"),
}
_AUTHENTICATED = _words("basic bearer digest http proxy")
# What may follow the noun without making it another one: ``api_key_prod``, ``password_hash``.
_TRAILING = _words(
    "b backup base binary confirm confirmation current default dev development encoded encrypted"
    " fallback hash hashed hex json live material new old pem plain plaintext previous prod"
    " production raw salt sandbox secondary sha staging string test v val value"
)
_PREPOSITIONS = frozenset(("for", "from", "of", "to"))
_DENYING = frozenset(("no", "non", "without"))
_ASKING = frozenset(("has", "is", "needs", "require", "requires"))  # a name that is a question
_COMPOUNDS = _words(
    "accesskey apikey connectionstring connectionstr connstring connstr passcode passkey passphrase"
    " password passwd"
)
_NOUNS = (
    "connectionstring", "authorization", "credential", "passphrase", "signature", "passcode",
    "password", "connstr", "secret", "bearer", "cookie", "passwd", "token", "code", "pass", "auth",
    "dsn", "jwt", "key", "otp", "pin", "pwd", "sig",
)  # fmt: skip
# Words of ``clientSecret``, of ``APIKey``, and of ``auth_token``.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
_SEGMENTS = re.compile(r"[^\W\d_]+")


def verdict(name: str) -> Verdict:
    """What a member's, a header's or a parameter's name says of its value.

    Words are told apart in snake, kebab and camel case, and where known ones run together.
    """
    return _verdict(name[-_LONGEST_NAME:])


@lru_cache(4096)  # bodies have the same few hundred names
def _verdict(name: str) -> Verdict:
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    segments = _SEGMENTS.findall(name)
    if not segments:
        return Verdict.NO
    if [one.lower() for one in segments] == ["cookie"]:  # the header; ``cookies`` may be to eat
        return Verdict.YES
    by_case = [word.lower() for segment in segments for word in _WORDS.findall(segment)]
    said = _of_words(by_case)
    if said is Verdict.NO and (parts := _unglued(segments[-1].lower())):
        return _of_words([*(one.lower() for one in segments[:-1]), *parts])
    return said


def _of_words(words: list[str]) -> Verdict:
    words = _without_trailing(words)
    if not words or (words[0] in _ASKING and len(words) > 1):
        return Verdict.NO
    *before, noun = words
    if before and (before[-1] + noun).removesuffix("s") in _COMPOUNDS:
        noun = before.pop() + noun
    plural = noun.endswith("s") and noun not in ("pass", "sas")
    singular = noun.removesuffix("s") if plural else noun
    if singular in _ALWAYS or singular in _COMPOUNDS:
        return Verdict.PERHAPS if before and before[0] in _DENYING else Verdict.YES
    return _of_noun(singular, before, plural=plural)


def _without_trailing(words: list[str]) -> list[str]:
    for position, word in enumerate(words):
        if word in _PREPOSITIONS and position:
            words = words[:position]
            break
    end = len(words)
    while end > 1 and words[end - 1] in _TRAILING:
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
            known = last in _GUARDED or last in _SYSTEMS or last in _PROVIDERS
            return Verdict.YES if known or not before else Verdict.NO
        case "cookie":
            known = last in _GUARDED or last == "set"
            return Verdict.YES if known else Verdict.PERHAPS
        case "pin":
            return Verdict.NO if last in _ORDINARY_PINS else Verdict.YES
        case "code" | "phrase" | "seed":
            return Verdict.YES if last in _MADE_BY[noun] else Verdict.NO
        case "auth" if last in _AUTHENTICATED:
            return Verdict.YES
        case _:
            return Verdict.PERHAPS if _may_hold_one(noun, before, last) else Verdict.NO


def _may_hold_one(noun: str, before: list[str], last: str) -> bool:
    match noun:
        case "auth":
            return True
        case "authentication" | "private" | "sas":
            return not before or last == "x"
        case "id":
            return last == "secret"
        case "header":
            return _of_words(before) is not Verdict.NO
        case _:
            return False


def _of_key(before: list[str], last: str) -> Verdict:
    guarded = any(word in _GUARDED or word in _PROVIDERS for word in before) or last == "function"
    if last in ("primary", "secondary", "storage") and guarded:
        return Verdict.PERHAPS  # some clouds call their keys so
    if last in _ORDINARY_KEYS:
        return Verdict.NO
    return Verdict.YES if guarded else Verdict.PERHAPS


def _of_token(before: list[str], last: str, *, plural: bool) -> Verdict:
    if any(word in _GUARDED for word in before):
        return Verdict.YES
    if last in _ORDINARY_TOKENS:
        return Verdict.NO  # those of a language model
    return Verdict.PERHAPS if plural else Verdict.YES


def _of_signature(before: list[str], last: str) -> Verdict:
    if any(word in _SIGNED or word in _GUARDED or word in _PROVIDERS for word in before):
        return Verdict.YES
    return Verdict.NO if last in _ORDINARY_SIGNATURES else Verdict.PERHAPS


def _unglued(run: str) -> list[str]:
    """The words of a name that runs them together, such as ``openaiapikey``; none if unknown."""
    run = run.removesuffix("s") if not run.endswith("ss") else run
    for noun in _NOUNS:
        if run.endswith(noun):
            words = _known_words(run[: -len(noun)])
            return [*words, noun] if words else []
    return []


def _known_words(run: str) -> list[str] | None:
    """A run cut into known words, the longest first; None where that does not go up."""
    words: list[str] = []
    while run:
        found = next((run[:n] for n in range(min(len(run), 16), 0, -1) if run[:n] in _KNOWN), None)
        if found is None:
            return None
        words.append(found)
        run = run[len(found) :]
    return words


def is_cookie(name: str) -> bool:
    """Whether a name is that of cookies, which are credentials where they are pairs."""
    return name[-_LONGEST_NAME:].lower().removesuffix("s").endswith("cookie")


def speaks_of_credential(name: str, value: str = "") -> bool:
    """Whether a name says that its value is a credential; where it may be one, by its look."""
    said = verdict(name)
    if said is not Verdict.PERHAPS:
        return said is Verdict.YES
    return looks_random(value) or (is_cookie(name) and "=" in value)


# Members beside a credential that say what it is: they stay readable.
_DESCRIBING = frozenset(
    ("alg", "algorithm", "method", "provider", "region", "scheme", "scope", "scopes", "type")
)


def only_describes(name: str) -> bool:
    """Whether a member of a record of credentials says what they are, and is none itself."""
    return name.lower() in _DESCRIBING


# Members of a pair that say what its ``value`` is.
NAMING = ("name", "key", "header", "id", "variable", "field")


def named_value(pair: dict[str, Any]) -> tuple[str, str, str] | None:
    """Of a pair such as ``{"key": "Authorization", "value": ...}``: both members, and the name.

    ``key`` holds a name here: were it masked, the pair that is sent back would no longer say that
    its value is secret.
    """
    if len(pair) < 2:  # noqa: PLR2004  # a pair has two members
        return None
    members = {name.lower(): name for name in pair}
    if "value" not in members:
        return None
    found = [
        (members[naming], members["value"], pair[members[naming]])
        for naming in NAMING
        if naming in members and isinstance(pair[members[naming]], str)
    ]
    speaking = (one for one in found if verdict(one[2]) is not Verdict.NO)
    return next(speaking, found[0] if found else None)


# -- how a value looks


_RUNS = re.compile(r"[A-Za-z0-9]{20,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[A-Za-z]")
_CASES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), _DIGIT)


def looks_random(text: str) -> bool:
    """Whether a text looks drawn at random: no words, but letters and digits in long runs."""
    if len(text) < 20 or " " in text or "://" in text:  # noqa: PLR2004  # as a run
        return False
    if _UUID.fullmatch(text):
        return True
    if any(_DIGIT.search(run) and _LETTER.search(run) for run in _RUNS.findall(text)):
        return True
    return _BASE64.fullmatch(text) is not None and all(case.search(text) for case in _CASES)


# -- forms

# Prefixes that the providers have published. Sources, read in November 2026: the plugins of
# detect-secrets 1.5.0 (Apache-2.0), GitHub's "Supported secret scanning patterns", the default
# rules of gitleaks (MIT), and the providers' own pages. The library itself is not used: its last
# release is of May 2024, it scans files by lines, and it brings ``requests`` and ``pyyaml`` along.
_BODY = r"[A-Za-z0-9_\-]"
_PUBLISHED = (
    rf"sk[-_]{_BODY}{{16,}}",                       # OpenAI, Anthropic, Stripe, ElevenLabs, others
    rf"rk_(?:live|test)_{_BODY}{{16,}}",            # Stripe, restricted
    r"whsec_[A-Za-z0-9+/=_\-]{16,}",             # Stripe, Svix: webhook signing
    rf"tok_(?:live|test)_{_BODY}{{16,}}",
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[A-Z0-9]{16}",  # AWS access keys
    r"amzn\.mws\.[0-9a-f\-]{36}",                   # Amazon MWS
    rf"AIza{_BODY}{{30,}}",                         # Google API key
    r"ya29\.[A-Za-z0-9_\-.]{16,}",                  # Google OAuth access token
    rf"GOCSPX-{_BODY}{{20,}}",                      # Google OAuth client secret
    r"gh[oprsu]_[A-Za-z0-9]{20,}",                  # GitHub
    r"github_pat_[A-Za-z0-9_]{20,}",                # GitHub, fine-grained
    r"gl(?:pat|dt|ft|soat|rt|ptt|cbt|agent|oas|imt)-[A-Za-z0-9_\-.]{16,}",  # GitLab
    r"xox[abcdeoprs](?:\.xox[a-z])?-[A-Za-z0-9\-]{10,}",  # Slack
    r"xapp-[A-Za-z0-9\-]{10,}",                     # Slack, app level
    rf"SG\.{_BODY}{{16,}}\.{_BODY}{{16,}}",         # SendGrid
    r"SK[0-9a-f]{32}",                              # Twilio API key
    r"key-[0-9a-f]{32}",                            # Mailgun
    r"[0-9a-f]{32}-us[0-9]{1,2}",                   # Mailchimp
    rf"gsk_{_BODY}{{20,}}",                         # Groq
    rf"xai-{_BODY}{{20,}}",                         # xAI
    rf"pplx-{_BODY}{{20,}}",                        # Perplexity
    rf"nvapi-{_BODY}{{20,}}",                       # NVIDIA
    rf"tvly-{_BODY}{{16,}}",                        # Tavily
    r"hf_[A-Za-z0-9]{20,}",                         # Hugging Face
    r"r8_[A-Za-z0-9]{20,}",                         # Replicate
    rf"csk-{_BODY}{{20,}}",                         # Cerebras
    rf"fw_{_BODY}{{20,}}",                          # Fireworks
    rf"pcsk_{_BODY}{{20,}}",                        # Pinecone
    rf"(?:sbp|sb_secret)_{_BODY}{{20,}}",           # Supabase
    rf"lsv2_(?:pt|sk)_{_BODY}{{20,}}",              # LangSmith
    r"npm_[A-Za-z0-9]{20,}",                     # npm
    rf"pypi-{_BODY}{{20,}}",                        # PyPI
    r"rubygems_[0-9a-f]{32,}",                   # RubyGems
    rf"dckr_(?:pat|oat)_{_BODY}{{16,}}",            # Docker
    r"do[oprt]_v1_[0-9a-f]{32,}",                # DigitalOcean
    r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{20,}",      # Shopify
    rf"sq0(?:csp|atp|idp)-{_BODY}{{16,}}",          # Square
    r"EAA[A-Za-z0-9]{40,}",                      # Meta access token, Square
    rf"hv[sbr]\.{_BODY}{{20,}}",                    # HashiCorp Vault
    rf"glsa_{_BODY}{{20,}}",                        # Grafana
    r"lin_(?:api|oauth)_[A-Za-z0-9]{20,}",       # Linear
    r"(?:secret|ntn)_[A-Za-z0-9]{30,}",          # Notion
    r"pat-(?:na|eu|ap)[0-9]-[0-9a-f\-]{30,}",    # HubSpot
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,}",      # Airtable
    r"PMAK-[0-9a-f\-]{30,}",                     # Postman
    rf"phx_{_BODY}{{20,}}",                         # PostHog, personal
    rf"re_{_BODY}{{20,}}",                          # Resend
    r"sntry[su]_[A-Za-z0-9+/=_\-.]{20,}",        # Sentry
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_\-.]{20,}",  # Doppler
    rf"[MNO][A-Za-z0-9_\-]{{23,27}}\.{_BODY}{{6}}\.{_BODY}{{27,}}",  # Discord bot
    rf"[0-9]{{8,10}}:{_BODY}{{35}}",                # Telegram bot
    rf"KEY0[0-9A-F]{{30}}{_BODY}*",                 # Telnyx
    r"AGE-SECRET-KEY-1[0-9A-Z]{50,}",            # age
    r"AKC[a-zA-Z0-9]{10,}",                      # Artifactory
    rf"eyJ{_BODY}+\.{_BODY}+\.{_BODY}*(?:\.{_BODY}+\.{_BODY}+)?",  # JWT: JWS or JWE
    rf"bks_{_BODY}{{16,}}",                         # Backstory itself
)  # fmt: skip
_LONGEST_PUBLISHED = 16_384  # characters
_PROVIDER_KEY = re.compile("|".join(_PUBLISHED))
_KEY_STARTS = _words(
    "sk- sk_ rk_ whs tok A3T ABI ACC AKI ASI amz AIz ya2 GOC gho ghp ghr ghs ghu git glp gld glf"
    " gls glr glc gla glo gli xox xap SG. key gsk xai ppl nva tvl hf_ r8_ csk fw_ pcs sbp sb_ lsv"
    " npm pyp rub dck doo dop dor dot shp sq0 EAA hvs hvb hvr lin sec ntn pat PMA phx re_ snt dp."
    " KEY AGE AKC eyJ bks"
)
_SCHEMES = frozenset(("bea", "bas", "tok", "api", "dig", "aws", "neg", "ntl", "oau", "key"))
_SCHEME_AND_TOKEN = re.compile(
    r"(bearer|basic|token|api-?key|oauth|negotiate|ntlm|key)\s+([A-Za-z0-9._~+/\-]+=*)",
    re.IGNORECASE,
)
_SIGNED_SCHEME = re.compile(
    r"(?:digest|aws4-hmac-sha256|oauth)\s.*(?:response|signature)=", re.IGNORECASE
)
_SHORTEST_WITH_FORM = 8
_SHORTEST_WITHOUT_PREFIX = 34  # characters: Twilio's
_LONGEST_LINE = 4096  # characters of a header or of a connection string
_LONG_BEARER = 16


def has_credential_form(text: str) -> bool:
    """Whether a whole text is a credential by its form, whatever its name is."""
    text = text.strip()
    if len(text) < _SHORTEST_WITH_FORM:
        return False
    if "PRIVATE KEY-----" in text and "-----BEGIN " in text:
        return True  # in PEM, by itself or in a file of a service account
    if len(text) > _LONGEST_PUBLISHED:
        return False
    start = text[:3]
    is_long = len(text) >= _SHORTEST_WITHOUT_PREFIX and start[0] in "MNOS0123456789abcdef"
    if (start in _KEY_STARTS or is_long) and _is_provider_key(text):
        return True
    if start.lower() in _SCHEMES and _is_authorization(text):
        return True
    if len(text) > _LONGEST_LINE:
        return False
    return (":" in text and _is_header(text)) or (";" in text and _is_connection(text))


def _is_provider_key(text: str) -> bool:
    if " " in text or _PROVIDER_KEY.fullmatch(text) is None:
        return False
    return _DIGIT.search(text) is not None  # words with hyphens have none


def _is_authorization(text: str) -> bool:
    """Whether a text is a scheme of HTTP authentication (RFC 9110, 11.4) with a value."""
    if _SIGNED_SCHEME.match(text):
        return True
    found = _SCHEME_AND_TOKEN.fullmatch(text)
    if found is None:
        return False
    scheme, token = found[1].lower(), found[2]
    if scheme == "basic":
        return _is_basic(token)
    if scheme == "bearer":
        return len(token) >= _LONG_BEARER or _DIGIT.search(token) is not None
    return looks_random(token) or _is_provider_key(token)


def _is_basic(token: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(token, strict_mode=True)
    except ValueError:
        return looks_random(token)


def _is_header(text: str) -> bool:
    """``X-Api-Key: 9f8e...``, as tools for the command line take a header."""
    name, _, value = text.partition(":")
    if len(name) > _LONGEST_NAME or not name.replace("-", "").isalnum():
        return False
    value = value.strip()
    if "\n" in value or not value or verdict(name) is Verdict.NO:
        return False
    return looks_random(value) or (_has_scheme(value) and _is_authorization(value))


def _has_scheme(text: str) -> bool:
    return text[:3].lower() in _SCHEMES


def _is_connection(text: str) -> bool:
    """``Server=x;Password=y``: members with names, one of which is a credential's."""
    members = [one.partition("=") for one in text.split(";") if one.strip()]
    return all(equals for _, equals, _ in members) and any(
        value.strip() and speaks_of_credential(name, value) for name, _, value in members
    )


# -- URLs

# RFC 3986, appendix B, after the scheme: authority, path, query, fragment. ``urllib.parse`` says
# the same of a URL, but not where its parts stand: it drops characters, and raises on brackets.
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.:_\-]*:)?//")
_AFTER_SCHEME = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
# After what may be a host and a port, or a user and a password that starts with digits. A query
# such as ``?email=a@b`` is one, unless a colon stands before it.
_AS_IN_USER = re.compile(r"#[^@]*@|\?[^@=]*@|(?<=[0-9])\?[^@]*@")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\$?\{[^{}]*\}|<[^<>]*>|\$[A-Z_]+")
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
    hosts = _TEMPLATE.sub("0", authority).split(",")  # some databases name several
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
    if value[0] in "{<$" and _TEMPLATE.fullmatch(value):
        return False  # filled in later
    if name.lower() in _SIGNING or speaks_of_credential(name, value):
        return True
    return has_credential_form(value)
