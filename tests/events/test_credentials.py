"""What is a credential: by its name, by its form, in a URL, in a schema, and by the policy."""

from __future__ import annotations

import base64
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import read_patch
from events.bodies.untouched import untouched
from events.commands import ChangeSettings
from events.errors import InvalidSettings
from events.pointers import Tree, is_reference
from events.policy import Policy
from events.secret_paths import fault_of_plain, fault_of_secret
from events.secrets import credential_forms
from events.secrets.credential_forms import _PUBLISHED, has_credential_form
from events.secrets.credential_names import speaks_of_credential
from events.secrets.credential_urls import in_url, read_url
from events.secrets.masks import MASK
from events.secrets.randomness import looks_random
from events.secrets.references import AT, URL, mask, places, revealed
from events.secrets.restore import with_secrets_of
from tests.events.given import PATCH, Given, create, created, given, patch, sealed, secret, sent_to
from tests.events.strategies import modest

CASES = json.loads(Path(__file__).with_name("free_form_names.json").read_text())
RANDOM = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"


def custom(value: Any) -> Tree:
    return {"custom_settings": {"crm": value}}


def tool(members: Tree) -> Tree:
    return {"tools_settings": {"custom_tools": [{"tool_id": "t"} | members]}}


def sealed_at(body: Tree) -> list[str]:
    """Where a body's secrets stand in the settings that it makes."""
    settings = given().after(create(body)).state.settings
    return ["/".join(one.at) for one in places(settings)]


def shown(body: Tree) -> Tree:
    settings: Tree = mask(given().after(create(body)).state.settings)
    return settings


def resend(
    told: Given, body: Tree, policy: Policy | None = None, *, base: Tree | None = None
) -> ChangeSettings:
    """What a PATCH of the body becomes, as ``app.transactions.unit_of_work`` does it."""
    return sent_to(told, read_patch(body), policy, base=base)


# -- names


def named(case: Tree) -> str:
    return f"{case['name']}-{'secret' if case['secret'] else 'plain'}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_everyday_name_is_read_right_wherever_it_stands(case: Tree) -> None:
    name, value = case["name"], case["value"]
    member = {name: value}
    assert bool(sealed_at(custom(member))) == case["secret"], "as a member"
    assert bool(sealed_at(custom({"deep": [{"down": member}]}))) == case["secret"], "nested"
    assert bool(sealed_at(tool({"headers": member}))) == case["secret"], "of a tool"
    config = {"llm_provider_config": {"custom_config": member}}
    assert bool(sealed_at(config)) == case["secret"], "of a provider"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_everyday_name_decides_about_the_value_of_its_pair(case: Tree) -> None:
    name, value = case["name"], case["value"]
    namings = ["key", "name", "header", "Key", "id", "variable", "field"]
    pairs = [{naming: name, "value": value} for naming in namings]
    found = shown(tool({"headers": pairs}))["tools_settings"]["custom_tools"][0]["headers"]
    assert [pair[naming] for naming, pair in zip(namings, found, strict=True)] == [name] * 7
    assert {pair["value"] != value for pair in found} == {case["secret"]}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_everyday_name_decides_in_a_list_of_two(case: Tree) -> None:
    name, value = case["name"], case["value"]
    found = shown(custom({"headers": [["Accept", "text/plain"], [name, value]]}))
    (_, pair) = found["custom_settings"]["crm"]["headers"]
    assert pair[0] == name
    assert (pair[1] != value) == case["secret"]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_everyday_name_may_be_that_of_a_parameter(case: Tree) -> None:
    schema = {
        "type": "object",
        "properties": {case["name"]: {"type": "string", "description": "What to send"}},
        "required": [case["name"]],
    }
    for member in ({"parameters": schema}, {"function": {"name": "f", "parameters": schema}}):
        assert sealed_at(tool(member)) == []
    assert sealed_at({"custom_settings": {"structured_data_schema": schema}}) == []


def words(text: str) -> list[str]:
    return text.split()


