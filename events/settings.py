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
    LIVE,
    NEXT_CALL,
    NEXT_TURN,
    NOT_BLANK,
    Amount,
    FreeForm,
    PhoneNumber,
    Secret,
    SecretRecord,
    Slots,
    about,
)
from events.speech_settings import STTSettings, TTSSettings


class LLMProviderConfig(Struct, frozen=True, kw_only=True):
    """Configuration for the LLM provider; ``model`` here selects the model."""

    api_key: (
        Annotated[
            Secret,
            about("Model provider API key", "Key that the assistant sends to its model provider."),
        ]
        | None
    ) = None
    base_url: (
        Annotated[
            str,
            about(
                "Model provider address",
                "Address of an OpenAI-compatible server; empty for the provider's own.",
            ),
        ]
        | None
    ) = None
    model: Annotated[str, about("Model", "Name of the model that answers.")] | None = "gpt-4o-mini"
    custom_config: (
        Annotated[
            FreeForm,
            about(
                "Extra provider options", "Further options, sent to the model provider as they are."
            ),
        ]
        | None
    ) = field(default_factory=dict)


class LLMSettings(Struct, frozen=True, kw_only=True):
    """Settings for the Large Language Model."""

    temperature: Annotated[
        float, about("Temperature", "How varied answers are: 0 gives the likeliest words.")
    ] = 0.5
    max_tokens: Annotated[
        int, about("Longest answer", "Most that the model may write in one turn.", "tokens")
    ] = 1000
    system_prompt: Annotated[
        str, about("Prompt", "What the assistant is, knows, and must do in every call.")
    ] = "You are a helpful assistant that can answer questions and help with tasks."
    welcome_message: (
        Annotated[
            str,
            NEXT_CALL,
            about(
                "Welcome message", "First sentence of a call; empty lets the caller speak first."
            ),
        ]
        | None
    ) = None
    top_p: Annotated[
        float,
        about("Top P", "Share of likely words to choose from; change this or the temperature."),
    ] = 1.0
    frequency_penalty: Annotated[
        float, about("Frequency penalty", "Keeps the model from repeating words it used often.")
    ] = 0.0
    presence_penalty: Annotated[
        float, about("Presence penalty", "Moves the model to words it has not used yet.")
    ] = 0.0
    stop_sequences: Annotated[
        list[str], about("Stop sequences", "Texts at which the model stops writing.")
    ] = field(default_factory=list)


class InterruptionSettings(Struct, frozen=True, kw_only=True):
    """Settings for call interruption behavior (words, seconds and milliseconds)."""

    interruption_threshold: Annotated[
        int,
        about(
            "Words to interrupt", "Words a caller says before the assistant stops talking.", "words"
        ),
    ] = 3
    min_speaking_time: Annotated[
        float,
        about(
            "Shortest speech", "Time the assistant speaks before it can be interrupted.", "seconds"
        ),
    ] = 0.5
    interruption_cooldown: Annotated[
        float,
        about(
            "Pause between interruptions",
            "Time in which a second interruption is ignored.",
            "seconds",
        ),
    ] = 2.0
    interruption_mode: (
        Annotated[
            str,
            about(
                "Interruption mode",
                "How interruptions are recognized; empty for the runtime's own way.",
            ),
        ]
        | None
    ) = None
    min_stt_confidence: Annotated[
        float,
        about(
            "Confidence to interrupt",
            "How sure the transcript must be to count as an interruption.",
        ),
    ] = 0.65
    confirmation_window_ms: Annotated[
        int, about("Confirmation window", "Time to confirm that a caller really interrupts.", "ms")
    ] = 400
    tentative_confirm_words: Annotated[
        int,
        about("Words to confirm", "Words within the window that confirm an interruption.", "words"),
    ] = 2
    backchannel_filter: Annotated[
        bool,
        about(
            "Ignore short acknowledgements", 'Does not take "mm-hm" or "okay" as an interruption.'
        ),
    ] = True
    tail_protection_ms: Annotated[
        int,
        about(
            "Protected ending", "End of a sentence that is spoken in spite of interruptions.", "ms"
        ),
    ] = 2000


class EndCallTool(Struct, frozen=True, kw_only=True):
    """Allow the AI to hang up."""

    enabled: Annotated[bool, about("End call tool", "Lets the assistant hang up.")] = False
    scenarios: Annotated[
        list[str], about("When to end a call", "Situations in which the assistant hangs up.")
    ] = field(default_factory=list)
    custom_message: (
        Annotated[
            str, about("Words before hanging up", "What the assistant says before it hangs up.")
        ]
        | None
    ) = None


