"""A web server of a test, which sees every request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Serves on a free port of loopback, which is the value; ``answer`` is asked whatever the method, host and path.

    An answer that its visitor no longer waits for is cancelled.
    """
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