# Environment variables and headers of the providers' own documentation, members of OAuth 2.0,
# OpenID Connect and the clouds' configuration files.
CREDENTIALS = words("""
OPENAI_API_KEY AZURE_OPENAI_API_KEY ELEVEN_API_KEY TWILIO_AUTH_TOKEN VONAGE_API_SECRET HF_TOKEN
LIVEKIT_API_SECRET AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET PGPASSWORD MYSQL_PWD
AZURE_STORAGE_CONNECTION_STRING AZURE_STORAGE_SAS_TOKEN SLACK_SIGNING_SECRET STRIPE_SECRET_KEY
DD_APP_KEY SENTRY_DSN SECRET_KEY_BASE COOKIE_SECRET VAULT_TOKEN Authorization Proxy-Authorization
Cookie Set-Cookie X-Api-Key X-Auth-Token X-Auth-Key X-XSRF-TOKEN X-Amz-Security-Token Private-Token
X-Goog-Api-Key X-Functions-Key xi-api-key apikey X-Hub-Signature-256 X-Twilio-Signature
Stripe-Signature CF-Access-Client-Secret X-Telegram-Bot-Api-Secret-Token accessToken
refreshToken id_token oauth_token_secret consumerSecret secretAccessKey SecretString
privateKeyPem sshKey SharedAccessKey
AccountKey connectionString conn_str primary_connection_string db_pass sip_password voicemail_pin
door_code access_code passcode pass_phrase totp_seed otpSecret recovery_codes seed_phrase
wifi_password password_hash api_key_prod api_key_2 old_password password2 basic_auth authtoken
userpass openaiapikey OPENAIkey tokenSecret botToken licenseKey gcp_credentials
serviceAccountPrivateKey verification_code password_for_portal one_time_seed write_key DBpassword
bearer_auth credentials_json service_account_key_json psk wpa_psk presharedkey pre_shared_key pw
db_pw admin_pw keystore_pass keystorepass password_confirm passwordConfirmation functionKey
ConnectionStrings session_cookie
""")
ORDINARY = words("""
max_tokens maxTokens max_completion_tokens tokens_per_minute prompt_tokens token_ids stop_token_ids
eos_token_id logit_bias keyboard keywords keyword_boost primary_key foreign_key sort_key hash_key
author authors monkey turkey pass_through passthrough passThrough bypass compass passport secretary
key_points keyTakeaways keyframe keystroke key_length key_type key_name keypad shortcut_key
pound_key cookie_banner token_endpoint token_endpoint_auth_methods_supported jwks_uri grant_type
authorization_endpoint id_token_signing_alg_values_supported code_challenge auth_url auth_scheme
password_policy password_hint_text forgot_password_url secret_name secret_arn private_network
public_key publishable_key site_key signature_required signature_algorithm email_signature pinned
pin_retries gpio_pin country_code zip_code promo_code code seed random_seed wake_phrase session_id
client_id account_sid messaging_service_sid access_control encryption_enabled idempotencyKey
object_key storage_key routing_key message_key i18n_key next_page_token nextToken tokenization
bearer_format pass_rate first_pass number_of_tokens cost_per_token boarding_pass jwt_audience
X-Request-Id Content-Type WWW-Authenticate Idempotency-Key traceparent has_password require_pin
is_secret function_name function_signature order_confirmation
""")


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_published_name_of_a_credential_hides_its_value(name: str) -> None:
    assert speaks_of_credential(name, "x")


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_hides_nothing_even_if_it_looks_random(name: str) -> None:
    assert not speaks_of_credential(name, RANDOM)


@pytest.mark.parametrize("name", ["key", "acme_key", "private", "X-Auth", "signature", "secret_id"])
def test_an_open_name_leaves_it_to_the_look_of_the_value(name: str) -> None:
    assert speaks_of_credential(name, RANDOM)
    assert not speaks_of_credential(name, "city.name")


@pytest.mark.parametrize("name", ["cookies", "favorite_cookie", "no_secrets", "tokens"])
def test_a_name_that_is_often_no_credentials_leaves_it_to_the_look(name: str) -> None:
    assert sealed_at(custom({name: "chocolate"})) == []
    assert sealed_at(custom({name: RANDOM})) == [f"custom_settings/crm/{name}"]
    assert sealed_at(custom({name: ["few", RANDOM]})) == [f"custom_settings/crm/{name}/1"]
    is_cookie = "cookie" in name
    assert bool(sealed_at(custom({name: "session=x1"}))) == is_cookie
    assert bool(sealed_at(custom({name: {"session": "x1"}}))) == is_cookie
    for header in ("Cookie", "cookie", "Set-Cookie"):
        assert sealed_at(custom({"headers": {header: "x1"}})) != []


@pytest.mark.parametrize("value", [700, 0.5, True, None, [], {}, [1, None], {"a": 1}])
def test_only_a_text_can_be_a_credential(value: Any) -> None:
    assert sealed_at(custom({"password": value, "api_keys": [value]})) == []