class TransferCallTool(Struct, frozen=True, kw_only=True):
    """Allow transfers; ``cold`` is blind, ``warm`` briefs the agent first."""

    enabled: Annotated[
        bool, about("Transfer call tool", "Lets the assistant transfer callers to people.")
    ] = False
    scenarios: Annotated[
        list[str],
        about("When to transfer a call", "Situations in which the assistant transfers the caller."),
    ] = field(default_factory=list)
    transfer_numbers: Annotated[
        list[str], about("Transfer numbers", "Phone numbers to which calls are transferred.")
    ] = field(default_factory=list)
    custom_message: (
        Annotated[
            str, about("Words before transferring", "What the assistant says before it transfers.")
        ]
        | None
    ) = None
    transfer_type: Annotated[
        Literal["cold", "warm"],
        about("Transfer type", "Cold connects at once; warm briefs the person first."),
    ] = "cold"
    agent_confirmation: Annotated[
        bool,
        about("Ask the person first", "Transfers only after the person has accepted the call."),
    ] = False
    unavailable_message: (
        Annotated[
            str,
            about("Words if nobody answers", "What the assistant says if nobody takes the call."),
        ]
        | None
    ) = None


class DtmfSolverTool(Struct, frozen=True, kw_only=True):
    """Allow touch tones."""

    enabled: Annotated[
        bool, about("Touch tone tool", "Lets the assistant press keys in phone menus.")
    ] = False
    scenarios: Annotated[
        list[str],
        about("When to press keys", "Situations in which the assistant sends touch tones."),
    ] = field(default_factory=list)


class SendSmsTool(Struct, frozen=True, kw_only=True):
    """Allow texting the caller."""

    enabled: Annotated[bool, about("Text message tool", "Lets the assistant text the caller.")] = (
        False
    )
    scenarios: Annotated[
        list[str], about("When to text", "Situations in which the assistant sends a text message.")
    ] = field(default_factory=list)
    default_message: (
        Annotated[str, about("Text message", "Text that is sent if the model writes none.")] | None
    ) = None


class ToolsSettings(Struct, frozen=True, kw_only=True):
    """Settings for integrated tools; ``enabled_tools`` is derived by the server."""

    enabled_tools: Annotated[
        list[str], about("Enabled tools", "Tools that are on, worked out by the server.")
    ] = field(default_factory=list)
    end_call: Annotated[EndCallTool, about("End call")] = field(default_factory=EndCallTool)
    transfer_call: Annotated[TransferCallTool, about("Transfer call")] = field(
        default_factory=TransferCallTool
    )
    dtmf_solver: Annotated[DtmfSolverTool, about("Touch tones")] = field(
        default_factory=DtmfSolverTool
    )
    send_sms: Annotated[SendSmsTool, about("Text messages")] = field(default_factory=SendSmsTool)
    custom_tools: Annotated[
        list[FreeForm],
        Meta(extra={"natural_key": ("tool_id",)}),
        about("Custom tools", "Your own tools: name, schema, and the address that is called."),
    ] = field(default_factory=list)


class RAGSettings(Struct, frozen=True, kw_only=True):
    """Settings for Retrieval-Augmented Generation (RAG)."""

    enabled: Annotated[
        bool, about("Knowledge search", "Looks up passages of your documents for each answer.")
    ] = False
    rag_inject_before_llm: Annotated[
        bool,
        about(
            "Add passages before the model",
            "Gives passages to the model with the question instead of on request.",
        ),
    ] = False
    search_limit: Annotated[
        int, about("Passages per search", "Most passages that one search returns.", "passages")
    ] = 3
    similarity_threshold: Annotated[
        float, about("Similarity needed", "How similar a passage must be to be used.")
    ] = 0.7
    embedding_model: Annotated[
        str, about("Embedding model", "Model that compares passages with questions.")
    ] = "text-embedding-3-small"
    chunking_strategy: Annotated[
        str, about("Splitting of documents", "How documents are split into passages.")
    ] = "recursive"
    chunk_size: Annotated[
        int, about("Passage length", "Longest passage that a document is split into.", "characters")
    ] = 1000
    chunk_overlap: Annotated[
        int, about("Passage overlap", "Text that neighbouring passages share.", "characters")
    ] = 200
    auto_process: Annotated[
        bool, about("Process uploads at once", "Splits and indexes documents as they are uploaded.")
    ] = True
    include_metadata: Annotated[
        bool,
        about("Include document details", "Gives the model the title and source of each passage."),
    ] = True
    context_window_tokens: Annotated[
        int,
        about("Room for passages", "Most of the model's context that passages may fill.", "tokens"),
    ] = 4000


