"""kill -9 of the process that has a webhook in its hands."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from tests.integration.control_plane.api.conftest import KEY, START_TIMEOUT_S, Client, lists_tasks, responds
from tests.integration.control_plane.conftest import Start
from tests.integration.control_plane.webhooks.conftest import QUERY, Owed, Receiver
from tests.servers import ValkeyServer
from tests.support import free_port, wait_until


async def test_a_killed_process_loses_no_webhook_and_logs_no_url(
    start: Start, owed: Owed, receiver: Receiver, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    receiver.held = asyncio.Event()
    bind = f"127.0.0.1:{free_port()}"
    process = await start(
        redis_url=valkey_server.url, bind=bind, bootstrap_key=KEY, fleet="test", state=str(tmp_path),
        log_level="debug", secret="r" * 32, egress_allow=f"a.test=127.0.0.1:1,{receiver.allowance}",
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        client = Client(session, f"http://{bind}", KEY)
        await wait_until(lambda: responds(session, client.url), timeout=START_TIMEOUT_S)
        await wait_until(lambda: lists_tasks(client), description="the bootstrap key to be stored")
        task = await client.start("http://a.test/", webhook_url=receiver.url)
        await client.post(f"/api/scraper/stop/{task}")
        await wait_until(lambda: receiver.asked, description="the webhook to be under way")
        process.send_signal(signal.SIGKILL)
        await process.wait()

    receiver.held.set()
    survivor = owed.sender(receiver)
    await owed.make_due()
    assert await survivor.claim() == 1

    async def delivered() -> bool:
        found = (await owed.queue.status("default", task)).webhook
        return found is not None and found.state == "delivered"

    await wait_until(delivered)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert QUERY.encode() not in log
    first, second = receiver.asked
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
