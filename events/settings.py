"""The settings of an assistant: each member's type, bound, default and marks, once.

Patch types, validation, defaults and OpenAPI are all derived from these Structs. Names,
types, bounds and defaults are those of the published assistants API; a member without a
bound here has none there, so such values must not be refused.

Marks (``msgspec.Meta.extra``) say what a type cannot:

- ``secret``       the value is a credential: sealed before it is an event, masked when shown
- ``free_form``    a map that takes any member; names that speak of credentials are secret
- ``replace``      a free-form map whose members are replaced whole instead of merged
- ``open``         a typed object that takes unknown members as well
- ``null``         what a client's null means where it is not a value: ``ignored`` or ``defaults``
- ``reads``        how a value is converted that is sent: ``trimmed``, ``phone_numbers``, ``schema``
- ``natural_key``  members that tell which element of a list is which
- ``group``        what a setting is shown with; one without stands in the last group
- ``label``        what people call it, where its name does not say it well
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

MAX_REASON = 500
LARGEST = 2 * 1024 * 1024  # bytes of an assistant's settings as JSON
MOST_VALUES = 50_000  # in them, or in a body: small ones cost more time than their bytes say

# What a version may be called, besides by its number (``app.assistants.references`` reads it).
VERSION_NAME = "^(?:latest|-?[0-9]+|label:[^/]*)$"
VersionName = int | Annotated[str, Meta(extra_json_schema={"pattern": VERSION_NAME})]
# An E.164 number with the separators that people write, which are taken out.
_SEPARATED = r"[\s\-.()\[\]{}]*"
_E164 = rf"^{_SEPARATED}\+{_SEPARATED}[1-9](?:{_SEPARATED}[0-9]){{6,14}}{_SEPARATED}$"
PhoneNumber = Annotated[str, Meta(extra_json_schema={"pattern": _E164})]
# Something is left of a name without the blanks around it.
_NOT_BLANK = {"pattern": r"[^\s\x00-\x1f\x85]"}
Secret = Annotated[str, Meta(extra={"secret": True}, extra_json_schema={"x-secret": True})]
FreeForm = Annotated[dict[str, Any], Meta(extra={"free_form": True})]
Amount = Annotated[int, Meta(ge=0)]
Moment = Annotated[datetime, Meta(tz=True)]
Slots = Annotated[int, Meta(ge=1, le=1000)]


class LLMProviderConfig(Struct, frozen=True, kw_only=True):
    """Configuration for the LLM provider; ``model`` here selects the model."""

    api_key: Secret | None = None
    base_url: str | None = None
    model: str | None = "gpt-4o-mini"
    custom_config: FreeForm | None = field(default_factory=dict)


class LLMSettings(Struct, frozen=True, kw_only=True):
    """Settings for the Large Language Model."""

    temperature: float = 0.5
    max_tokens: int = 1000
    system_prompt: str = (
        "You are a helpful assistant that can answer questions and help with tasks."
    )
    welcome_message: str | None = None
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    stop_sequences: list[str] = field(default_factory=list)


class InterruptionSettings(Struct, frozen=True, kw_only=True):
    """Settings for call interruption behavior (words, seconds and milliseconds)."""

    interruption_threshold: int = 3
    min_speaking_time: float = 0.5
    interruption_cooldown: float = 2.0
    interruption_mode: str | None = None
    min_stt_confidence: float = 0.65
    confirmation_window_ms: int = 400
    tentative_confirm_words: int = 2
    backchannel_filter: bool = True
    tail_protection_ms: int = 2000


class BackgroundSoundSettings(Struct, frozen=True, kw_only=True):
    """Ambience played during calls; ``storage_key`` wins over ``sound_url``."""

    enabled: bool = False
    storage_key: str | None = None
    sound_url: str | None = None
    volume: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.3
    loop: bool = True


class TTSSettings(Struct, frozen=True, kw_only=True):
    """Settings for Text-to-Speech (TTS) service."""

    provider: str = "elevenlabs"
    voice_id: str = "rachel"
    model_id: str | None = "turbo"
    latency: int = 1
    stability: float = 0.5
    similarity_boost: float = 0.75
    style: float = 0.0
    speed: float = 1.0
    volume: float = 1.0
    use_speaker_boost: bool = True
    provider_config: FreeForm | None = field(default_factory=dict)
    background_sound: BackgroundSoundSettings = field(default_factory=BackgroundSoundSettings)


class STTEndpointingSettings(Struct, frozen=True, kw_only=True):
    """Silence, in milliseconds, that ends an utterance."""

    silence_threshold: int = 500
    min_silence_duration: int = 500


class Keyword(Struct, frozen=True, kw_only=True):
    """A word to boost."""

    keyword: str
    intensifier: float = 1.0


class FluxConfig(Struct, frozen=True, kw_only=True):
    """Turn detection for ``flux-*`` models."""

    eot_timeout_ms: Annotated[int, Meta(ge=10, le=10000)] | None = None
    eager_eot_threshold: Annotated[float, Meta(ge=0.3, le=0.9)] | None = None
    eot_threshold: Annotated[float, Meta(ge=0.5, le=0.9)] | None = None
    language_hints: list[str] | None = None
    tag: str | None = None
    mip_opt_out: bool | None = False


class ElevenLabsSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``elevenlabs`` STT provider."""

    commit_strategy: str | None = "vad"
    vad_threshold: Annotated[float, Meta(ge=0.1, le=0.9)] | None = 0.5
    vad_silence_threshold_secs: Annotated[float, Meta(ge=0.3, le=3.0)] | None = 0.8
    min_speech_duration_ms: Annotated[int, Meta(ge=50, le=2000)] | None = 100
    min_silence_duration_ms: Annotated[int, Meta(ge=50, le=2000)] | None = 250
    include_timestamps: bool | None = False
    include_language_detection: bool | None = False
    manual_commit_silence_secs: Annotated[float, Meta(ge=0.5, le=5.0)] | None = 1.5
    manual_commit_short_silence_secs: Annotated[float, Meta(ge=0.3, le=2.0)] | None = 0.8


class SpeechmaticsSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``speechmatics`` STT provider."""

    region: str | None = "us"
    max_delay: Annotated[float, Meta(ge=0.5, le=10.0)] | None = 1.0
    enable_partials: bool | None = True
    remove_disfluencies: bool | None = True
    enable_diarization: bool | None = False
    speaker_diarization_max_speakers: Annotated[int, Meta(ge=1, le=10)] | None = 2
    additional_vocab: list[str] | None = field(default_factory=list)
    utterance_silence_timeout: Annotated[float, Meta(ge=0.3, le=5.0)] | None = 1.0


class SonioxSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``soniox`` STT provider."""

    language_hints: list[str] | None = None
    enable_endpoint_detection: bool | None = True
    max_endpoint_delay_ms: Annotated[int, Meta(ge=500, le=3000)] | None = 2000
    enable_speaker_diarization: bool | None = False
    enable_language_identification: bool | None = False
    context_terms: list[str] | None = None
    context_text: str | None = None
    context_general: list[dict[str, str]] | None = None
    context_translation_terms: list[dict[str, str]] | None = None
    translation_type: str | None = None
    translation_target_language: str | None = None
    translation_language_a: str | None = None
    translation_language_b: str | None = None
    num_channels: Annotated[int, Meta(ge=1, le=2)] | None = 1
    utterance_silence_timeout: Annotated[float, Meta(ge=0.3, le=5.0)] | None = 1.0


class SpeculativeConfig(Struct, frozen=True, kw_only=True):
    """Start the LLM on partial transcripts."""

    enable_speculative_llm: bool = False
    speculative_stream_to_tts: bool = True
    speculative_debounce_ms: Annotated[int, Meta(ge=100, le=1000)] = 300
    speculative_min_words: Annotated[int, Meta(ge=1, le=10)] = 3
    speculative_similarity_threshold: Annotated[float, Meta(ge=0.5, le=1.0)] = 0.85


