"""Small business sites that know who asked for what, and whose pages can be held back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from tests.sites import answering

PAGES = 6
"""Pages of a site: its home, and contact pages that it links to."""

ALL = "*"

FORM = """<input style="position: fixed; left: 40vw; top: 40vh; width: 20vw; height: 20vh">
<script>
  const input = document.querySelector("input");
  let count = 0;
  const say = () => fetch("/typed", {method: "POST", body: `${++count} ${input.value}`});
  input.oninput = say;
  say();
</script>"""


class Sites:
    """A site of ``PAGES`` pages at every ``*.site.test``; each page shows a phone number of its own.

    Pages of ``spins….site.test`` never let go of their thread. Those of ``form….site.test`` are all held back by
    ``hold``, and have a field in their middle, whose text is in ``typed``.
    """

    def __init__(self) -> None:
        self.port = 0
        self.visits: Counter[str] = Counter()
        """By ``host/path``: how often a page was asked for."""
        self.typed: dict[str, tuple[int, str]] = {}
        """By host: what its field said last, and the how manieth time that was."""
        self._held: set[str] = set()
        self._let_go = asyncio.Event()

    def hold(self, *hosts: str) -> None:
        """From now on contact pages (of these hosts, or of all) are answered after ``let_go`` only; homes at once."""
        self._held.update(hosts or {ALL})

    def let_go(self, *hosts: str) -> None:
        """Answer what waits: of hosts that were held by name, or everything."""
        self._held = self._held - set(hosts) if hosts else set()
        self._let_go.set()
        self._let_go = asyncio.Event()

    def of(self, host: str) -> int:
        """How often pages of a site were asked for."""
        return sum(times for page, times in self.visits.items() if page.startswith(f"{host}/"))

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/typed":
            count, _, text = (await request.text()).partition(" ")
            self.typed[request.host] = max(self.typed.get(request.host, (0, "")), (int(count), text))
            return web.Response()
        paths = ["/", *(f"/contact/{number}" for number in range(1, PAGES))]
        if request.path not in paths:
            return web.Response(status=404)
        self.visits[f"{request.host}{request.path}"] += 1
        number = paths.index(request.path)
        name = request.host.partition(".")[0]
        while (number or name.startswith("form")) and self._held & {ALL, request.host}:
            await self._let_go.wait()
        if name.startswith("spins"):
            return web.Response(text="<script>for (;;);</script>", content_type="text/html")
        links = "".join(f'<li><a href="{path}">Contact {path[-1]}</a></li>' for path in paths[1:]) if not number else ""
        serial = int(name.rpartition("-")[2]) if name.rpartition("-")[2].isdigit() else 0
        phone = f"+1 {212 + serial // 1000 % 10} 555 {serial % 100:02}{number:02}"
        body = (
            f"<!doctype html><html lang=en><title>{name} {number}</title><h1>{name}</h1><ul>{links}</ul>"
            f'<p>Call us: <a href="tel:{phone}">{phone}</a></p>'
        )
        if name.startswith("form"):
            body += FORM
        return web.Response(text=body, content_type="text/html")


@contextlib.asynccontextmanager
async def sites() -> AsyncIterator[Sites]:
    """Sites that serve."""
    made = Sites()
    async with answering(made.answer) as made.port:
        yield made
