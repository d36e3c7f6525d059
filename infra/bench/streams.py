"""Hundreds of clients on one task's events: from the store's time of an event until the last of them has it."""

from __future__ import annotations

from infra.bench.child import serving
from infra.bench.fake_nodes import Habits
from infra.bench.listeners import Crowd, Heard, listen
from infra.bench.overload import fakes, stack_for, start
from infra.bench.rows import Row
from infra.sample_town import DIRECTORY_URL

CLIENTS, BATCHED_CLIENTS, BATCH_MS = 300, 1_000, 200
LISTEN_S = 15.0
EACH_S = 0.05
"""Between two events: 20 a second."""

MESSAGE_BYTES = 200
"""What the bare server sends: much what an event of a log has."""

_BARE = """
import asyncio, json, sys, time
import uvloop
from websockets.asyncio.server import broadcast, serve
every, size = float(sys.argv[1]), int(sys.argv[2])
async def client(socket):
    await socket.send("{}")
    await socket.wait_closed()
async def main():
    async with serve(client, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        number = 0
        while True:
            await asyncio.sleep(every)
            number += 1
            message = {"id": f"{int(time.time() * 1000)}-{number}", "text": "x" * size}
            broadcast(server.connections, json.dumps(message))
uvloop.run(main())
"""


async def streams() -> list[Row]:
    """300 clients with a message an event, 1,000 with batches of 200 ms, of one replica; and a server that does nothing
    else than to send the same to all."""
    habits = Habits(page_s=2 * EACH_S, logs=1, jpeg_bytes=0)
    async with stack_for() as stack, fakes(stack, 1, habits):
        task = await start(stack, DIRECTORY_URL)
        url = f"{stack.url.replace('http', 'ws', 1)}/api/scraper/ws/events/{task}"
        each = await listen(Crowd(url, CLIENTS, LISTEN_S, stack.api_key))
        batched = await listen(Crowd(f"{url}?batch_ms={BATCH_MS}", BATCHED_CLIENTS, LISTEN_S, stack.api_key))
    async with serving(_BARE, str(1 / each.per_s), str(MESSAGE_BYTES)) as port:
        bare = await listen(Crowd(f"ws://127.0.0.1:{port}/", CLIENTS, LISTEN_S))
    return [
        *_rows("streams_300", each, bare),
        *_rows("streams_1000_batched", batched, None),
        Row("streams_300_bare_p99_ms", bare.p99_ms, "ms"),
    ]


def _rows(name: str, heard: Heard, bare: Heard | None) -> list[Row]:
    ratio = None if bare is None or not bare.p99_ms else heard.p99_ms / bare.p99_ms
    return [
        Row(f"{name}_p50_ms", heard.p50_ms, "ms"),
        Row(f"{name}_p99_ms", heard.p99_ms, "ms", ratio, None if bare is None else "a bare websockets broadcast"),
        Row(f"{name}_events_per_client", heard.per_s, "1/s"),
        Row(f"{name}_lost", heard.lost, ""),
        Row(f"{name}_twice", heard.twice, ""),
    ]