class STTSettings(Struct, frozen=True, kw_only=True):
    """Settings for Speech-to-Text (STT) service."""

    provider: str | None = "deepgram"
    model: str = "nova-2"
    language: str = "en-US"
    punctuate: bool = True
    interim_results: bool = True
    endpointing: STTEndpointingSettings = field(default_factory=STTEndpointingSettings)
    utterance_end_ms: Annotated[int, Meta(ge=100, le=10000)] = 1000
    vad_turnoff: Annotated[int, Meta(extra={"label": "VAD turnoff (ms)"})] = 500
    smart_format: bool = True
    keywords: list[Keyword] = field(default_factory=list)
    keyterms: list[str] = field(default_factory=list)
    diarize: bool = False
    detect_entities: bool = False
    audio_denoising: bool = False
    flux_config: FluxConfig | None = None
    elevenlabs_config: ElevenLabsSTTConfig | None = None
    speechmatics_config: SpeechmaticsSTTConfig | None = None
    soniox_config: SonioxSTTConfig | None = None
    speculative_config: SpeculativeConfig | None = None
    utterance_timeout_seconds: Annotated[float, Meta(ge=0.3, le=5.0)] | None = None
    incomplete_utterance_detection: bool | None = False
    provider_config: FreeForm | None = field(default_factory=dict)
    prefer_flux_for_english: bool | None = False
    english_flux_config: FluxConfig | None = None


class EndCallTool(Struct, frozen=True, kw_only=True):
    """Allow the AI to hang up."""

    enabled: bool = False
    scenarios: list[str] = field(default_factory=list)
    custom_message: str | None = None


class TransferCallTool(Struct, frozen=True, kw_only=True):
    """Allow transfers; ``cold`` is blind, ``warm`` briefs the agent first."""

    enabled: bool = False
    scenarios: list[str] = field(default_factory=list)
    transfer_numbers: list[str] = field(default_factory=list)
    custom_message: str | None = None
    transfer_type: Literal["cold", "warm"] = "cold"
    agent_confirmation: bool = False
    unavailable_message: str | None = None


class DtmfSolverTool(Struct, frozen=True, kw_only=True):
    """Allow touch tones."""

    enabled: bool = False
    scenarios: list[str] = field(default_factory=list)


class SendSmsTool(Struct, frozen=True, kw_only=True):
    """Allow texting the caller."""

    enabled: bool = False
    scenarios: list[str] = field(default_factory=list)
    default_message: str | None = None


class ToolsSettings(Struct, frozen=True, kw_only=True):
    """Settings for integrated tools; ``enabled_tools`` is derived by the server."""

    enabled_tools: list[str] = field(default_factory=list)
    end_call: EndCallTool = field(default_factory=EndCallTool)
    transfer_call: TransferCallTool = field(default_factory=TransferCallTool)
    dtmf_solver: DtmfSolverTool = field(default_factory=DtmfSolverTool)
    send_sms: SendSmsTool = field(default_factory=SendSmsTool)
    custom_tools: Annotated[list[FreeForm], Meta(extra={"natural_key": ("tool_id",)})] = field(
        default_factory=list
    )


class RAGSettings(Struct, frozen=True, kw_only=True):
    """Settings for Retrieval-Augmented Generation (RAG)."""

    enabled: bool = False
    rag_inject_before_llm: bool = False
    search_limit: int = 3
    similarity_threshold: float = 0.7
    embedding_model: str = "text-embedding-3-small"
    chunking_strategy: str = "recursive"
    chunk_size: int = 1000
    chunk_overlap: int = 200
    auto_process: bool = True
    include_metadata: bool = True
    context_window_tokens: int = 4000


class LLMFallbackProvider(Struct, frozen=True, kw_only=True):
    """One fallback; the runtime reads the flat members and ``config``."""

    provider: str
    enabled: bool = True
    api_key: Secret | None = None
    base_url: str | None = None
    model: str | None = None
    config: FreeForm | None = field(default_factory=dict)


class LLMFallbackSettings(Struct, frozen=True, kw_only=True):
    """Settings for LLM fallback providers, in the order in which they are tried."""

    enabled: bool = False
    fallbacks: Annotated[
        list[LLMFallbackProvider], Meta(extra={"natural_key": ("provider", "model")})
    ] = field(default_factory=list)


