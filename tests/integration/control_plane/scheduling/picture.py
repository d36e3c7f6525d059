"""The state of a fleet as it stands in the store: read in one call, decoded, and checked against its invariants."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from fleet.keys import Keys
from tests.integration.control_plane.scheduling.model_records import BACKLOG, TERMINAL

READ = """
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'string' then value = { redis.call('GET', key) }
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else value = redis.call('XRANGE', key, '-', '+') end
  all[#all + 1] = { key, kind, redis.call('TTL', key), value }
end
return cjson.encode(all)
"""

KEPT = """schema epoch fence arrivals turns counters nodes known join-cursor labels retries deadlines dead results
leases unswept""".split()
"""Keys of the fleet as a whole: one each, or bounded by their length."""

KEPT_EACH = {"tenant", "tenant-tasks", "ring", "queue", "queued-tenants", "free", "busy"}
"""Keys a tenant and a label, which are few and stay."""

WITH_TASK = {"task", "events", "seen", "found", "waiting", "active"}
WITH_UNIT = {"unit", "checkpoint"}


def pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass
class Picture:
    """All keys of a fleet by their name without its root; hashes and zsets as dicts, in order; a stream as a list of
    (id, fields)."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    zsets: dict[str, dict[str, int]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    streams: dict[str, list[tuple[str, dict[str, str]]]] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def take(cls, client: Redis, keys: Keys, *, without: set[str]) -> Picture:
        """A look at all that is there, but for the keys ``without`` (names without the root)."""
        picture = cls()
        for key, kind, ttl, value in json.loads(await client.eval(READ, 0)):
            assert key.startswith(keys.root + ":"), f"{key} is no key of the fleet"
            name = key.removeprefix(keys.root + ":")
            if name in without:
                continue
            picture.ttls[name] = ttl
            if kind == "hash":
                picture.hashes[name] = pairs(value)
            elif kind == "zset":
                picture.zsets[name] = {member: int(score) for member, score in pairs(value).items()}
            elif kind == "stream":
                picture.streams[name] = [(entry, pairs(flat)) for entry, flat in value]
            else:
                picture.lists[name] = list(value)
        return picture

    def under(self, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
        for name, value in self.hashes.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value

    def comparable(self) -> dict[str, Any]:
        """The same facts that ``Model.picture`` gives."""
        node_streams = {name: entries for name, entries in self.streams.items() if name.startswith("n:")}
        counters = {name: int(n) for name, n in self.hashes.get("counters", {}).items() if name != "unit_ms_mean"}
        return {
            "tasks": {
                name: (
                    t["state"],
                    t["paused"] == "1",
                    t.get("error", ""),
                    int(t["found"]),
                    int(t["pages"]),
                    [e["k"] for _, e in self.streams[f"events:{name}"] if e["k"] != "log"],
                    [int(index) for index in self.lists.get(f"waiting:{name}", [])],
                )
                for name, t in self.under("task:")
            },
            "units": {
                name: (u["state"], _int(u, "attempts"), _int(u, "deliveries"), u.get("slot", ""), _int(u, "fence"))
                for name, u in self.under("unit:")
            },
            "slots": {
                name: (s["state"], s["chrome"], s.get("unit", ""), _int(s, "fence")) for name, s in self.under("slot:")
            },
            "nodes": {name: (n.get("state"), n.get("boot"), n.get("cursor")) for name, n in self.under("node:")},
            "heard": self.zsets.get("nodes", {}),
            "busy": {label: sorted(slots) for label, slots in self._members("busy:").items()},
            "free": self._members("free:"),
            "rings": self._members("ring:"),
            "queues": self._members("queue:"),
            "tenants": {
                name: (_int(t, "running"), _int(t, "backlog"), _int(t, "pending")) for name, t in self.under("tenant:")
            },
            "counters": {name: n for name, n in counters.items() if n},
            "deadlines": self.zsets.get("deadlines", {}),
            "retries": self.zsets.get("retries", {}),
            "dead": [
                (e["unit"], e["error"], int(e["attempts"]), int(e["deliveries"]))
                for _, e in self.streams.get("dead", [])
            ],
            "leases": [
                (e["k"], e["slot"], e["unit"], int(e["fence"]), e["state"]) for _, e in self.streams.get("leases", [])
            ],
            "commands": {
                name.split(":")[1]: [(e["k"], e.get("unit", ""), _int(e, "fence")) for _, e in entries]
                for name, entries in node_streams.items()
                if name.endswith(":commands") and entries
            },
            "out": {
                name.split(":")[1]: [entry for entry, _ in entries]
                for name, entries in node_streams.items()
                if name.endswith(":out") and entries
            },
        }

    def violations(self) -> Iterator[str]:
        """What must hold whatever was done, said without the model."""
        yield from self._leases()
        yield from self._counts()
        yield from self._dispatchable()
        yield from self._owners()

    def _leases(self) -> Iterator[str]:
        """I1: a running unit has one slot, which is leased to it under its fence; and no other slot is leased."""
        running = {n: (u.get("slot"), u.get("fence")) for n, u in self.under("unit:") if u["state"] == "running"}
        held = {s["unit"]: (n, s["fence"]) for n, s in self.under("slot:") if s["state"] == "leased"}
        if running != held:
            yield f"I1: units run on {running}, slots are leased to {held}"
        if len({slot for slot, _ in running.values()}) != len(running):
            yield f"I1: two units on one slot: {running}"
        fences = [int(e["fence"]) for _, e in self.streams.get("leases", []) if e["k"] == "granted"]
        if fences != sorted(set(fences)):
            yield f"I1: fences do not rise: {fences}"

    def _counts(self) -> Iterator[str]:
        """I4: each registered slot is in one state; counters and backlogs are what the units say."""
        registered = {f"{n}/{i}" for n, node in self.under("node:") for i in node.get("slots", "").split(",") if i}
        stray = {n: s["state"] for n, s in self.under("slot:") if n not in registered}
        states = Counter(s["state"] for _, s in self.under("slot:"))
        known = sum(states[state] for state in ("free", "leased", "releasing", "broken", "down"))
        if stray or known != len(registered):
            yield f"I4: {len(registered)} slots are registered, {dict(states)} are there, of no node: {stray}"
        found = Counter(f"units_{u['state']}" for _, u in self.under("unit:"))
        found.update(f"slots_{state}" for state in states.elements())
        counted = {n: int(c) for n, c in self.hashes.get("counters", {}).items() if n.startswith(("units_", "slots_"))}
        if {name: n for name, n in counted.items() if n} != found:
            yield f"counters say {counted}, units and slots {dict(found)}"
        backlog: Counter[str] = Counter()
        running: Counter[str] = Counter()
        for name, u in self.under("unit:"):
            tenant = self.hashes[f"task:{name.rpartition('.')[0]}"]["tenant"]
            backlog[tenant] += u["state"] in BACKLOG
            running[tenant] += u["state"] == "running"
        for name, t in self.under("tenant:"):
            if (_int(t, "backlog"), _int(t, "running")) != (backlog[name], running[name]):
                yield f"tenant {name} is {t}, its units say {backlog[name]} and {running[name]}"

    def _dispatchable(self) -> Iterator[str]:
        """Offered are the slots that are free, with a living Chrome, of a node that takes work."""
        offered = {
            name for name, s in self.under("slot:")
            if (s["state"], s["chrome"]) == ("free", "ok") and self.hashes[f"node:{s['node']}"]["state"] == "up"
        }  # fmt: skip
        for label in {"any", *(name.removeprefix("free:") for name in self.zsets if name.startswith("free:"))}:
            fitting = {name for name in offered if label in self.hashes[f"slot:{name}"]["labels"].split(",")}
            if fitting != set(self.zsets.get(f"free:{label}", {})):
                yield f"offered to {label}: {self.zsets.get(f'free:{label}')}, free are {fitting}"

    def _owners(self) -> Iterator[str]:
        """I7: no key that nobody will remove."""
        for name, ttl in self.ttls.items():
            kind, _, owner = name.partition(":")
            task = owner.rpartition(".")[0] if kind in WITH_UNIT else owner
            open_task = self.hashes.get(f"task:{task}", {}).get("state", "stopped") not in TERMINAL
            node = {"n": owner.partition(":")[0], "slot": owner.partition("/")[0], "node": owner}.get(kind)
            kept = (
                name in KEPT
                or kind in KEPT_EACH
                or (kind in WITH_TASK | WITH_UNIT and open_task)
                or (node is not None and node in self.zsets.get("known", {}))
                or (kind == "n" and name.endswith(":out"))  # the node's, until it is read
            )
            if ttl < 0 and not kept:
                yield f"I7: {name} has neither a time to live nor an owner"

    def _members(self, prefix: str) -> dict[str, list[str]]:
        return {
            name.removeprefix(prefix): list(members) for name, members in self.zsets.items() if name.startswith(prefix)
        }


def _int(fields: dict[str, str], name: str) -> int:
    return int(fields.get(name, 0) or 0)