class LLMFallbackProvider(Struct, frozen=True, kw_only=True):
    """One fallback; the runtime reads the flat members and ``config``."""

    provider: Annotated[str, about("Provider", "Name of the fallback provider.")]
    enabled: Annotated[bool, about("Enabled", "Whether this fallback is tried.")] = True
    api_key: Annotated[Secret, about("API key", "Key for this fallback provider.")] | None = None
    base_url: Annotated[str, about("Address", "Address of this fallback provider.")] | None = None
    model: Annotated[str, about("Model", "Model of this fallback provider.")] | None = None
    config: (
        Annotated[FreeForm, about("Options", "Further options for this fallback provider.")] | None
    ) = field(default_factory=dict)


class LLMFallbackSettings(Struct, frozen=True, kw_only=True):
    """Settings for LLM fallback providers, in the order in which they are tried."""

    enabled: Annotated[
        bool, about("Model fallback", "Tries other providers when the first one fails.")
    ] = False
    fallbacks: Annotated[
        list[LLMFallbackProvider],
        Meta(extra={"natural_key": ("provider", "model")}),
        about("Fallback providers", "Providers in the order in which they are tried."),
    ] = field(default_factory=list)


class BackchannelGenerationSettings(Struct, frozen=True, kw_only=True):
    """Settings for AI backchannel generation (short acknowledgements)."""

    enabled: Annotated[
        bool,
        about("Acknowledge while listening", 'Says "mm-hm" and the like while the caller speaks.'),
    ] = False
    frequency: Annotated[
        int,
        Meta(ge=1, le=5),
        about("Acknowledgement frequency", "How often the assistant acknowledges: 1 is seldom."),
    ] = 3


