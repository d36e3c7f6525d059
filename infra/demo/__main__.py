"""``python -m infra.demo``: the stack, the sample town, one task through the public API, ``leads.csv``."""

from __future__ import annotations

import sys
import time

INTERRUPTED = 130  # as `infra.stack.interrupt`, which imports asyncio


def main() -> int:
    """The exit status. Says what happens before it imports the rest, which takes seconds from a cold disk."""
    began = time.monotonic()
    try:
        print("starting Valkey, S3, control plane, one node with 2 Chromes, and the sample town …", flush=True)
        from infra.demo.run import run

        return run(began)
    except KeyboardInterrupt:  # before `until_interrupted` took the signals over: nothing has been started
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