@for_all(st.text(max_size=300))
@example("A" * 100_000)
@example("key" * 30_000)
@example("Ab" * 50_000)
def test_any_text_may_be_a_name(name: str) -> None:
    assert speaks_of_credential(name) in (True, False)


def test_what_describes_credentials_stays_readable_beside_them() -> None:
    credentials = {"type": "oauth2", "user": "ada", "password": "x", "scopes": ["calls.read"]}
    found = shown(custom({"credentials": credentials}))["custom_settings"]["crm"]["credentials"]
    assert found == {"type": "oauth2", "user": MASK, "password": MASK, "scopes": ["calls.read"]}


# -- forms


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


# -- URLs


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://u:p@h/x?y=1#z", "https://*@h/x?y=1#z"),
        ("https://u@h", "https://*@h"),
        ("//u:p@h/x", "//*@h/x"),
        ("postgresql+asyncpg://u:p%40@[::1]:5432/db", "postgresql+asyncpg://*@[::1]:5432/db"),
        ("jdbc:postgresql://u:p@h/db", "jdbc:postgresql://*@h/db"),
        ("postgres://u:p/w@h/db", "postgres://*@h/db"),
        ("redis://:p#w?@h:1/0", "redis://*@h:1/0"),
        ("mongodb://u:p@h1:1,h2:2/db", "mongodb://*@h1:1,h2:2/db"),
        ("https://h/?api_key=k&x=1", "https://h/?api_key=*&x=1"),
        ("https://h/?x=1&access_token=k&y=2&sig=s", "https://h/?x=1&access_token=*&y=2&sig=*"),
        ("https://h/?api%5Fkey=k", "https://h/?api%5Fkey=*"),
        ("https://h/cb#access_token=k&state=1", "https://h/cb#access_token=*&state=1"),
        ("https://h/#/cb?token=k", "https://h/#/cb?token=*"),
        ("https://u:p@h/?token=k", "https://*@h/?token=*"),
        (f"https://h/?key={RANDOM}", "https://h/?key=*"),
        (f"https://h/?x={JWT}", "https://h/?x=*"),
        ("https://a.blob.example/f?sv=2024&sig=a%2Fb%3D", "https://a.blob.example/f?sv=2024&sig=*"),
        ("https://b.example/f?X-Amz-Date=1&X-Amz-Signature=ab",
         "https://b.example/f?X-Amz-Date=1&X-Amz-Signature=*"),
        ("jdbc:sqlserver://h:1;user=a;password=b", "jdbc:sqlserver://h:1;user=a;password=*"),
        ("https://hooks.slack.com/services/T0AA/B0BB/c1", "https://hooks.slack.com/services/*"),
        ("https://api.telegram.org/bot1:ab/send", "https://api.telegram.org/bot*/send"),
        ("wss://h/?token=a=b", "wss://h/?token=*"),
    ],
)  # fmt: skip
def test_of_a_url_only_its_credentials_are_sealed(url: str, seen: str) -> None:
    address = read_url(url)
    assert address is not None
    assert in_url(address.url, ["*"] * len(address.at), address.at) == seen
    assert in_url(address.url, address.parts, address.at) == url
    found = shown(custom({"url": url}) | {"webhook_url": url})
    masked = seen.replace("*", MASK)
    assert found["custom_settings"]["crm"]["url"] == found["webhook_url"] == masked


@pytest.mark.parametrize(
    "url",
    [
        "https://{{host}}/users/@me", "https://{{host}}:{{port}}/users/@me", "https://h:443/@me",
        "https://${HOST}:${PORT}/@me", "https://h/?mail=a@b.example", "https://h/#a@b",
        "https://[::1]:80/@me", "mongodb://h1:1,h2:2/?x=a@b", "https://h/?token={{token}}",
        "https://h/?max_tokens=5&key=city&page_token=", "mailto:a@b.example", "a@b.example",
        "https://h/password/reset", "https://token.example/secret", "// a comment @home",
        "See https://u:p@h for more", "https://h/?api_key=", "https://h/?x=api_key",
    ],
)  # fmt: skip
def test_a_url_without_credentials_stays_as_it_is(url: str) -> None:
    assert read_url(url) is None
    assert sealed_at(custom({"url": url}) | {"webhook_url": url}) == []


