"""Pages that try to get out of a node's network, or to take its memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from aiohttp import web

from tests.faults.hostile import MEMORY

ESCAPE = """<!doctype html><title>escape</title><script>
const targets = %(targets)s, names = %(names)s, tried = [];
const within = (ms, promise) => Promise.race([promise, new Promise(done => setTimeout(() => done("silence"), ms))]);

const fetched = url => fetch(url, {mode: "no-cors"}).then(() => "answer", () => "refused");
const socket = url => new Promise(done => {
  const ws = new WebSocket(url);
  ws.onopen = () => done("open");
  ws.onerror = () => done("refused");
});
const candidates = server => new Promise(done => {
  const found = [], peer = new RTCPeerConnection({iceServers: [
    {urls: `stun:${server}`}, {urls: `turn:${server}?transport=tcp`, username: "u", credential: "c"}]});
  peer.createDataChannel("out");
  peer.onicecandidate = event => event.candidate ? found.push(event.candidate.candidate) : done(found);
  peer.createOffer().then(offer => peer.setLocalDescription(offer));
});

window.trying = (async () => {
  await Promise.all(targets.map(async ([address, port]) => {
    tried.push(["fetch", address, port, await within(8000, fetched(`http://${address}:${port}/fetched`))]);
    tried.push(["websocket", address, port, await within(8000, socket(`ws://${address}:${port}/socket`))]);
    const found = await within(8000, candidates(`${address}:${port}`));
    tried.push(["webrtc", address, port, found === "silence" ? [] : found]);
  }));
  for (const name of names) {
    tried.push(["name", name, 80, await within(8000, fetched(`http://${name}/`))]);
    const hint = document.createElement("link");
    hint.rel = "dns-prefetch"; hint.href = `//prefetched.${name}`; document.head.append(hint);
  }
  return tried;
})();
</script>"""


@dataclass
class HostilePages:
    """``escape.hostile.test`` tries every way out to ``targets``, ``memory.hostile.test`` takes all memory."""

    port: int = 0
    targets: list[tuple[str, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/":
            return web.Response(status=404)
        if request.host.startswith("memory"):
            return web.Response(text=MEMORY, content_type="text/html")
        page = ESCAPE % {"targets": json.dumps(self.targets), "names": json.dumps(self.names)}
        return web.Response(text=page, content_type="text/html")
