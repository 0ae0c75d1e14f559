"""``python -m app`` is the ``backstory`` command."""

from app.cli import main

main()
