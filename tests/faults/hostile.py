"""Pages that do to a browser what they can."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from tests.sites import answering

MEMORY = """<!doctype html><title>memory</title><p>+1 212 555 0100<script>
const kept = [];
for (;;) {
  kept.push(new Uint8Array(8 << 20).fill(kept.length));
  for (const until = performance.now() + 5; performance.now() < until;);
}
</script>"""
"""Takes up to a gigabyte a second outside of JavaScript's own heap, where V8 has no limit, and never ends."""

POPUPS = """<!doctype html><title>popups</title><script>
for (let i = 0; ; i++) { open('/popup/' + i); }
</script>"""

DIALOGS = """<!doctype html><title>dialogs</title><script>
for (;;) { alert('stay'); confirm('really?'); }
</script>"""

DOWNLOAD_BYTES = 1 << 30


class Hostile:
    """A hostile site each at ``memory``, ``popups``, ``dialogs``, ``download`` and ``redirect`` of ``hostile.test``."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: Counter[str] = Counter()
        self.sent = 0
        """Bytes of downloads that were sent."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind = request.host.partition(".")[0]
        if request.path in {"/robots.txt", "/sitemap.xml", "/favicon.ico"}:
            return web.Response(status=404)
        self.asked[kind] += 1
        if kind == "download":
            return await self._download(request)
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": f"/again/{self.asked[kind]}"})
        pages = {"memory": MEMORY, "popups": POPUPS, "dialogs": DIALOGS}
        return web.Response(text=pages[kind] if request.path == "/" else "<p>popup", content_type="text/html")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Disposition": "attachment; filename=all.zip", "Content-Length": str(DOWNLOAD_BYTES)}
        answer = web.StreamResponse(headers=headers)
        answer.content_type = "application/zip"
        await answer.prepare(request)
        piece = bytes(1 << 20)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            for _ in range(DOWNLOAD_BYTES // len(piece)):
                await answer.write(piece)
                self.sent += len(piece)
        return answer


@contextlib.asynccontextmanager
async def hostile_sites() -> AsyncIterator[Hostile]:
    """They serve."""
    made = Hostile()
    async with answering(made.answer) as made.port:
        yield made
