"""Which texts are credentials by their form."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from hypothesis import assume, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import read_patch
from events.secrets import credential_forms
from events.secrets.credential_forms import _PUBLISHED, has_credential_form
from events.secrets.credential_names import speaks_of_credential
from events.secrets.credential_urls import read_url
from events.secrets.masks import MASK
from events.secrets.randomness import looks_random
from tests.events.sealing import JWT, PEM, RANDOM, custom, sealed_at, shown

BASIC = base64.b64encode(b"user:password").decode()
FORMS = [
    PEM, PEM.replace("PRIVATE", "RSA PRIVATE"), json.dumps({"private_key": PEM}), JWT,
    f"Bearer {RANDOM}", f"bearer {JWT}", "Bearer ab-12", f"Basic {BASIC}", f"Token {RANDOM}",
    'Digest username="a", response="6629fae49393a05397450978507c4ef1"',
    f"AWS4-HMAC-SHA256 Credential=AKIA/2026/x, Signature={RANDOM}",
    f"sk-proj-{RANDOM}", f"sk-ant-api03-{RANDOM}", f"sk_live_{RANDOM}", f"rk_test_{RANDOM}",
    f"whsec_{RANDOM}", "AKIAIOSFODNN7EXAMPLE", f"AIzaSy{RANDOM}", f"ya29.{RANDOM}",
    f"ghp_{RANDOM}", f"github_pat_{RANDOM}", f"glpat-{RANDOM}", "xoxb-123456789012-abcdefABCDEF",
    f"SG.{RANDOM}.{RANDOM}", f"SK{RANDOM}", f"key-{RANDOM}", f"{RANDOM}-us12", f"gsk_{RANDOM}",
    f"xai-{RANDOM}", f"hf_{RANDOM}", f"npm_{RANDOM}", f"dop_v1_{RANDOM}", f"shpat_{RANDOM}",
    f"hvs.{RANDOM}", f"123456789:AA{RANDOM}x", f"X-Api-Key: {RANDOM}",
    f"Authorization: Bearer {JWT}", f"phx_{RANDOM}", f"re_{RANDOM}", f"lin_api_{RANDOM}",
    "Server=db;User Id=sa;Password=hunter2", f"AccountName=a;AccountKey={RANDOM};",
    f"Endpoint=sb://a.example/;SharedAccessKeyName=all;SharedAccessKey={RANDOM}",
]  # fmt: skip
TEXTS = [
    "Bearer", "Bearer token", "Bearer of good news", "Basic training", "Basic auth", "Token based",
    "sk-learn-is-a-library", "key-value-store", "The key is under the mat", "eyJ", "a.b.c",
    "Password: please say it", "Authorization: none", "Accept: text/plain", "10:30", "a;b=c;d",
    "size=3;color=red", "pat-on-the-back", "-----BEGIN PUBLIC KEY-----\nMIIB\n", "hf_transfer",
    "meeting at 10; token=none", "tok_live_", "AKIA", "linear-interpolation-of-values", "",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_a_credential_by_its_form_is_one_whatever_its_name(text: str) -> None:
    assert has_credential_form(text)
    assert has_credential_form(f"  {text}\n")
    assert sealed_at(custom({"note": text})) == ["custom_settings/crm/note"]
    assert sealed_at(custom({"notes": [text]})) == ["custom_settings/crm/notes/0"]
    assert sealed_at({"description": text}) == ["description"]
    assert sealed_at(custom({"headers": [{"key": text, "value": "x"}]}))[:1] == [
        "custom_settings/crm/headers/0/key"
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_an_ordinary_text_is_none(text: str) -> None:
    assert not has_credential_form(text)
    assert shown(custom({"note": text}))["custom_settings"]["crm"]["note"] == text


def test_a_reason_has_no_place_for_a_credential() -> None:
    for sent in (f"Bearer {RANDOM}", PEM):
        assert read_patch({"change_description": sent}).reason == MASK
    url = f"https://a:b@h/?api_key={RANDOM}&x=1"
    assert read_patch({"change_description": url}).reason == f"https://{MASK}@h/?api_key={MASK}&x=1"


@pytest.mark.parametrize(
    "piece",
    ["a", "A1", "-", "=", ";a=", "a:", "eyJ.", "//", "?a=", "&", "@", "sk-", "{", "{{", "Bearer ",
     "Basic ", "a=b;", "-----BEGIN ", "discord.com/api/webhooks/1/", "[", "schema", "\n", "<", "$"],
)  # fmt: skip
def test_reading_takes_time_in_proportion_to_the_text(piece: str) -> None:
    for prefix in ("", "https://", "Bearer ", "https://discord.com/api/webhooks/1/", "digest "):
        text = prefix + piece * (400_000 // len(piece))
        started = time.process_time()
        read_url(text)
        has_credential_form(text)
        looks_random(text)
        speaks_of_credential(text, text)
        assert time.process_time() - started < 2, "a pattern that backtracks takes minutes"


@pytest.mark.parametrize("pattern", _PUBLISHED)
def test_no_shortcut_keeps_a_published_form_from_being_known(pattern: str) -> None:
    @settings(max_examples=5, database=None, derandomize=True)
    @for_all(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    def check(key: str) -> None:
        assume(len(key) > 8 and any(one.isdigit() for one in key))
        assert has_credential_form(key)

    check()


def test_control_a_form_that_the_shortcut_lacks_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = f"dp.pt.{RANDOM[:22]}"
    assert has_credential_form(key)
    monkeypatch.setattr(credential_forms, "_KEY_STARTS", credential_forms._KEY_STARTS - {"dp."})  # noqa: SLF001
    assert not has_credential_form(key)
