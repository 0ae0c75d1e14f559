"""The ``backstory`` command; ``python -m app`` is the same."""

import gc
import sys

# structlog imports rich's tracebacks where it finds them, and pygments with them, which a start
# pays for. Nothing here may draw one: they show local variables, and one of them may be a secret.
sys.modules["rich.traceback"] = None  # type: ignore[assignment]  # how Python marks it as missing

_INTERRUPTED = 130  # as shells count it


def main() -> None:
    """Run the command. Its imports take most of its time, so Ctrl-C may come during them."""
    gc.disable()  # until the command is imported
    try:
        from app.cli.main import main as run  # noqa: PLC0415  # see above

        run()
    except KeyboardInterrupt:
        sys.stderr.write("backstory: interrupted\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