class BackchannelGenerationSettings(Struct, frozen=True, kw_only=True):
    """Settings for AI backchannel generation (short acknowledgements)."""

    enabled: bool = False
    frequency: Annotated[int, Meta(ge=1, le=5)] = 3


class RecordingSettings(Struct, frozen=True, kw_only=True):
    """Recording settings including enabled flag and disclosure options."""

    enabled: bool = True
    format: str | None = "mp3"
    sample_rate: int | None = 8000
    channels: int | None = 1
    record_user_audio: bool | None = True
    record_assistant_audio: bool | None = True
    record_mixed_audio: bool | None = True
    record_user_only_track: bool | None = None
    auto_save: bool | None = True
    recordings_dir: str | None = "recordings"
    create_database_records: bool | None = True
    disclosure_enabled: bool | None = False
    disclosure_message: str | None = None
    disclosure_mode: str | None = "every_call"


_ignored = Meta(extra={"null": "ignored"})
_defaults = Meta(extra={"null": "defaults"})

# What people look for together. A page has the groups in the order in which they stand here.
GROUPS = (
    "Model and prompt", "Voice", "Transcription", "Calling", "Tools", "Knowledge",
    "After the call", "Safety",
)  # fmt: skip
_model, _voice, _hearing, _calling, _tools, _knowledge, _after, _safety = (
    Meta(extra={"group": title}) for title in GROUPS
)


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that a client may set on an assistant."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            extra={"null": "ignored", "reads": "trimmed"},
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    description: str | None = None
    llm_provider: Annotated[str, _ignored, _model] | None = "openai"
    llm_provider_config: Annotated[LLMProviderConfig, _defaults, _model] = field(
        default_factory=LLMProviderConfig
    )
    llm_settings: Annotated[LLMSettings, _defaults, _model] = field(default_factory=LLMSettings)
    webhook_url: Annotated[str, _after] | None = None
    sms_webhook_url: Annotated[str, _after] | None = None
    messaging_service_sid: Annotated[str, _after] | None = None
    webhook_headers: Annotated[dict[str, Secret], _after] | None = None
    interruption_settings: Annotated[InterruptionSettings, _defaults, _calling] = field(
        default_factory=InterruptionSettings
    )
    tts_settings: Annotated[TTSSettings, _defaults, _voice] = field(default_factory=TTSSettings)
    stt_settings: Annotated[STTSettings, _defaults, _hearing] = field(default_factory=STTSettings)
    end_call_message: Annotated[str, _calling] | None = None
    transfer_call_message: Annotated[str, _calling] | None = None
    idle_message: Annotated[str, _calling] | None = (
        "Are you still there? I'm here to help if you need anything."
    )
    max_idle_messages: Annotated[Amount, _calling] | None = None
    idle_timeout: Annotated[Amount, _calling] | None = None
    max_call_length: Annotated[int, Meta(ge=1), _calling] | None = None
    conversation_continuity_enabled: Annotated[bool, _ignored, _calling] | None = True
    tools_settings: Annotated[ToolsSettings, _defaults, _tools] = field(
        default_factory=ToolsSettings
    )
    rag_settings: Annotated[RAGSettings, _defaults, _knowledge] = field(default_factory=RAGSettings)
    llm_fallback_providers: Annotated[LLMFallbackSettings, _defaults, _model] = field(
        default_factory=LLMFallbackSettings
    )
    bypass_numbers: (
        Annotated[list[PhoneNumber], Meta(extra={"reads": "phone_numbers"}), _calling] | None
    ) = None
    custom_settings: (
        Annotated[
            dict[str, Any], Meta(extra={"free_form": True, "replace": True, "reads": "schema"})
        ]
        | None
    ) = None
    is_active: Annotated[bool, _ignored] | None = True
    backchannel_settings: Annotated[BackchannelGenerationSettings, _voice] | None = None
    recording_settings: (
        Annotated[RecordingSettings, Meta(extra={"null": "defaults", "open": True}), _safety] | None
    ) = field(default_factory=RecordingSettings)
    api_keys: Annotated[dict[str, Secret | None], _safety] | None = None
    tts_limit: Annotated[Slots, _voice] | None = None
    stt_limit: Annotated[Slots, _hearing] | None = None


