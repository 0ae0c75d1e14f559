"""The words in names that tell whether a value is a credential; all in lower case."""

from __future__ import annotations

from events.secrets.name_words import word_set

# Nouns that are always credentials, whatever stands before them.
ALWAYS = word_set(
    "password passwd passphrase passcode passkey pwd passwort kennwort contraseña contrasena"
    " senha secret credential cred authorization jwt bearer dsn mnemonic otp totp hotp cvv cvc"
    " apikey psk pw"
)
# Words that make the noun after them a credential.
GUARDED = word_set(
    "api access account admin aes app application auth authentication authorization authz basic"
    " bearer bot cipher client consumer crypto csrf decrypt decryption deploy deployment"
    " developer encrypt encryption functions hec hmac ingest ingestion integration jwt keystore kms"
    " licence license login machine management master merchant mfa oauth partner password personal"
    " private proxy push refresh rest root rsa sas secret security server service session shared"
    " sign signature signing sso ssh ssl subscription super tls truststore vapid verification"
    " verify webhook wifi wpa write xsrf"
)
# Providers, whose keys are often named for them alone: ``deepgram_key``.
PROVIDERS = word_set(
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
# Systems with users and passwords.
SYSTEMS = word_set(
    "db database ftp git http imap ldap mail mysql pg postgres postgresql sftp sip smtp snmp sql"
    " user vpn"
)
# Other words that may run together with these nouns.
_FILLERS = word_set("my our the x new old prod dev test live main pre function")
KNOWN = GUARDED | PROVIDERS | SYSTEMS | _FILLERS
# Words that make the noun after them no credential: ``cache_key``, ``max_tokens``.
ORDINARY_KEYS = word_set(
    "answer arrow attribute blob bucket cache candidate column composite config correlation"
    " data dedup dedupe dedupl deduplication dict dictionary document dtmf entity escape event"
    " feature field file flag foreign group grouping hash header hot i idempotency index item"
    " json l label lang language legend localization locale lock lookup map memory message"
    " metadata metric name n natural object option order param parameter partition path phone"
    " pound primary prompt property public publishable query range record row routing s search"
    " secondary setting shard short shortcut site slot sort sorting star state storage"
    " surrogate tag template topic translation unique variable"
)
ORDINARY_TOKENS = word_set(
    "audio bos cancellation cls completion continuation control cost cursor design end eos first"
    " image input last mask max min next output pad page per placeholder prefix prompt sep special"
    " start stop suffix text total unk wake"
)
ORDINARY_PINS = word_set("board drop dropped gpio input location map output")
ORDINARY_SIGNATURES = word_set("call digital email function html key mail method type")
# Words that make a signature after them a credential.
SIGNED = word_set("amz body goog hub payload request x")
# By noun, the words that make it a credential; after other words it is none.
SECRET_AFTER = {
    "code": word_set(
        "access alarm auth authorization backup door entry gate lock login mfa otp pass pin"
        " recovery secret security totp unlock verification"
    ),
    "phrase": word_set("mnemonic pass recovery secret security seed"),
    "seed": word_set("auth hotp key mfa mnemonic otp secret time token totp wallet"),
}
# Words that make ``auth`` after them a credential.
AUTHENTICATED = word_set("basic bearer digest http proxy")
# Words that may follow the noun and leave its meaning: ``api_key_prod``, ``password_hash``.
TRAILING = word_set(
    "b backup base binary confirm confirmation current default dev development encoded encrypted"
    " fallback hash hashed hex json live material new old pem plain plaintext previous prod"
    " production raw salt sandbox secondary sha staging string test v val value"
)
PREPOSITIONS = frozenset(("for", "from", "of", "to"))
DENYING = frozenset(("no", "non", "without"))
ASKING = frozenset(
    ("has", "is", "needs", "require", "requires")
)  # a name that is a question: ``has_token``
# Nouns of two words that are credentials, written as one.
COMPOUNDS = word_set(
    "accesskey apikey connectionstring connectionstr connstring connstr passcode passkey passphrase"
    " password passwd"
)
# Nouns at the end of names that run words together, longest first: ``openaiapikey``.
NOUNS = (
    "connectionstring", "authorization", "credential", "passphrase", "signature", "passcode",
    "password", "connstr", "secret", "bearer", "cookie", "passwd", "token", "code", "pass", "auth",
    "dsn", "jwt", "key", "otp", "pin", "pwd", "sig",
)  # fmt: skip
