"""``python -m tests.stack_for_clients [--chrome]``: a stack for the tests of clients that are not written in Python.

Two replicas, one node, the sample town and the sites of ``tests.faults.site``. Streams and calls do not care what
fetches pages: only ``--chrome`` gives the node real browsers, for tests that look at pictures.

The first line on standard output is JSON: ``{url, replicas, key}``; ``url`` is a TCP proxy, as a load balancer or a bad
line would be, which leads to the first replica. Then each line on standard input is one command,
``["name", argument…]``, answered by one line of JSON. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from fleet.keys import Keys
from infra.stack import probes
from infra.stack.options import Options
from infra.stack.stack import Stack
from tests.faults.fleet import CHROMELESS
from tests.faults.site import Sites, sites
from tests.support import wait_until
from tests.tcp_proxy import TcpProxy

FLEET = "clients"
READY_S = 60.0


class Commands:
    """What a test can have happen. Each method is a command."""

    def __init__(self, stack: Stack, proxy: TcpProxy, site: Sites, store: Redis) -> None:
        self._stack, self._proxy, self._site, self._store = stack, proxy, site, store

    async def kill(self, replica: int) -> None:
        """SIGKILL a replica, counted from 0; its supervisor starts it again."""
        self._stack.kill(f"control-plane-{replica + 1}")

    async def ready(self, replica: int) -> None:
        """Wait until a replica answers."""
        url = self._stack.urls[replica]
        await wait_until(lambda: probes.api_ready(url, self._stack.api_key), READY_S, f"replica {replica} to be ready")

    async def route(self, replica: int) -> None:
        """Have new connections lead to a replica."""
        self._proxy.target = _port(self._stack.urls[replica])

    async def line(self, what: str) -> None:
        """``reset``, ``cut``, ``heal``, ``hold``, ``release`` or ``refuse`` the proxy's connections."""
        if what not in {"reset", "cut", "heal", "hold", "release", "refuse"}:
            raise ValueError(f"a line cannot {what}")
        getattr(self._proxy, what)()

    async def connections(self) -> int:
        """How many connections the proxy has taken so far."""
        return self._proxy.connections

    async def hold(self) -> None:
        """From now on the sites answer their homes only."""
        self._site.hold()

    async def let_go(self) -> None:
        """The sites answer everything, also what waits."""
        self._site.let_go()

    async def visits(self, host: str) -> int:
        """How often pages of a site were asked for, those included that are held."""
        return self._site.of(host)

    async def typed(self, host: str) -> str | None:
        """What stands in the field of a ``form….site.test``; None before its page was shown."""
        return self._site.typed[host][1] if host in self._site.typed else None

    async def events(self, task: str) -> list[str]:
        """The ids of a task's events as the store has them."""
        entries: list[Any] = await self._store.xrange(Keys(FLEET).events(task))
        return [entry.decode() for entry, _ in entries]

    async def trim(self, task: str, keep: int) -> None:
        """Have the store forget all but the newest events of a task."""
        await self._store.xtrim(Keys(FLEET).events(task), maxlen=keep, approximate=False)


async def main() -> None:
    async with contextlib.AsyncExitStack() as running:
        state = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="leadfleet-clients-")))
        site = await running.enter_async_context(sites())
        allow = (f"*.site.test=127.0.0.1:{site.port}",)
        options = Options(state=state, fleet=FLEET, replicas=2, nodes=1, slots=1, town=True, egress_allow=allow)
        if "--chrome" not in sys.argv[1:]:
            options = replace(options, slots=4, programs=CHROMELESS)
        stack = await running.enter_async_context(Stack(options))
        proxy = await running.enter_async_context(TcpProxy(_port(stack.url)))
        store = await running.enter_async_context(Redis.from_url(stack.redis_url))
        commands = Commands(stack, proxy, site, store)
        url = f"http://127.0.0.1:{proxy.port}"
        _say({"url": url, "replicas": stack.urls, "key": stack.api_key})
        async for line in _lines():
            name, *arguments = json.loads(line)
            try:
                _say({"ok": await getattr(commands, name)(*arguments)})
            except Exception as exc:
                _say({"error": repr(exc)})


async def _lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


if __name__ == "__main__":
    asyncio.run(main())