@pytest.mark.parametrize("scheme", ["https", "ws"])
@pytest.mark.parametrize(
    "rest", ["user:2024#Spring@h/x", "user:2024?Spring@h", "user:2024?a=b@h", "u#p@h", "u?p@h"]
)
def test_what_may_be_a_password_or_a_port_is_refused(scheme: str, rest: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read_patch({"webhook_url": f"{scheme}://{rest}"})
    assert [one.type for one in refused.value.errors] == ["ambiguous_url"]


@pytest.mark.parametrize("rest", ["h:443/@me", "h?email=a@b.example", "h:1/?x@y", "h:1/#x@y"])
def test_an_at_in_a_path_or_a_query_is_none_of_a_user(rest: str) -> None:
    assert sealed_at({"webhook_url": f"https://{rest}"}) == []


PIECES = st.text("ab0:/?#@[]%&=;{}.-_~", max_size=12)
URLS = st.builds("{}//{}{}".format, st.sampled_from(["https:", "a+b:", ""]), PIECES, PIECES)


@modest
@for_all(URLS | st.builds("{}?{}={}&token={}".format, URLS, PIECES, PIECES, PIECES))
def test_a_url_is_its_readable_rest_and_its_credentials(url: str) -> None:
    address = read_url(url)
    if address is None:
        return
    assert in_url(address.url, address.parts, address.at) == url
    assert list(address.at) == sorted(address.at)
    masked = in_url(address.url, [MASK] * len(address.at), address.at)
    again = read_url(masked)
    assert again is not None, "what is shown is read as a URL with masks"


@modest
@for_all(URLS)
def test_the_user_information_is_what_the_standard_library_says(url: str) -> None:
    try:
        said = urlsplit(url)
    except ValueError:  # brackets
        return
    user, at, _ = said.netloc.rpartition("@")
    if at and user:
        address = read_url(url)
        assert address is not None
        assert address.parts[0] == user


REFERENCE = secret("1.a") | {URL: "https://h/?a=&b="}


@pytest.mark.parametrize("at", [[13, 16], None])
def test_what_is_revealed_of_a_url_is_the_whole_of_it(at: list[int] | None) -> None:
    if at is None:  # as older releases stored it: the user information alone
        assert revealed(REFERENCE, "u:p") == "https://u:p@h/?a=&b="
        assert mask(REFERENCE) == f"https://{MASK}@h/?a=&b="
    else:
        assert revealed(REFERENCE | {AT: at}, ["1", "2"]) == "https://h/?a=1&b=2"
        assert mask(REFERENCE | {AT: at}) == f"https://h/?a={MASK}&b={MASK}"
        assert mask(REFERENCE | {AT: at}, 1) == "https://h/?a=erased&b=erased"


ADDRESS = f"https://u:p@h/?api_key={RANDOM}&x=1"
MASKED = f"https://{MASK}@h/?api_key={MASK}&x=1"


def with_url(url: str) -> Tree:
    return {"webhook_url": url}


def test_a_masked_url_that_comes_back_changes_nothing() -> None:
    told = given().after(create(with_url(ADDRESS)))
    assert told.state.settings["webhook_url"][AT] == [8, 19]
    assert mask(told.state.settings)["webhook_url"] == MASKED
    told.when(patch(with_url(MASKED))).then()


def test_the_readable_part_of_a_url_may_be_edited_around_its_masks() -> None:
    told = given().after(create(with_url(ADDRESS)))
    edited = MASKED.replace("/?", "/v2?y=long&")
    settings = told.after(patch(with_url(edited))).state.settings
    assert mask(settings)["webhook_url"] == edited
    assert revealed(settings["webhook_url"], ["u:p", RANDOM]) == edited.replace(
        f"{MASK}@", "u:p@"
    ).replace(MASK, RANDOM)


@pytest.mark.parametrize(
    "url",
    [
        MASKED.replace("api_key", "token"),
        MASKED.replace(f"{MASK}@", ""),
        f"https://{MASK}@h/?api_key=new",
        f"https://new@h/?api_key={MASK}",
        f"{MASKED}&token={MASK}",
    ],
    ids=["parameter", "one less", "one new", "another new", "one more"],
)
def test_masks_of_other_credentials_than_the_stored_ones_are_refused(url: str) -> None:
    told = given().after(create(with_url(ADDRESS)))
    with pytest.raises(InvalidSettings) as refusal:
        told.when(patch(with_url(url))).decided()
    assert [error.type for error in refusal.value.errors] == ["secret_mask_unmatched"]


@pytest.mark.parametrize(
    "stored", [secret("1.a") | {URL: "https://h/?api_key=old"}, "https://h/?api_key=old"]
)
def test_a_mask_brings_no_other_credential_in_clear(stored: Any) -> None:
    told = given(created({"webhook_url": stored}))
    with pytest.raises(InvalidSettings):
        told.when(resend(told, with_url(f"https://{MASK}@h/?api_key={RANDOM}"))).decided()


def test_a_mask_where_nothing_is_sealed_is_an_ordinary_text() -> None:
    told = given(created({"custom_settings": {"list": ["a"]}}))
    body = {"custom_settings": {"stars": "***", "list": ["...", MASK]}, "description": "*"}
    settings = told.after(resend(told, body)).state.settings
    assert settings["custom_settings"] == body["custom_settings"]
    assert settings["description"] == "*"


# -- schemas


def properties(members: Tree) -> Tree:
    return tool({"parameters": {"type": "object", "properties": members}})


@pytest.mark.parametrize("holder", ["default", "const", "example", "examples", "enum"])
def test_a_value_in_a_schema_is_looked_at_by_its_form(holder: str) -> None:
    for value, is_secret in ((f"sk_live_{RANDOM}", True), ("hunter2", False), (JWT, True)):
        held = [value] if holder in ("examples", "enum") else value
        body = properties({"password": {"type": "string", holder: held}})
        assert bool(sealed_at(body)) == is_secret


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"password": {"type": "string"}}, "$ref": "#/$defs/password"},
        {"anyOf": [{"type": "object", "properties": {"token": {"type": ["string", "null"]}}}]},
        {"type": "array", "items": {"type": "object", "properties": {"pin": {"enum": ["a"]}}}},
        {"type": "object", "required": ["password"], "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"secret": {"properties": {"key": {"type": "string"}}}}},
        {"password": {"type": "string", "title": "Password", "pattern": "[a-z]+"}},
    ],
)
@pytest.mark.parametrize("name", ["parameters", "input_schema", "inputSchema", "json_schema"])
def test_a_schema_names_parameters_and_holds_no_values(name: str, schema: Tree) -> None:
    if name == "parameters" or "password" not in schema:
        body = tool({name: schema})
        assert sealed_at(body) == []
        (found,) = shown(body)["tools_settings"]["custom_tools"]
        assert found[name] == schema


