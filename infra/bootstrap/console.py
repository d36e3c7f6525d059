"""How the set-up talks: one line a step, and an error that says what to type."""

from __future__ import annotations

import sys


class SetupError(Exception):
    """The set-up cannot go on; the message says what is missing and which command provides it."""


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
