"""The settings of an assistant: each member's type, bound, default and marks, once.

Patch types, validation, defaults and OpenAPI are all derived from these Structs. Names, types,
bounds and defaults are those of the published assistants API. A member without a bound here has
none there, so no value of it may be refused for its size. ``events.setting_types`` explains the
marks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from events.setting_types import (
    NOT_BLANK,
    Amount,
    FreeForm,
    PhoneNumber,
    Secret,
    SecretRecord,
    Slots,
)
from events.speech_settings import STTSettings, TTSSettings


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
# The groups of settings on a page, in their order.
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
            extra_json_schema=NOT_BLANK,
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


SETTING_NAMES = tuple(setting.name for setting in msgspec.structs.fields(Settings))
# The first record that covers a secret counts. Without one, its top-level setting is the record.
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
    # Each key is named for its provider, and is sent to the address of that provider.
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