@pytest.mark.parametrize(
    "members",
    [
        {"parameters": {"password": "hunter2"}},
        {"parameters": {"type": "object", "password": "hunter2"}},
        {"properties": {"password": "hunter2", "city": {"type": "string"}}},
        {"parameters": {"properties": {"password": {"type": "string", "value": "hunter2"}}}},
        {"parameters": {"properties": {"password": {"is": "hunter2"}}}},
        {"schema": {"password": "hunter2"}},
    ],
)
def test_what_only_looks_like_a_schema_hides_no_credential(members: Tree) -> None:
    (found,) = sealed_at(tool(members))
    assert "password" in found


# -- what stood before, and comes back


OLD = {
    "custom_settings": {
        "note": JWT, "pin": "4711", "hook": f"https://h/?api_key={RANDOM}", "stars": "***",
        "headers": [["X-Hub-Signature", "abc"]], "list": [{"a": f"Bearer {RANDOM}", "b": 1}],
        "both": secret("1.u") | {URL: "https://h/?api_key=plain"},
        "key": secret("1.k"), "token_budget": secret("1.n"), "mode": "fast",
        "records": [{"key": secret("1.l"), "x": 1}, {"key": secret("1.m"), "x": 2}],
        "otp": "...",
    },
    "description": f"Bearer {RANDOM}",
}  # fmt: skip


def test_what_stood_before_may_be_sent_back_and_changes_nothing() -> None:
    told = given(created(OLD))
    told.when(resend(told, mask(told.state.settings))).then()
    reordered = json.loads(json.dumps(mask(told.state.settings), sort_keys=True))
    told.when(resend(told, reordered)).then()


def test_without_that_rule_what_stood_before_would_be_sealed_or_lost() -> None:
    told = given(created(OLD))
    body = {"custom_settings": {"note": JWT, "pin": "4711", "otp": "..."}}
    settings = told.after(patch(body)).state.settings["custom_settings"]
    assert is_reference(settings["note"])
    assert is_reference(settings["pin"])
    assert "otp" not in settings


def test_a_new_value_of_what_stood_readable_is_sealed() -> None:
    told = given(created(OLD))
    body = {"custom_settings": {"pin": "0815", "note": f"Bearer {RANDOM}"}}
    settings = told.after(resend(told, body)).state.settings["custom_settings"]
    assert is_reference(settings["pin"])
    assert is_reference(settings["note"])
    assert settings["hook"] == f"https://h/?api_key={RANDOM}", "what is not sent stays"


