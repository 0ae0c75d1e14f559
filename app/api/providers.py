"""The LLM providers that clients offer for choice. Any other name is accepted in settings."""

from __future__ import annotations

from typing import Any

PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {
        "name": "OpenAI",
        "models": ["gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini"],
        "default_model": "gpt-4o-mini",
    },
    "azure": {"name": "Azure OpenAI", "models": [], "default_model": None},
    "azure_ai_foundry": {"name": "Azure AI Foundry", "models": [], "default_model": None},
    "anthropic": {
        "name": "Anthropic",
        "models": ["claude-3-5-sonnet-latest", "claude-3-5-haiku-latest"],
        "default_model": "claude-3-5-sonnet-latest",
    },
    "gemini": {
        "name": "Google Gemini",
        "models": ["gemini-2.0-flash", "gemini-1.5-pro"],
        "default_model": "gemini-2.0-flash",
    },
    "groq": {
        "name": "Groq",
        "models": ["llama-3.3-70b-versatile", "llama-3.1-8b-instant"],
        "default_model": "llama-3.3-70b-versatile",
    },
    "xai": {"name": "xAI", "models": ["grok-2-latest"], "default_model": "grok-2-latest"},
    "custom": {"name": "Custom (OpenAI-compatible)", "models": [], "default_model": None},
    "custom_websocket": {"name": "Custom WebSocket", "models": [], "default_model": None},
}
