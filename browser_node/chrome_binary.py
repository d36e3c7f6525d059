"""Which Chrome to launch: the one that is named, one that is installed, or one that Playwright downloaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETTING = "LEADFLEET_CHROME"

COMMANDS = (
    "google-chrome-stable",
    "google-chrome",
    "chromium",
    "chromium-browser",
    "microsoft-edge-stable",
    "microsoft-edge",
)

# where packages put the browser when its command is not on PATH, as under cron or in a slim container
WELL_KNOWN = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/opt/microsoft/msedge/msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)

# inside one `chromium-<revision>` folder of Playwright's cache; the names differ by platform and by age
PLAYWRIGHT_BINARIES = (
    "chrome-linux64/chrome",
    "chrome-linux/chrome",
    "chrome-mac-arm64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
    "chrome-mac-x64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
    "chrome-mac/Chromium.app/Contents/MacOS/Chromium",
)

VERSION_TIMEOUT_S = 20  # `--version` takes 0.1 s, and many times that from a cold disk


@dataclass(frozen=True, slots=True)
class ChromeBinary:
    """An executable that was found, and how: the setting's name, ``installed`` or ``playwright``."""

    path: Path
    found_by: str


class ChromeUnusable(Exception):
    """A Chrome that was named or found does not run."""

    def __init__(self, path: str | Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} is not a Chrome that runs here: {why}")


def find_chrome() -> ChromeBinary | None:
    """The Chrome to use on this machine, or None when there is none. Only looks at files; starts nothing.

    Raises `ChromeUnusable` when ``LEADFLEET_CHROME`` is set and names no executable: falling back in silence
    would hide the mistake.
    """
    named = os.environ.get(SETTING)
    if named:
        path = shutil.which(Path(named).expanduser())
        if path is None:
            raise ChromeUnusable(named, f"{SETTING} names it, and it is no executable file")
        return ChromeBinary(Path(path), SETTING)
    for candidate in _installed():
        if not is_snap(candidate):
            return ChromeBinary(candidate, "installed")
    for candidate in _downloaded_by_playwright():
        return ChromeBinary(candidate, "playwright")
    return None


def chrome_version(chrome: ChromeBinary) -> str:
    """What ``--version`` prints, such as ``Chromium 156.0.8078.79``.

    Raises `ChromeUnusable` with the program's own words, such as the library that is missing.
    """
    command = [str(chrome.path), "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChromeUnusable(chrome.path, str(error)) from error
    found = re.search(r"[A-Z][\w ]* \d+(?:\.\d+)+", done.stdout)
    if done.returncode != 0 or found is None:
        raise ChromeUnusable(chrome.path, (done.stderr or done.stdout).strip()[-300:] or "it prints no version")
    return found[0]


def is_snap(path: Path) -> bool:
    """Whether ``path`` is a snap, or Ubuntu's package that only forwards to one.

    A snap is confined: it neither sees our profile folders nor shares /tmp with us, so it cannot be driven.
    """
    target = path.resolve()
    if target.name == "snap" or "snap" in target.parts[1:2]:
        return True
    with target.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"#!") and b"/snap/bin/" in head


def playwright_cache() -> Path:
    """The folder Playwright downloads browsers to."""
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if configured and configured != "0":
        return Path(configured)
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / caches / "ms-playwright"


def _installed() -> Iterator[Path]:
    for command in COMMANDS:
        path = shutil.which(command)
        if path is not None:
            yield Path(path)
    for name in WELL_KNOWN:
        if os.access(name, os.X_OK):
            yield Path(name)


def _downloaded_by_playwright() -> Iterator[Path]:
    """Newest revision first. INSTALLATION_COMPLETE is written last: a cut-off download is not taken."""
    folders = [f for f in playwright_cache().glob("chromium-*") if (f / "INSTALLATION_COMPLETE").exists()]
    for folder in sorted(folders, key=_revision, reverse=True):
        for name in PLAYWRIGHT_BINARIES:
            if os.access(folder / name, os.X_OK):
                yield folder / name


def _revision(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
