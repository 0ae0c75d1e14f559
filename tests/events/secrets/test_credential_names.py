"""Which names make a value a credential."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.pointers import Tree
from events.secrets.credential_names import speaks_of_credential
from events.secrets.masks import MASK
from events.secrets.pairs import is_pair, name_of_pair
from tests.events.sealing import RANDOM, custom, sealed_at, shown, tool

CASES = json.loads(Path(__file__).with_name("free_form_names.json").read_text())


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


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        ({"name": "host", "value": "x"}, "host"),
        ({"Key": "host", "VALUE": None}, "host"),
        ({"name": "host"}, None),
        ({"value": "x"}, None),
        ({"name": 5, "value": "x"}, None),
        ({"name": "host", "value": "x"} | {f"{n}": n for n in range(6)}, "host"),
        ({"name": "host", "value": "x"} | {f"{n}": n for n in range(7)}, None),
    ],
)
def test_an_object_of_few_members_with_a_name_and_a_value_is_a_pair(
    pair: Tree, name: str | None
) -> None:
    assert name_of_pair(pair) == name
    assert is_pair(pair) is (name is not None)


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


PERHAPS = words("""
authentication X-Authentication private x_private sas X-SAS
azure_primary_key azure_secondary_key azure_storage_key
""")


@pytest.mark.parametrize("name", PERHAPS)
def test_a_name_that_may_be_one_hides_what_looks_random_alone(name: str) -> None:
    assert speaks_of_credential(name, RANDOM)
    assert not speaks_of_credential(name, "x")
    assert not speaks_of_credential("two_factor_authentication", RANDOM)


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
