"""Whether a whole text is a credential by its form, whatever its name is.

Such forms are: a private key in PEM, a JWT, a key with a prefix that its provider has published, an
``Authorization`` value, a header line, a connection string. Takes time in proportion to the text.
"""

from __future__ import annotations

import binascii
import re

from events.secrets.credential_names import Verdict, speaks_of_credential, verdict
from events.secrets.name_words import is_too_long, word_set
from events.secrets.randomness import DIGIT, looks_random

# Prefixes that providers have published. Sources, read in November 2026: the plugins of
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
_KEY_STARTS = word_set(
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
        return True  # in PEM, alone or in a service account's file
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
    return DIGIT.search(text) is not None  # words with hyphens have no digit


def _is_authorization(text: str) -> bool:
    """Whether a text is a scheme of HTTP authentication (RFC 9110, 11.4) with a value."""
    if _SIGNED_SCHEME.match(text):
        return True
    parts = _SCHEME_AND_TOKEN.fullmatch(text)
    if parts is None:
        return False
    scheme, token = parts[1].lower(), parts[2]
    if scheme == "basic":
        return _is_basic(token)
    if scheme == "bearer":
        return len(token) >= _LONG_BEARER or DIGIT.search(token) is not None
    return looks_random(token) or _is_provider_key(token)


def _is_basic(token: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(token, strict_mode=True)
    except ValueError:
        return looks_random(token)


def _is_header(text: str) -> bool:
    """Whether a text is a header line with a credential, such as ``X-Api-Key: 9f8e...``."""
    name, _, value = text.partition(":")
    if is_too_long(name) or not name.replace("-", "").isalnum():
        return False
    value = value.strip()
    if "\n" in value or not value or verdict(name) is Verdict.NO:
        return False
    return looks_random(value) or (_has_scheme(value) and _is_authorization(value))


def _has_scheme(text: str) -> bool:
    return text[:3].lower() in _SCHEMES


def _is_connection(text: str) -> bool:
    """Whether a text is a connection string with a credential, such as ``Server=x;Password=y``."""
    members = [part.partition("=") for part in text.split(";") if part.strip()]
    return all(equals for _, equals, _ in members) and any(
        value.strip() and speaks_of_credential(name, value) for name, _, value in members
    )
