"""``python -m infra.upgrade``: upgrade a stack of its own under load to the next version of the messages; 1 when
a request failed, a task was lost or an event was missed."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from infra.stack.errors import StackError
from infra.stack.interrupt import until_interrupted
from infra.upgrade.rollout import upgrade


def main() -> int:
    async def work(_: asyncio.Event) -> int:
        with tempfile.TemporaryDirectory(prefix="leadfleet-upgrade-") as state:
            try:
                report = await upgrade(Path(state), lambda line: print(line, flush=True))
            except StackError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
        print(f"\n{report}")
        return 0 if report.well else 1

    return asyncio.run(until_interrupted(work))


if __name__ == "__main__":
    sys.exit(main())