class AssistantResponse(Settings, frozen=True, kw_only=True):
    """An assistant as it is answered: always every member, secrets as ``********``."""

    id: int
    organization_id: int
    user_id: int
    created_at: Moment
    updated_at: Moment
    version: int
    total_calls: int | None = None
    avg_call_duration: int | None = None
    success_rate: float | None = None


Reason = Annotated[str, Meta(max_length=MAX_REASON)]


class AssistantCreate(Settings, frozen=True, kw_only=True):
    """A new assistant; only ``name`` is required."""

    change_description: Reason | None = None


def _partial(name: str, doc: str) -> type[Struct]:
    """Every setting as a member that may be absent (keep) or null (clear)."""
    members: list[tuple[str, Any, Any]] = [
        (setting.name, setting.type | None | UnsetType, UNSET)
        for setting in msgspec.structs.fields(Settings)
    ]
    members.append(("change_description", Reason | None | UnsetType, UNSET))
    members.append(("base_version", VersionName | None | UnsetType, UNSET))
    members.append(("on_conflict", Literal["fail", "theirs", "yours"] | None | UnsetType, UNSET))
    members.append(("dry_run", bool | UnsetType, UNSET))
    return msgspec.defstruct(
        name, members, namespace={"__doc__": doc}, module=__name__, frozen=True, kw_only=True
    )


AssistantPatch = _partial("AssistantPatch", "The settings to change; what is absent is kept.")
AssistantUpdate = _partial("AssistantUpdate", "As AssistantPatch: both verbs merge.")

SETTING_NAMES = tuple(setting.name for setting in msgspec.structs.fields(Settings))


class SecretRecord(Struct, frozen=True, kw_only=True):
    """Where secrets are sent: a secret is kept only while the addresses there stay the same.

    ``secrets`` is a JSON Pointer; its secrets stand at or below it. ``sent_to`` are the pointers
    at or below which their addresses stand, providers included. ``*`` is a position in a list:
    in ``sent_to``, the same one.
    """

    secrets: str
    sent_to: tuple[str, ...]
    by_member: bool = False  # each object in the map is a record, with the plain members beside it
    providers: bool = True  # the name of a provider is an address, too
    may_shrink: bool = False  # what is sent to fewer of them is sent nowhere new


# A secret belongs to the first record that covers it; without one, to its top-level setting.
SECRET_RECORDS = (
    SecretRecord(secrets="/llm_provider_config", sent_to=("/llm_provider", "/llm_provider_config")),
    SecretRecord(
        secrets="/llm_fallback_providers/fallbacks/*",
        sent_to=("/llm_fallback_providers/fallbacks/*",),
    ),
    SecretRecord(
        secrets="/webhook_headers", sent_to=("/webhook_url", "/sms_webhook_url"), may_shrink=True
    ),
    SecretRecord(
        secrets="/tts_settings/provider_config",
        sent_to=("/tts_settings/provider", "/tts_settings/provider_config"),
    ),
    SecretRecord(
        secrets="/stt_settings/provider_config",
        sent_to=(
            "/stt_settings/provider",
            "/stt_settings/provider_config",
            "/stt_settings/speechmatics_config",
            "/stt_settings/elevenlabs_config",
            "/stt_settings/soniox_config",
        ),
    ),
    SecretRecord(
        secrets="/tools_settings/custom_tools/*", sent_to=("/tools_settings/custom_tools/*",)
    ),
    SecretRecord(secrets="/custom_settings", sent_to=("/custom_settings",), by_member=True),
    # Each key is named for its provider, and is sent wherever that provider is said to be.
    SecretRecord(
        secrets="/api_keys",
        sent_to=(
            "/llm_provider_config",
            "/llm_fallback_providers",
            "/tts_settings/provider_config",
            "/stt_settings/provider_config",
        ),
        providers=False,
        may_shrink=True,
    ),
)
# What the server says of an assistant, and ignores when a client sends it back.
READ_ONLY = frozenset(
    member.name for member in msgspec.structs.fields(AssistantResponse)
).difference(SETTING_NAMES)
