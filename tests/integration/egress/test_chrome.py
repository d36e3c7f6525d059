"""A page in a real Chrome, in the namespace of the proxy, tries every way that a page has to reach what it must not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from browser_node.chrome import Chrome, ChromeSpec
from browser_node.chrome_binary import find_chrome
from tests.integration.egress.process import Process
from tests.integration.egress.test_own_fetches import CODES
from tests.integration.egress.world import WITHOUT_CHECK, World, ok, proxy_in
from tests.support import wait_until

LISTENER = 3129

WAYS = {code[:3]: ("", "Location: {}\r\n", code) for code in CODES} | {
    "meta": ('<meta http-equiv=refresh content="0;url={}">', "", "200 OK"),
    "refresh": ("<p>x", "Refresh: 0;url={}\r\n", "200 OK"),
    "location": ("<script>location = '{}'</script>", "", "200 OK"),
    "form": ("<form method=post action='{}'></form><script>document.forms[0].submit()</script>", "", "200 OK"),
    "base": ("<base href='{}'><img src=x>", "", "200 OK"),
    "frame": ("<iframe srcdoc=\"<meta http-equiv=refresh content='0;url={}'>\"></iframe>", "", "200 OK"),
    "policy": ("<img src=http://other.example/x>", "Link: <{}>; rel=preload; as=image\r\n", "200 OK"),
}
"""How a page sends its visitor on: by name, with body, header fields and status; each to an address of its own."""


def led_to(way: str) -> str:
    return f"10.{list(WAYS).index(way) + 1}.0.1"


WITHIN = 60_000
"""ms for a page with hundreds of requests on a machine that does other things too; 3 s where it does not."""

PRIVATE = ("http://10.0.0.1", "http://127.0.0.1:6379", "http://[::1]:8000", "http://n3.names-a.example")

SCRIPT = """
<!doctype html><title>hostile</title><body><script>
const targets = %s, ways = %s;
const tried = [];
document.head.append(Object.assign(document.createElement('link'), {rel: 'dns-prefetch', href: '//leak.example'}));
const quietly = work => tried.push(Promise.resolve().then(work).catch(() => {}));
for (const t of targets) {
  const ws = t.replace('http', 'ws');
  for (const tag of ['img', 'iframe', 'script', 'video', 'embed', 'audio'])
    document.body.append(Object.assign(document.createElement(tag), {src: `${t}/${tag}`}));
  for (const rel of ['stylesheet', 'prefetch', 'preconnect', 'preload', 'dns-prefetch', 'modulepreload', 'icon'])
    document.head.append(Object.assign(document.createElement('link'), {rel, href: `${t}/${rel}`, as: 'image'}));
  document.body.append(Object.assign(document.createElement('object'), {data: `${t}/object`}));
  quietly(() => fetch(`${t}/fetch`));
  quietly(() => fetch(`${t}/fetch`, {mode: 'no-cors', method: 'POST', body: 'x'}));
  quietly(() => navigator.sendBeacon(`${t}/beacon`, 'x'));
  quietly(() => import(`${t}/module`));
  quietly(() => new Promise(done => {
    const r = new XMLHttpRequest(); r.onloadend = done; r.open('GET', `${t}/xhr`); r.send();
  }));
  quietly(() => new Promise(done => {
    const s = new EventSource(`${t}/events`); s.onerror = () => { s.close(); done() };
  }));
  quietly(() => new Promise(done => { const s = new WebSocket(`${ws}/socket`); s.onclose = done; s.onerror = done }));
  quietly(() => new Worker(URL.createObjectURL(new Blob([`fetch('${t}/worker').catch(() => {})`]))));
}
for (const way of ways)
  document.body.append(Object.assign(document.createElement('iframe'), {src: `/${way}`}));
for (const server of ['stun:10.0.0.1:3478', 'stun:169.254.169.254:80', 'turn:10.0.0.1:443?transport=tcp',
                      'turn:127.0.0.1:6379?transport=tcp', 'turns:10.0.0.1:443?transport=tcp'])
  quietly(async () => {
    const peer = new RTCPeerConnection({iceServers: [{urls: server, username: 'u', credential: 'p'}]});
    peer.createDataChannel('x');
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise(done => { peer.onicegatheringstatechange = () => peer.iceGatheringState == 'complete' && done();
                                setTimeout(done, 2000) });
    peer.close();
  });