def test_a_change_beside_what_stood_before_leaves_it_alone() -> None:
    told = given(created(OLD))
    body = {"custom_settings": {"mode": "slow"}, "end_call_message": "Bye"}
    event = told.when(resend(told, body)).decided()
    assert event is not None
    assert set(event.changes) == {"/custom_settings/mode", "/end_call_message"}  # type: ignore[union-attr]


def test_what_was_read_of_an_older_version_and_came_back_is_no_edit_of_ones_own() -> None:
    told = given(created(OLD))
    base = told.state.settings
    now = told.after(resend(told, {"custom_settings": {"note": "theirs", "pin": None}}))
    body = mask(base) | {"end_call_message": "mine"}
    merged = now.after(resend(now, body, base=base)).state.settings
    assert merged["end_call_message"] == "mine"
    assert merged["custom_settings"]["note"] == "theirs"
    assert "pin" not in merged["custom_settings"]


def test_a_mask_keeps_what_the_old_rule_sealed_where_the_new_one_would_not() -> None:
    told = given(created(OLD))
    records = [{"key": MASK, "x": 3}, {"key": MASK, "x": 2}]
    body = {"custom_settings": {"key": MASK, "records": records}}
    settings = told.after(resend(told, body)).state.settings["custom_settings"]
    assert settings["key"] == secret("1.k")
    assert settings["records"][1] == {"key": secret("1.m"), "x": 2}
    assert "********" not in repr(settings["key"])


# -- nothing, and what was erased


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (custom({"password": ""}), {"crm": {"password": ""}}),
        (custom({"passwords": ["", "x"]}), None),
        ({"llm_provider_config": {"api_key": ""}}, None),
        ({"api_keys": {"a": ""}}, None),
        ({"webhook_headers": {"A": ""}}, None),
    ],
)
def test_an_empty_text_is_no_secret(body: Tree, left: Tree | None) -> None:
    settings = given().after(create(body)).state.settings
    found = ["/".join(one.at) for one in places(settings)]
    assert found == (["custom_settings/crm/passwords/1"] if "passwords" in repr(body) else [])
    if left is not None:
        assert settings["custom_settings"] == left
    assert settings["llm_provider_config"]["api_key"] is None


def test_a_new_value_of_what_an_older_rule_sealed_is_sealed_and_an_empty_one_is_empty() -> None:
    told = given(created({"llm_provider_config": {"custom_config": {"budget": secret("1.b")}}}))
    for value, is_sealed in (("new", True), ("", False)):
        body = {"llm_provider_config": {"custom_config": {"budget": value}}}
        settings = told.after(resend(told, body)).state.settings
        assert is_reference(settings["llm_provider_config"]["custom_config"]["budget"]) == is_sealed


def test_what_is_restored_of_a_url_gets_no_credential_of_another_parameter() -> None:
    now = secret("2.a") | {URL: "https://h/?token=", AT: [17]}
    same_one = secret("1.a") | {URL: "https://h/old?token=", AT: [20]}
    other = secret("1.a") | {URL: "https://h/?api_key=", AT: [19]}
    assert with_secrets_of(same_one, now) == same_one | {"$secret": now["$secret"]}
    assert with_secrets_of(other, now) == "https://h/?api_key="


def test_an_empty_text_in_a_list_of_secrets_keeps_its_place() -> None:
    found = shown(custom({"passwords": ["x", "", "y"], "pairs": [["Cookie", ""]]}))
    assert found["custom_settings"]["crm"] == {
        "passwords": [MASK, "", MASK],
        "pairs": [["Cookie", ""]],
    }


def test_an_absent_member_and_a_null_one_are_no_secrets() -> None:
    assert sealed_at(custom({"password": None, "pairs": [{"key": "Cookie"}, {"value": "x"}]})) == []
    assert sealed_at({"llm_fallback_providers": {"fallbacks": [{"provider": "a"}]}}) == []
    told = given().after(create(custom({"a": 1})))
    told.when(resend(told, custom({"a": 1}) | {"api_keys": {"gone": MASK}})).then()
    nulls = {"api_keys": {"a": None}, "webhook_headers": {"a": None}}
    settings = given().after(create(nulls)).state.settings
    assert (settings["api_keys"], settings["webhook_headers"]) == ({}, {})


