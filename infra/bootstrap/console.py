"""How the set-up talks: one line a step, and an error that says what to type."""

from __future__ import annotations

import sys
from collections.abc import Callable


class SetupError(Exception):
    """The set-up cannot go on; the message says what is missing and which command provides it."""


def exit_status(step: Callable[[], None], *failures: type[Exception]) -> int:
    """Take a step: 0, or 1 with a sentence on stderr when it ends with a `SetupError` or one of ``failures``."""
    told: tuple[type[Exception], ...] = (SetupError, *failures)
    try:
        step()
    except KeyboardInterrupt:
        return 130  # what a shell reports for Ctrl-C
    except told as error:
        print(f"\nset-up failed: {error}", file=sys.stderr)
        return 1
    return 0


def say(line: str) -> None:
    """One step, at once visible even when stdout is a pipe."""
    print(f"· {line}", flush=True)


def progress(text: str) -> None:
    """A passing state: drawn over the last one in a terminal, left out of a log."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text[:100]}", end="", flush=True)


def progress_done() -> None:
    """Remove what `progress` drew."""
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
