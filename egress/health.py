"""Whether the proxy of this container takes connections. ``python -m egress.health`` exits 0 or 1."""

from __future__ import annotations

import os
import sys
import urllib.request

from egress.settings import BadSettings, Settings
from fleet.environment import BadSettingFile

TIMEOUT_S = 4


def is_ready(settings: Settings) -> bool:
    """Asks the process that listens where ``settings`` say, on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    place = f"[{host}]" if ":" in host else host
    # the environment's proxies are none of this machine's business
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}:{settings.port}/health", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except (BadSettings, BadSettingFile) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - the engine keeps what a health check prints
        return 1
    return 0 if is_ready(settings) else 1


if __name__ == "__main__":
    sys.exit(main())