@pytest.mark.parametrize(("version", "seen"), [(0, MASK), (1, MASK), (2, "erased"), (3, "erased")])
def test_a_value_is_shown_as_erased_from_the_version_of_its_erasure(
    version: int, seen: str
) -> None:
    tree = {"a": [secret("2.x")], "b": {"c": secret("2.y")}, "d": secret("2.z") | {URL: "s://h"}}
    assert mask(tree, version) == {"a": [seen], "b": {"c": seen}, "d": f"s://{seen}@h"}


def test_what_is_shown_as_erased_may_be_sent_back() -> None:
    told = given(
        created({"custom_settings": {"note": secret("1.x"), "hook": REFERENCE | {AT: [13, 16]}}})
    )
    body = mask(told.state.settings, 1)
    assert body["custom_settings"] == {"note": "erased", "hook": "https://h/?a=erased&b=erased"}
    tree = untouched(read_patch(body).tree, body, told.state.settings, 1)
    told.when(ChangeSettings(patch=sealed(tree), cause=PATCH)).then()


# -- the policy


def policy(*, secret: tuple[str, ...] = (), plain: tuple[str, ...] = ()) -> Policy:
    return Policy(secret_paths=list(secret), plain_paths=list(plain))


def sealed_under(rules: Policy, body: Tree, told: Given | None = None) -> list[str]:
    story = told or given(created())
    settings = story.after(resend(story, body, rules)).state.settings
    return ["/".join(one.at) for one in places(settings)]


@pytest.mark.parametrize(
    ("path", "sealed_ones"),
    [
        ("/custom_settings/crm/*/account", ["custom_settings/crm/a/account"]),
        ("/custom_settings/crm/a", ["custom_settings/crm/a/account"]),
        ("/custom_settings/*/a/n", []),
        ("/custom_settings/crm/list/*/x", ["custom_settings/crm/list/0/x"]),
        ("/custom_settings/crm/list/1", []),
        ("/end_call_message", ["end_call_message"]),
        ("/llm_settings", ["llm_settings/system_prompt"]),
        ("/custom_settings/elsewhere", []),
    ],
)
def test_a_secret_path_seals_what_is_set_below_it(path: str, sealed_ones: list[str]) -> None:
    body = custom({"a": {"account": "4711", "n": 5, "is": True}, "list": [{"x": "y"}, 3]})
    body |= {"end_call_message": "Bye", "llm_settings": {"system_prompt": "Hi", "temperature": 0.5}}
    found = sealed_under(policy(secret=(path,)), body)
    assert [one for one in found if one != "custom_settings/crm/list/1"] == sealed_ones
    assert sealed_under(policy(), body) == []


def test_a_plain_path_leaves_readable_what_only_its_name_would_hide() -> None:
    rules = policy(plain=("/custom_settings/crm/*", "/api_keys", "/webhook_url"))
    body = custom({"password": "x", "deep": {"token": "y"}, "jwt": JWT}) | {
        "api_keys": {"a": "k"},
        "webhook_url": "https://u:p@h/",
    }
    assert sealed_under(rules, body) == ["webhook_url", "custom_settings/crm/jwt", "api_keys/a"]
    assert len(sealed_under(policy(), body)) == 5


def test_a_path_that_becomes_plain_unseals_nothing() -> None:
    told = given().after(create(custom({"password": "x"})))
    rules = policy(plain=("/custom_settings/crm/password",))
    told.when(resend(told, mask(told.state.settings), rules)).then()
    settings = told.after(resend(told, custom({"password": "y"}), rules)).state.settings
    assert settings["custom_settings"] == custom({"password": "y"})["custom_settings"]
    assert sealed_under(policy(), custom({"password": "y"}), told), "the control"


def test_a_path_that_becomes_secret_leaves_what_came_back_as_it_was() -> None:
    told = given().after(create(custom({"account": "4711"})))
    rules = policy(secret=("/custom_settings/crm/account",))
    told.when(resend(told, mask(told.state.settings), rules)).then()
    assert sealed_under(rules, custom({"account": "0815"}), told)


def test_a_secret_path_seals_no_empty_text_and_no_switch() -> None:
    rules = policy(secret=("/custom_settings/crm",))
    assert sealed_under(rules, custom({"account": "", "is": True, "none": None})) == []
    assert sealed_under(rules, custom({"account": "4711"})), "the control"


def test_a_place_that_is_both_is_secret() -> None:
    path = "/custom_settings/crm/account"
    assert sealed_under(policy(secret=(path,), plain=(path,)), custom({"account": "4711"}))


