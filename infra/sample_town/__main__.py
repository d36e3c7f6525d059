"""``python -m infra.sample_town``: serve the town, or write its truth."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal

from infra.sample_town.businesses import build_town
from infra.sample_town.server import TownServer
from infra.sample_town.truth import TRUTH_PATH, truth_text


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m infra.sample_town", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on; a container has one of its own")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (the default) takes a free one")
    parser.add_argument("--ready-fd", type=int, default=1, help="where the JSON line goes that says it is ready")
    parser.add_argument("--write-truth", action="store_true", help=f"write {TRUTH_PATH.name} and exit")
    arguments = parser.parse_args()
    if arguments.write_truth:
        TRUTH_PATH.write_text(truth_text(build_town()), encoding="utf-8")
    else:
        asyncio.run(_serve(arguments.bind, arguments.port, arguments.ready_fd))


async def _serve(bind: str, port: int, ready_fd: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with TownServer(port, bind) as town:
        os.write(ready_fd, json.dumps({"url": town.url, "port": town.port}).encode() + b"\n")
        await stopped.wait()


if __name__ == "__main__":
    main()