class RecordingSettings(Struct, frozen=True, kw_only=True):
    """Recording settings including enabled flag and disclosure options."""

    enabled: Annotated[bool, about("Record calls", "Keeps a recording of every call.")] = True
    format: (
        Annotated[str, about("File format", "Format of recordings, such as mp3 or wav.")] | None
    ) = "mp3"
    sample_rate: (
        Annotated[int, about("Sample rate", "Samples of sound per second.", "Hz")] | None
    ) = 8000
    channels: (
        Annotated[int, about("Channels", "1 mixes both sides; 2 keeps them apart.")] | None
    ) = 1
    record_user_audio: (
        Annotated[bool, about("Record the caller", "Keeps what the caller says.")] | None
    ) = True
    record_assistant_audio: (
        Annotated[bool, about("Record the assistant", "Keeps what the assistant says.")] | None
    ) = True
    record_mixed_audio: (
        Annotated[bool, about("Record a mix", "Keeps both sides in one track.")] | None
    ) = True
    record_user_only_track: (
        Annotated[
            bool, about("Separate caller track", "Keeps a further track of the caller alone.")
        ]
        | None
    ) = None
    auto_save: (
        Annotated[
            bool, about("Save at the end of a call", "Writes the recording when the call ends.")
        ]
        | None
    ) = True
    recordings_dir: (
        Annotated[str, about("Recordings folder", "Folder in which recordings are stored.")] | None
    ) = "recordings"
    create_database_records: (
        Annotated[bool, about("List recordings", "Adds each recording to the list of calls.")]
        | None
    ) = True
    disclosure_enabled: (
        Annotated[bool, about("Recording disclosure", "Tells callers that the call is recorded.")]
        | None
    ) = False
    disclosure_message: (
        Annotated[str, about("Disclosure message", "Words that tell callers about the recording.")]
        | None
    ) = None
    disclosure_mode: (
        Annotated[str, about("When to disclose", "In which calls the disclosure is spoken.")] | None
    ) = "every_call"


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
        LIVE,
        about("Name", "Name of the assistant, here and in reports."),
    ]
    description: (
        Annotated[str, LIVE, about("Description", "What the assistant is for, in your own words.")]
        | None
    ) = None
    llm_provider: (
        Annotated[
            str,
            _ignored,
            _model,
            NEXT_TURN,
            about("Model provider", "Service that runs the model."),
        ]
        | None
    ) = "openai"
    llm_provider_config: Annotated[
        LLMProviderConfig, _defaults, _model, NEXT_TURN, about("Model provider")
    ] = field(default_factory=LLMProviderConfig)
    llm_settings: Annotated[LLMSettings, _defaults, _model, NEXT_TURN, about("Model")] = field(
        default_factory=LLMSettings
    )
    webhook_url: (
        Annotated[
            str,
            _after,
            LIVE,
            about("Webhook address", "Address that receives an event after each call."),
        ]
        | None
    ) = None
    sms_webhook_url: (
        Annotated[
            str,
            _after,
            LIVE,
            about("Text message webhook", "Address that receives incoming text messages."),
        ]
        | None
    ) = None
    messaging_service_sid: (
        Annotated[
            str,
            _after,
            LIVE,
            about("Messaging service ID", "Twilio messaging service that sends text messages."),
        ]
        | None
    ) = None
    webhook_headers: (
        Annotated[
            dict[str, Secret],
            _after,
            LIVE,
            about(
                "Webhook headers",
                "Headers that are sent with every webhook; their values are secret.",
            ),
        ]
        | None
    ) = None
    interruption_settings: Annotated[
        InterruptionSettings, _defaults, _calling, NEXT_TURN, about("Interruptions")
    ] = field(default_factory=InterruptionSettings)
    tts_settings: Annotated[TTSSettings, _defaults, _voice, NEXT_TURN, about("Speech")] = field(
        default_factory=TTSSettings
    )
    stt_settings: Annotated[STTSettings, _defaults, _hearing, NEXT_CALL, about("Transcription")] = (
        field(default_factory=STTSettings)
    )
    end_call_message: (
        Annotated[str, _calling, LIVE, about("Goodbye", "Last sentence before a call ends.")] | None
    ) = None
    transfer_call_message: (
        Annotated[
            str,
            _calling,
            LIVE,
            about("Transfer announcement", "What callers hear before they are transferred."),
        ]
        | None
    ) = None
    idle_message: (
        Annotated[
            str,
            _calling,
            LIVE,
            about("Silence message", "What the assistant says when the caller is silent."),
        ]
        | None
    ) = "Are you still there? I'm here to help if you need anything."
    max_idle_messages: (
        Annotated[
            Amount,
            _calling,
            LIVE,
            about("Silence messages per call", "How often it asks before it ends the call."),
        ]
        | None
    ) = None
    idle_timeout: (
        Annotated[
            Amount,
            _calling,
            LIVE,
            about(
                "Silence timeout",
                "How long a caller is silent before the assistant asks.",
                "seconds",
            ),
        ]
        | None
    ) = None
    max_call_length: (
        Annotated[
            int,
            Meta(ge=1),
            _calling,
            LIVE,
            about("Longest call", "Time after which a call is ended.", "seconds"),
        ]
        | None
    ) = None
    conversation_continuity_enabled: (
        Annotated[
            bool,
            _ignored,
            _calling,
            NEXT_CALL,
            about(
                "Remember earlier calls", "Continues the conversation when a caller calls again."
            ),
        ]
        | None
    ) = True
    tools_settings: Annotated[ToolsSettings, _defaults, _tools, NEXT_TURN, about("Tools")] = field(
        default_factory=ToolsSettings
    )
    rag_settings: Annotated[RAGSettings, _defaults, _knowledge, NEXT_TURN, about("Knowledge")] = (
        field(default_factory=RAGSettings)
    )
    llm_fallback_providers: Annotated[
        LLMFallbackSettings, _defaults, _model, NEXT_TURN, about("Fallback")
    ] = field(default_factory=LLMFallbackSettings)
    bypass_numbers: (
        Annotated[
            list[PhoneNumber],
            Meta(extra={"reads": "phone_numbers"}),
            _calling,
            NEXT_CALL,
            about("Bypass numbers", "Phone numbers whose calls go past the assistant."),
        ]
        | None
    ) = None
    custom_settings: (
        Annotated[
            dict[str, Any],
            Meta(extra={"free_form": True, "replace": True, "reads": "schema"}),
            NEXT_CALL,
            about("Custom settings", "Anything else that your own systems read."),
        ]
        | None
    ) = None
    is_active: (
        Annotated[bool, _ignored, NEXT_CALL, about("Active", "Whether the assistant takes calls.")]
        | None
    ) = True
    backchannel_settings: (
        Annotated[BackchannelGenerationSettings, _voice, NEXT_TURN, about("Acknowledgements")]
        | None
    ) = None
    recording_settings: (
        Annotated[
            RecordingSettings,
            Meta(extra={"null": "defaults", "open": True}),
            _safety,
            NEXT_CALL,
            about("Recording"),
        ]
        | None
    ) = field(default_factory=RecordingSettings)
    api_keys: (
        Annotated[
            dict[str, Secret | None],
            _safety,
            NEXT_CALL,
            about("Provider API keys", "Keys for providers, by the name of the provider."),
        ]
        | None
    ) = None
    tts_limit: (
        Annotated[
            Slots,
            _voice,
            NEXT_CALL,
            about("Speech slots", "Most calls that may speak at one time.", "calls"),
        ]
        | None
    ) = None
    stt_limit: (
        Annotated[
            Slots,
            _hearing,
            NEXT_CALL,
            about(
                "Transcription slots", "Most calls that may be transcribed at one time.", "calls"
            ),
        ]
        | None
    ) = None


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
