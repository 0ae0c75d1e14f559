"""Assistants: read, change, go back, restore."""
