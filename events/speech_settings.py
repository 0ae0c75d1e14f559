"""The settings of speech: text to speech, and speech to text with its providers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from events.setting_types import FreeForm


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