Promise.allSettled(tried).then(() => { document.title = 'tried ' + tried.length });
</script>"""


@contextlib.asynccontextmanager
async def _opened(
    trap: World, folder: Path, program: Sequence[str] = ("-m", "egress")
) -> AsyncIterator[tuple[Page, Process]]:
    """A page of a Chrome that is started as an agent starts it, but inside, and with the agent's kind of listener."""
    found = find_chrome()
    assert found is not None
    inside = folder / "chrome"
    inside.write_text(f'#!/bin/sh\nexec {" ".join(trap.inside.exec)} {found.path} "$@"\n')
    inside.chmod(0o755)
    with proxy_in(trap, program, bind=f"127.0.0.1:{LISTENER}", secret="", unit_connections="500") as process:
        spec = ChromeSpec(inside, f"127.0.0.1:{LISTENER}", os.geteuid() != 0, str(folder))
        chrome = await Chrome.launch(spec, folder / "profile")
        trap.right |= {("127.0.0.1", LISTENER), ("127.0.0.1", chrome.port)}
        try:
            async with _door(trap, chrome.port) as port, async_playwright() as playwright:
                browser = await playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
                yield browser.contexts[0].pages[0], process
                await browser.close()
        finally:
            await chrome.stop()


@contextlib.asynccontextmanager
async def _door(trap: World, inner: int) -> AsyncIterator[int]:
    """A port of ours that leads to the port ``inner`` of the namespace's loopback."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made = await asyncio.to_thread(trap.inside.connect, "127.0.0.1", inner)
        there, back = await asyncio.open_connection(sock=made)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _try_everything(trap: World, page: Page) -> None:
    """Returns when all was tried, and what leads to the public site has arrived there."""
    for way, (body, fields, status) in WAYS.items():
        target = f"http://{led_to(way)}/"
        trap.pages[f"/{way}"] = ok(body.format(target).encode(), fields.format(target), status)
    targets = json.dumps([*PRIVATE, "http://other.example"])
    trap.pages["/hostile"] = ok((SCRIPT % (targets, json.dumps(list(WAYS)))).encode())
    trap.visits.clear()
    await page.goto("http://site.example/hostile", timeout=WITHIN, wait_until="commit")
    await page.wait_for_function("document.title.startsWith('tried')", timeout=WITHIN, polling=100)
    ways = {"img", "iframe", "fetch", "xhr", "events", "worker", "beacon"}
    await wait_until(lambda: ways <= _reached(trap), 20, "what leads to the public site")


def _what_happened(trap: World, process: Process, page: Page) -> str:
    """Who waits for what: ways that the site was never asked for, what the proxy wrote down, what Chrome has open."""
    lines = [line for line in process.lines if line["event"] == "access"]
    counted = Counter((line["verdict"], line["host"], line["reason"]) for line in lines)
    never = sorted(way for way in WAYS if not any(visit.endswith(f" /{way}") for visit in trap.visits))
    frames = sorted(frame.url for frame in page.frames)
    return f"never asked for: {never}; frames: {frames}; logged: {sorted(counted.items())}; else: {process.other}"


def _reached(trap: World) -> set[str]:
    """What the page reached of the public site, by the way it took."""
    return {visit.rpartition("/")[2] for visit in trap.visits if " other.example " in visit}


async def test_a_page_that_tries_everything_reaches_the_public_site_alone(trap: World, tmp_path: Path) -> None:
    async with _opened(trap, tmp_path) as (page, process):
        await _try_everything(trap, page)

        targets = {host: host for host in ("10.0.0.1", "127.0.0.1", "::1", "n3.names-a.example")}
        tried = {led_to(way): way for way in WAYS} | targets

        def not_seen() -> list[str]:
            refused = {line["host"] for line in process.lines if line.get("verdict") == "refused"}
            return [way for host, way in tried.items() if host not in refused]

        try:
            await wait_until(lambda: not not_seen(), 60)
        except AssertionError:
            pytest.fail(f"not seen to be refused: {not_seen()}; {_what_happened(trap, process, page)}")
        assert [str(packet) for packet in trap.arrivals()] == []
    assert {visit.split(" ")[1] for visit in trap.visits} == {"site.example", "other.example"}
    assert not [name for name, _ in trap.asked if name == "leak.example"], "Chrome itself asks no name server"


async def test_without_the_check_the_same_page_arrives(trap: World, tmp_path: Path) -> None:
    async with _opened(trap, tmp_path, ("-c", WITHOUT_CHECK)) as (page, _):
        await _try_everything(trap, page)
        arrived = {packet.target for packet in trap.arrivals() if packet.opens}
    assert arrived >= {"10.0.0.1", "127.0.0.1", "::1", led_to("301"), led_to("meta")}
