"""A site that wants a person: its number is shown to who clicks a button and types a code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from tests.sites import answering
from tests.support import wait_until

CODE = "471é"
"""Keys, and a character that comes as text."""

FIELD_COLOUR = "#7a00ff"
"""Of the field that the button brings up, and of nothing else on the page."""

PATIENCE_S = 120.0
"""A Chrome that shares its cores takes long to come up, and to answer."""

PAGE = """<!doctype html><title>Praxis Dr. Stein</title>
<style>
  * { margin: 0 }
  button, input { position: fixed; width: 20vw; height: 20vh }
  button { left: 70vw; top: 60vh }
  input { border: 0; outline: 0; background: COLOUR }
</style>
<h1>Praxis Dr. Stein</h1><button>I am no robot</button><input hidden>
<script>
  const say = what => fetch("/said/" + what, {method: "POST"}), input = document.querySelector("input");
  document.querySelector("button").onclick = () => { input.hidden = false; input.focus(); say("clicked"); };
  document.onclick = event => { if (event.target.tagName != "BUTTON") say("missed"); };
  document.onpaste = event => { say("pasted"); };
  document.onwheel = event => { say("wheel-" + event.deltaY); };
  input.onkeydown = event => {
    if (event.key != "Enter" || input.value != "CODE") return;
    document.querySelector("h1").insertAdjacentHTML("afterend", '<p><a href="tel:+493031804711">030 31804711</a></p>');
    say("solved");
  };
  // what is clicked before the first frame is drawn, Chrome drops: nobody can have seen what they click on
  requestAnimationFrame(() => requestAnimationFrame(() => say("shown")));
</script>""".replace("CODE", CODE).replace("COLOUR", FIELD_COLOUR)


FIXED, FLOWING = "+493023125801", "+493023125802"
PATCHES = {FIXED: "#ff00c8", FLOWING: "#00c8ff"}
"""The colours around the numbers of ``tall.door.test``."""

TALL = """<!doctype html><title>Praxis Dr. Hoch</title>
<style>
  body { margin: 0; font: 22px sans-serif }
  header { position: fixed; top: 100px; left: 0; right: 0; padding: 20px; background: white }
  span { padding: 10px 20px }
</style>
<header>Praxis Dr. Hoch <span style="background: FIXED">+49 30 23125801</span></header>
<p style="margin: 500px 40px 3000px"><span style="background: FLOWING">+49 30 23125802</span></p>
""".replace("FIXED", PATCHES[FIXED]).replace("FLOWING", PATCHES[FLOWING])


class Door:
    """A site at every ``*.door.test`` whose page comes when it is let, and tells what is done to it."""

    def __init__(self) -> None:
        self.port = 0
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.said: list[str] = []

    def close(self) -> None:
        """As if nobody had been there."""
        self.asked.clear()
        self.open.clear()
        self.said.clear()

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.startswith("/said/"):
            self.said.append(request.path.removeprefix("/said/"))
            return web.Response()
        if request.path != "/":
            return web.Response(status=404)
        self.asked.set()
        await self.open.wait()
        return web.Response(text=TALL if request.host.startswith("tall.") else PAGE, content_type="text/html")

    async def is_asked(self) -> None:
        """Wait for a browser at the door: the first one has yet to come up."""
        await wait_until(self.asked.is_set, PATIENCE_S, "a browser to ask for the page")

    async def hears(self, what: str) -> None:
        await wait_until(lambda: what in self.said, PATIENCE_S, f"the page to say {what!r}, not only {self.said}")


@contextlib.asynccontextmanager
async def door_site() -> AsyncIterator[Door]:
    """A door that serves."""
    door = Door()
    async with answering(door.answer) as door.port:
        yield door
