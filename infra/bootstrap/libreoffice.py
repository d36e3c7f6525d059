"""See to it that LibreOffice is here for the tests that open exports in it, where we may install it.

Run as ``python -m infra.bootstrap.libreoffice`` by ``make test`` alone: nothing else needs it. Without it those tests
are skipped, and say so.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from infra.bootstrap import apt
from infra.bootstrap.console import exit_status, say

PACKAGE = "libreoffice-calc-nogui"  # 90 MB to fetch, 276 MB on disk: Calc and its filters, and no windows
MACOS = Path("/Applications/LibreOffice.app/Contents/MacOS/soffice")


def main() -> int:
    """Exit status 0 whether or not it could be had."""
    return exit_status(_install)


def _install() -> None:
    if find() is None and not apt.install(PACKAGE):
        say(f"without LibreOffice the tests that open exports in it are skipped. {how_to_get()}")


def find() -> str | None:
    """The command that starts LibreOffice."""
    return shutil.which("soffice") or shutil.which("libreoffice") or (str(MACOS) if MACOS.exists() else None)


def how_to_get() -> str:
    """What a person types to get it."""
    return f"To have it: {apt.command(PACKAGE)}, or the package of libreoffice.org"


if __name__ == "__main__":
    sys.exit(main())
