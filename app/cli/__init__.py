"""The ``backstory`` command, one file a group of commands."""
