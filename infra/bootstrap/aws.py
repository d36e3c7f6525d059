"""Install what `infra/aws/check.sh` needs beside ``.venv``: SAM and checkov want different boto3.

Run as ``python -m infra.bootstrap.aws``; quick when nothing has changed.
"""

from __future__ import annotations

import sys

from infra.bootstrap.console import exit_status
from infra.bootstrap.environment import REPOSITORY, ensure_tools

TOOLS = ("aws", "checkov")
"""Locks in ``requirements``, and folders under ``build/tools``."""


def main() -> int:
    """Exit status 1 with a sentence on stderr when pip failed."""

    def install() -> None:
        for name in TOOLS:
            ensure_tools(REPOSITORY / "build" / "tools" / name, REPOSITORY / "requirements" / f"{name}.lock")

    return exit_status(install)


if __name__ == "__main__":
    sys.exit(main())