@pytest.mark.parametrize(
    ("path", "of_secret", "of_plain"),
    [
        ("custom_settings/*/x", None, None),
        ("tools_settings/custom_tools/*/key", None, None),
        ("llm_settings", None, None),
        ("llm_settings/system_prompt", None, None),
        ("llm_fallback_providers/fallbacks/*", None, None),
        ("llm_settings/temperature", "cannot_be_secret", None),
        ("tools_settings/transfer_call/transfer_type", "cannot_be_secret", None),
        ("name", "never_secret", None),
        ("bypass_numbers/*", "never_secret", None),
        ("api_keys/a", None, "secret_by_definition"),
        ("webhook_headers/*", None, "secret_by_definition"),
        ("webhook_headers", None, "secret_by_definition"),
        ("api_keys", None, "secret_by_definition"),
        ("llm_provider_config", None, None),
        ("llm_fallback_providers/fallbacks/*/api_key", None, "secret_by_definition"),
        ("llm_settings/nothing", "no_such_path", "no_such_path"),
        ("*/*/*/*/*/*", None, None),
    ],
)
def test_a_path_of_the_policy_must_be_able_to_mean_something(
    path: str, of_secret: str | None, of_plain: str | None
) -> None:
    assert fault_of_secret(tuple(path.split("/"))) == of_secret
    assert fault_of_plain(tuple(path.split("/"))) == of_plain


# -- the law of them all


ANY_NAMES = st.sampled_from(
    ["a", "key", "name", "value", "token", "password", "pin", "parameters", "properties", "type",
     "default", "secrets", "0"],
)  # fmt: skip
ANY_TEXTS = st.sampled_from(
    ["x", "", MASK, "*", "erased", JWT, f"Bearer {RANDOM}", RANDOM, "Cookie", "object", ADDRESS,
     MASKED, "https://u:p@h/", f"https://{MASK}@h/", f"https://h/?x={JWT}&token=erased", "string"],
)  # fmt: skip
ANY_VALUES = st.recursive(
    ANY_TEXTS | st.sampled_from([None, 1, True, 0.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_NAMES, inner, max_size=3),
    max_leaves=6,
)
ANY_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "custom_settings": st.dictionaries(ANY_NAMES, ANY_VALUES, max_size=3),
        "llm_provider_config": st.fixed_dictionaries(
            {"custom_config": st.dictionaries(ANY_NAMES, ANY_VALUES, max_size=3)}
        ),
        "tools_settings": st.fixed_dictionaries(
            {"custom_tools": st.lists(st.dictionaries(ANY_NAMES, ANY_VALUES), max_size=3)}
        ),
        "webhook_url": ANY_TEXTS,
        "api_keys": st.dictionaries(ANY_NAMES, ANY_TEXTS, max_size=2),
        "llm_settings": st.fixed_dictionaries({"stop_sequences": st.lists(ANY_TEXTS, max_size=3)}),
    },
)
ANY_PATHS = st.lists(
    st.sampled_from(
        ["/custom_settings", "/custom_settings/*/token", "/tools_settings/custom_tools/*",
         "/llm_provider_config/custom_config/a", "/webhook_url", "/llm_settings", "/api_keys"]
    ),
    max_size=3,
).map(tuple)  # fmt: skip
ANY_POLICIES = st.builds(lambda s, p: policy(secret=s, plain=p), ANY_PATHS, ANY_PATHS)


@modest
@for_all(st.lists(st.tuples(ANY_BODIES, ANY_POLICIES), max_size=3), ANY_POLICIES)
def test_what_is_shown_may_come_back_under_any_policy_and_changes_nothing(
    sent: list[tuple[Tree, Policy]], now: Policy
) -> None:
    told = given(created())
    for body, rules in sent:
        with suppress(InvalidSettings):
            told = told.after(resend(told, body, rules))
    settings = told.state.settings
    assert json.loads(json.dumps(settings)) == settings
    told.when(resend(told, mask(settings), now)).then()


@modest
@for_all(ANY_BODIES, ANY_POLICIES)
def test_no_credential_by_its_form_is_in_the_settings_under_any_policy(
    body: Tree, rules: Policy
) -> None:
    told = given(created())
    with suppress(InvalidSettings):
        told = told.after(resend(told, body, rules))
    assert JWT not in repr(told.state.settings)
    assert "u:p" not in repr(told.state.settings)
    assert f"Bearer {RANDOM}" not in repr(told.state.settings)
