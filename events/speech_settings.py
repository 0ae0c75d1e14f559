"""The settings of speech: text to speech, and speech to text with its providers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from events.setting_types import NEXT_CALL, NEXT_TURN, FreeForm, about


class BackgroundSoundSettings(Struct, frozen=True, kw_only=True):
    """Ambience played during calls; ``storage_key`` wins over ``sound_url``."""

    enabled: Annotated[
        bool, about("Background sound", "Plays a sound behind the assistant's voice.")
    ] = False
    storage_key: (
        Annotated[str, about("Stored sound", "Uploaded sound file; wins over the sound's address.")]
        | None
    ) = None
    sound_url: Annotated[str, about("Sound address", "Address of the sound file.")] | None = None
    volume: Annotated[
        float, Meta(ge=0.0, le=1.0), about("Background volume", "How loud the background sound is.")
    ] = 0.3
    loop: Annotated[bool, about("Repeat sound", "Plays the sound again when it ends.")] = True


class TTSSettings(Struct, frozen=True, kw_only=True):
    """Settings for Text-to-Speech (TTS) service."""

    provider: Annotated[str, about("Voice provider", "Service that speaks.")] = "elevenlabs"
    voice_id: Annotated[str, about("Voice", "Name or ID of the voice at the provider.")] = "rachel"
    model_id: Annotated[str, about("Voice model", "Model of the voice provider.")] | None = "turbo"
    latency: Annotated[
        int, about("Latency level", "Higher levels speak sooner, at some cost in quality.")
    ] = 1
    stability: Annotated[float, about("Stability", "Low varies the tone; high keeps it even.")] = (
        0.5
    )
    similarity_boost: Annotated[
        float, about("Similarity", "How closely the speech follows the original voice.")
    ] = 0.75
    style: Annotated[float, about("Style", "How strongly the voice's style is exaggerated.")] = 0.0
    speed: Annotated[float, about("Speed", "How fast the assistant speaks: 1 is normal.")] = 1.0
    volume: Annotated[float, about("Volume", "How loud the assistant speaks: 1 is normal.")] = 1.0
    use_speaker_boost: Annotated[
        bool, about("Speaker boost", "Makes the speech more like the original speaker.")
    ] = True
    provider_config: (
        Annotated[
            FreeForm,
            about(
                "Extra voice options", "Further options, sent to the voice provider as they are."
            ),
        ]
        | None
    ) = field(default_factory=dict)
    background_sound: Annotated[BackgroundSoundSettings, NEXT_CALL, about("Background sound")] = (
        field(default_factory=BackgroundSoundSettings)
    )


class STTEndpointingSettings(Struct, frozen=True, kw_only=True):
    """Silence, in milliseconds, that ends an utterance."""

    silence_threshold: Annotated[
        int,
        about("Silence that ends a turn", "Silence after which the caller's turn has ended.", "ms"),
    ] = 500
    min_silence_duration: Annotated[
        int, about("Shortest silence", "Silence shorter than this is not counted.", "ms")
    ] = 500


class Keyword(Struct, frozen=True, kw_only=True):
    """A word to boost."""

    keyword: Annotated[str, about("Word", "Word to recognize more readily.")]
    intensifier: Annotated[
        float, about("Boost", "How much more readily the word is recognized.")
    ] = 1.0


class FluxConfig(Struct, frozen=True, kw_only=True):
    """Turn detection for ``flux-*`` models."""

    eot_timeout_ms: (
        Annotated[
            int,
            Meta(ge=10, le=10000),
            about("End of turn timeout", "Silence after which a turn ends in any case.", "ms"),
        ]
        | None
    ) = None
    eager_eot_threshold: (
        Annotated[
            float,
            Meta(ge=0.3, le=0.9),
            about("Early end of turn", "How sure it must be to prepare an answer early."),
        ]
        | None
    ) = None
    eot_threshold: (
        Annotated[
            float,
            Meta(ge=0.5, le=0.9),
            about("End of turn", "How sure it must be that the turn has ended."),
        ]
        | None
    ) = None
    language_hints: (
        Annotated[list[str], about("Language hints", "Languages that callers are likely to speak.")]
        | None
    ) = None
    tag: Annotated[str, about("Tag", "Label for requests in the provider's reports.")] | None = None
    mip_opt_out: (
        Annotated[
            bool,
            about(
                "Opt out of model improvement", "Keeps the provider from training on your calls."
            ),
        ]
        | None
    ) = False


class ElevenLabsSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``elevenlabs`` STT provider."""

    commit_strategy: (
        Annotated[
            str, about("Commit strategy", "How the end of an utterance is found, such as vad.")
        ]
        | None
    ) = "vad"
    vad_threshold: (
        Annotated[
            float,
            Meta(ge=0.1, le=0.9),
            about("Voice detection", "How sure it must be that somebody speaks."),
        ]
        | None
    ) = 0.5
    vad_silence_threshold_secs: (
        Annotated[
            float,
            Meta(ge=0.3, le=3.0),
            about("Silence that commits", "Silence after which the text is final.", "seconds"),
        ]
        | None
    ) = 0.8
    min_speech_duration_ms: (
        Annotated[
            int,
            Meta(ge=50, le=2000),
            about("Shortest utterance", "Sound shorter than this is no speech.", "ms"),
        ]
        | None
    ) = 100
    min_silence_duration_ms: (
        Annotated[
            int,
            Meta(ge=50, le=2000),
            about("Shortest pause", "Silence shorter than this is no pause.", "ms"),
        ]
        | None
    ) = 250
    include_timestamps: (
        Annotated[bool, about("Timestamps", "Adds the time of each word.")] | None
    ) = False
    include_language_detection: (
        Annotated[bool, about("Language detection", "Reports the language that was spoken.")] | None
    ) = False
    manual_commit_silence_secs: (
        Annotated[
            float,
            Meta(ge=0.5, le=5.0),
            about("Manual commit", "Silence before the runtime makes the text final.", "seconds"),
        ]
        | None
    ) = 1.5
    manual_commit_short_silence_secs: (
        Annotated[
            float,
            Meta(ge=0.3, le=2.0),
            about("Manual commit, short", "The same, after a short utterance.", "seconds"),
        ]
        | None
    ) = 0.8


class SpeechmaticsSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``speechmatics`` STT provider."""

    region: Annotated[str, about("Region", "Region of the provider's servers.")] | None = "us"
    max_delay: (
        Annotated[
            float,
            Meta(ge=0.5, le=10.0),
            about("Longest delay", "Time within which text must be final.", "seconds"),
        ]
        | None
    ) = 1.0
    enable_partials: (
        Annotated[
            bool, about("Partial results", "Reports text while the caller is still speaking.")
        ]
        | None
    ) = True
    remove_disfluencies: (
        Annotated[bool, about("Remove filler words", 'Leaves out "um" and the like.')] | None
    ) = True
    enable_diarization: (
        Annotated[bool, about("Tell speakers apart", "Marks who said what.")] | None
    ) = False
    speaker_diarization_max_speakers: (
        Annotated[
            int,
            Meta(ge=1, le=10),
            about("Most speakers", "Most speakers that are told apart.", "speakers"),
        ]
        | None
    ) = 2
    additional_vocab: (
        Annotated[list[str], about("Vocabulary", "Words to recognize more readily.")] | None
    ) = field(default_factory=list)
    utterance_silence_timeout: (
        Annotated[
            float,
            Meta(ge=0.3, le=5.0),
            about("Silence timeout of an utterance", "Silence that ends an utterance.", "seconds"),
        ]
        | None
    ) = 1.0


class SonioxSTTConfig(Struct, frozen=True, kw_only=True):
    """Only for the ``soniox`` STT provider."""

    language_hints: (
        Annotated[list[str], about("Language hints", "Languages that callers are likely to speak.")]
        | None
    ) = None
    enable_endpoint_detection: (
        Annotated[bool, about("Endpoint detection", "Finds the end of an utterance.")] | None
    ) = True
    max_endpoint_delay_ms: (
        Annotated[
            int,
            Meta(ge=500, le=3000),
            about("Longest endpoint delay", "Time within which an utterance must end.", "ms"),
        ]
        | None
    ) = 2000
    enable_speaker_diarization: (
        Annotated[bool, about("Tell speakers apart", "Marks who said what.")] | None
    ) = False
    enable_language_identification: (
        Annotated[bool, about("Language identification", "Reports the language that was spoken.")]
        | None
    ) = False
    context_terms: (
        Annotated[list[str], about("Context terms", "Terms that callers are likely to use.")] | None
    ) = None
    context_text: (
        Annotated[str, about("Context", "What calls are about, in a few sentences.")] | None
    ) = None
    context_general: (
        Annotated[
            list[dict[str, str]],
            about("Context details", "Facts about the call, as names and values."),
        ]
        | None
    ) = None
    context_translation_terms: (
        Annotated[
            list[dict[str, str]], about("Translation terms", "Terms with the translations to use.")
        ]
        | None
    ) = None
    translation_type: (
        Annotated[str, about("Translation", "Kind of translation; empty for none.")] | None
    ) = None
    translation_target_language: (
        Annotated[str, about("Translate to", "Language to translate to.")] | None
    ) = None
    translation_language_a: (
        Annotated[str, about("Two-way translation, first language", "One of the two languages.")]
        | None
    ) = None
    translation_language_b: (
        Annotated[str, about("Two-way translation, second language", "The other language.")] | None
    ) = None
    num_channels: (
        Annotated[
            int, Meta(ge=1, le=2), about("Audio channels", "Channels of sound that are sent.")
        ]
        | None
    ) = 1
    utterance_silence_timeout: (
        Annotated[
            float,
            Meta(ge=0.3, le=5.0),
            about("Silence timeout of an utterance", "Silence that ends an utterance.", "seconds"),
        ]
        | None
    ) = 1.0


class SpeculativeConfig(Struct, frozen=True, kw_only=True):
    """Start the LLM on partial transcripts."""

    enable_speculative_llm: Annotated[
        bool, about("Answer early", "Starts the model on what the caller has said so far.")
    ] = False
    speculative_stream_to_tts: Annotated[
        bool, about("Speak early answers", "Starts speaking before the transcript is final.")
    ] = True
    speculative_debounce_ms: Annotated[
        int,
        Meta(ge=100, le=1000),
        about("Pause before answering early", "Time without new words before it starts.", "ms"),
    ] = 300
    speculative_min_words: Annotated[
        int,
        Meta(ge=1, le=10),
        about("Words before answering early", "Words the caller must have said.", "words"),
    ] = 3
    speculative_similarity_threshold: Annotated[
        float,
        Meta(ge=0.5, le=1.0),
        about("Similarity to keep an early answer", "How alike the final text must be."),
    ] = 0.85


class STTSettings(Struct, frozen=True, kw_only=True):
    """Settings for Speech-to-Text (STT) service."""

    provider: (
        Annotated[str, about("Transcription provider", "Service that turns speech into text.")]
        | None
    ) = "deepgram"
    model: Annotated[str, about("Transcription model", "Model of the transcription provider.")] = (
        "nova-2"
    )
    language: Annotated[str, about("Language", "Language that callers speak, such as en-US.")] = (
        "en-US"
    )
    punctuate: Annotated[bool, about("Punctuation", "Adds punctuation to transcripts.")] = True
    interim_results: Annotated[
        bool, about("Interim results", "Reports text while the caller is still speaking.")
    ] = True
    endpointing: Annotated[STTEndpointingSettings, about("End of turn")] = field(
        default_factory=STTEndpointingSettings
    )
    utterance_end_ms: Annotated[
        int,
        Meta(ge=100, le=10000),
        about("End of utterance", "Gap between words that ends an utterance.", "ms"),
    ] = 1000
    vad_turnoff: Annotated[
        int,
        NEXT_TURN,
        about("Voice detection turnoff", "Silence after which voice detection turns off.", "ms"),
    ] = 500
    smart_format: Annotated[
        bool, about("Smart format", "Writes dates, times and amounts as people do.")
    ] = True
    keywords: Annotated[
        list[Keyword], about("Keywords", "Words to recognize more readily, each with its boost.")
    ] = field(default_factory=list)
    keyterms: Annotated[list[str], about("Key terms", "Terms to recognize more readily.")] = field(
        default_factory=list
    )
    diarize: Annotated[bool, about("Tell speakers apart", "Marks who said what.")] = False
    detect_entities: Annotated[
        bool, about("Detect entities", "Marks names, places and numbers.")
    ] = False
    audio_denoising: Annotated[
        bool, about("Noise reduction", "Removes noise before speech is transcribed.")
    ] = False
    flux_config: Annotated[FluxConfig, about("Deepgram Flux")] | None = None
    elevenlabs_config: Annotated[ElevenLabsSTTConfig, about("ElevenLabs")] | None = None
    speechmatics_config: Annotated[SpeechmaticsSTTConfig, about("Speechmatics")] | None = None
    soniox_config: Annotated[SonioxSTTConfig, about("Soniox")] | None = None
    speculative_config: Annotated[SpeculativeConfig, NEXT_TURN, about("Early answers")] | None = (
        None
    )
    utterance_timeout_seconds: (
        Annotated[
            float,
            Meta(ge=0.3, le=5.0),
            NEXT_TURN,
            about("Utterance timeout", "Silence after which an utterance has ended.", "seconds"),
        ]
        | None
    ) = None
    incomplete_utterance_detection: (
        Annotated[
            bool,
            NEXT_TURN,
            about("Detect unfinished sentences", "Waits when a sentence seems unfinished."),
        ]
        | None
    ) = False
    provider_config: (
        Annotated[
            FreeForm,
            about(
                "Extra transcription options", "Further options, sent to the provider as they are."
            ),
        ]
        | None
    ) = field(default_factory=dict)
    prefer_flux_for_english: (
        Annotated[
            bool, about("Prefer Flux for English", "Uses Deepgram Flux when callers speak English.")
        ]
        | None
    ) = False
    english_flux_config: Annotated[FluxConfig, about("Deepgram Flux for English")] | None = None
