"""The ``backstory`` command, a module for each group of commands."""
