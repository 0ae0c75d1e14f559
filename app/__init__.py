"""How the world reaches Backstory: HTTP, CLI, configuration and wiring."""
