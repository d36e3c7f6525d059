"""An agent whose wall clock is off, by libfaketime; durations (the monotonic clock) stay true, as on real machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import libfaketime
import pytest

LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


def moved(off: timedelta, chrome: Path, directory: Path) -> dict[str, str]:
    """Variables of an agent whose clock is off by ``off``; skips where the library does not fit this machine.

    Its Chromes keep the right time: they do not start over a library that is loaded before their own.
    """
    wrapper = directory / "chrome"
    wrapper.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec "{chrome}" "$@"\n')
    wrapper.chmod(0o755)
    variables = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": f"{off.total_seconds():+.0f}s",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=os.environ | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if abs(float(said.stdout) - time.time() - off.total_seconds()) > abs(off.total_seconds()) / 2:
        pytest.skip("libfaketime of the wheel is not for this machine")
    return variables | {"LEADFLEET_CHROME": str(wrapper)}


def said_times(log: Path) -> list[datetime]:
    """The times that a node wrote into its log."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [datetime.fromisoformat(line["timestamp"]) for line in lines]
