"""Organizations, users, API keys and sessions: who calls."""
