"""Every key of a fleet, built here and nowhere else.

All scheduling state carries one hash tag, ``{<fleet>}``, so that one script may change together what
must change together, on a single server and on a cluster. The Lua side uses these very templates:
``lua_keys()`` renders them as functions, so a name exists once.

Each docstring: type · TTL or owner · written by · read by. *scripts* are those of
``control_plane/scheduling``.
"""

from __future__ import annotations

import inspect

from fleet import ids

SCHEMA_VERSION = "2"
"""Of the layout below, as the control plane's scripts keep it; nodes see only their own streams, which have versions of
their own. ``control_plane.scheduling.migration`` says what changed.

* 1: the first one.
* 2: ``active``, ``busy``, ``queued-tenants``, ``idle|`` deadlines, counted slots, ``pending`` units of a tenant and
  ``platforms`` of a task.
"""

JOIN_USER = "join"
"""The Valkey user that may only knock: append to the join stream."""


class Keys:
    """The names of one fleet's keys. ``Keys("local").task("tsk_…")``."""

    def __init__(self, fleet: str) -> None:
        self.fleet = ids.name("fleet", fleet)
        self.root = f"lf:{{{self.fleet}}}"

    # The fleet as a whole.

    def schema(self) -> str:
        """string · kept · control plane once it has prepared the store · control plane: version of this layout."""
        return f"{self.root}:schema"

    def epoch(self) -> str:
        """string · kept · scripts · all: a random id; another one means the store lost data."""
        return f"{self.root}:epoch"

    def fence(self) -> str:
        """string (µs) · kept · scripts · scripts: the last fence issued."""
        return f"{self.root}:fence"

    def arrivals(self) -> str:
        """string · kept · scripts · scripts: counts tasks; order of arrival."""
        return f"{self.root}:arrivals"

    def turns(self) -> str:
        """string · kept · scripts · scripts: counts grants in thousands and those who joined since;
        order of the ring."""
        return f"{self.root}:turns"

    def counters(self) -> str:
        """hash name → int · kept · scripts · metrics: gauges and totals of the whole fleet."""
        return f"{self.root}:counters"

    def replicas(self) -> str:
        """zset replica → last seen (ms) · removed after a silent day · scripts · scripts: who shares the reading, and
        how far each replica saw the store come."""
        return f"{self.root}:replicas"

    def wake(self, reader: str) -> str:
        """stream, MAXLEN 1, TTL 1 h · the replica · itself: ends a blocking read to change its streams."""
        return f"{self.root}:wake:{reader}"

    # Nodes and slots.

    def join(self) -> str:
        """stream · trimmed as read · nodes (user ``join``) · control plane: nodes that ask to be let in."""
        return f"{self.root}:join"

    def join_cursor(self) -> str:
        """string stream id · kept · control plane · control plane."""
        return f"{self.root}:join-cursor"

    def nodes(self) -> str:
        """zset node → last heard (ms, server clock) · reaper removes · scripts · scripts: live sessions."""
        return f"{self.root}:nodes"

    def known(self) -> str:
        """zset node → last heard (ms) · reaper removes after a silent day · scripts · API: whose ``out`` is read."""
        return f"{self.root}:known"

    def node(self, node: str) -> str:
        """hash · TTL 1 day once DOWN · scripts · API: boot, generation, state, cursor, address, labels …"""
        return f"{self.root}:node:{node}"

    def slot(self, slot: str) -> str:
        """hash · deleted with its node · scripts · scripts, API: state, unit, fence, port."""
        return f"{self.root}:slot:{slot}"

    def leases(self) -> str:
        """stream k, slot, unit, fence, state · MAXLEN ~ the setting ``lease_log`` · scripts · operators, checker of
        the fault tests: what became of each lease, in order."""
        return f"{self.root}:leases"

    def free(self, label: str) -> str:
        """zset slot → free since (ms) · scripts · scripts: what may be leased to units that ask for a label."""
        return f"{self.root}:free:{label}"

    def busy(self, label: str) -> str:
        """zset slot → leased since (ms) · scripts · scripts: slots that carry a label and are free again some time."""
        return f"{self.root}:busy:{label}"

    # Work.

    def tenant(self, tenant: str) -> str:
        """hash · kept · scripts, CLI · scripts, API: limits (``max_running``, ``max_queued``,
        ``daily_units``: absent ones are the fleet's), units ``running``, ``pending`` (waiting or queued) and in the
        ``backlog`` (retrying and paused ones as well), and ``served``, its turn."""
        return f"{self.root}:tenant:{tenant}"

    def tenant_tasks(self, tenant: str) -> str:
        """zset task → created (ms) · trimmed at retention · scripts · API."""
        return f"{self.root}:tenant-tasks:{tenant}"

    def usage(self, tenant: str, day: str) -> str:
        """string · TTL 2 days · scripts · scripts: units submitted on a UTC day (days since 1970)."""
        return f"{self.root}:usage:{tenant}:{day}"

    def labels(self) -> str:
        """set · kept (a handful) · scripts · scripts: labels that units have asked for."""
        return f"{self.root}:labels"

    def ring(self, label: str) -> str:
        """zset tenant → turn · scripts · scripts: tenants with dispatchable units, lowest goes next."""
        return f"{self.root}:ring:{label}"

    def queued_tenants(self, label: str) -> str:
        """set of tenants · scripts · scripts: whose queue is not empty, also those who may not run more now."""
        return f"{self.root}:queued-tenants:{label}"

    def queue(self, label: str, tenant: str) -> str:
        """zset unit → priority and arrival · scripts · scripts."""
        return f"{self.root}:queue:{label}:{tenant}"

    def task(self, task: str) -> str:
        """hash · TTL = retention once terminal · scripts · API."""
        return f"{self.root}:task:{task}"

    def waiting(self, task: str) -> str:
        """list of unit indexes · with the task · scripts · scripts: units held back by ``max_parallel``."""
        return f"{self.root}:waiting:{task}"

    def active(self, task: str) -> str:
        """set of unit indexes · empty once the task is terminal · scripts · scripts, API: units that are queued,
        running, retrying or paused, ``max_parallel`` at most."""
        return f"{self.root}:active:{task}"

    def unswept(self) -> str:
        """zset ended task → first unit whose record is still to be closed · reaper empties · scripts · reaper."""
        return f"{self.root}:unswept"

    def events(self, task: str) -> str:
        """stream k, d · with the task · scripts · API: everything a client is told, one id each."""
        return f"{self.root}:events:{task}"

    def seen(self, task: str) -> str:
        """set of observation ids · with the task · scripts · scripts: results are effectively once."""
        return f"{self.root}:seen:{task}"

    def found(self, task: str) -> str:
        """hash identifier → lead id · with the task · scripts · scripts: what is the same lead, for ``max_results``."""
        return f"{self.root}:found:{task}"

    def unit(self, unit: str) -> str:
        """hash · with the task · scripts · scripts, API."""
        return f"{self.root}:unit:{unit}"

    def checkpoint(self, unit: str) -> str:
        """hash field → value · deleted when the unit is terminal · scripts · scripts: sent with each lease."""
        return f"{self.root}:checkpoint:{unit}"

    def retries(self) -> str:
        """zset unit → due (ms) · scripts · reaper."""
        return f"{self.root}:retries"

    def deadlines(self) -> str:
        """zset → due (ms) · scripts · reaper: ``queue|<task>``, ``run|<task>``, ``idle|<unit>``,
        ``grace|<slot>|<fence>``."""
        return f"{self.root}:deadlines"

    def webhooks(self) -> str:
        """zset ``tenant|receiver`` → earliest due (ms) · scripts remove empty lines · scripts · scripts, metrics:
        receivers that are owed a webhook."""
        return f"{self.root}:webhooks"

    def webhook_line(self, tenant: str, receiver: str) -> str:
        """zset task → due (ms) · settled, given up or expired ones are removed · scripts · scripts: webhooks of one
        receiver; a claim is a due time moved ahead."""
        return f"{self.root}:webhook-line:{tenant}:{receiver}"

    def enrichment_turns(self) -> str:
        """zset tenant → last turn (µs) · scripts remove empty lines · scripts · scripts: tenants with leads that a
        model is to be asked about."""
        return f"{self.root}:enrichment-turns"

    def enrichment_line(self, tenant: str) -> str:
        """zset question → due (ms) · settled or overdue ones are removed · scripts · scripts: a question is a lead and
        an objective; a claim is a due time moved ahead."""
        return f"{self.root}:enrichment-line:{tenant}"

    def enrichment(self, tenant: str, question: str) -> str:
        """hash: lead, task, unit, claim, attempts …, ``d:<digest>``, ``t:<task>`` · removed when settled, TTL 1 day ·
        scripts · scripts. Who erases a lead deletes it: an answer under way is then stale."""
        return f"{self.root}:enrichment:{tenant}:{question}"

    def enriched(self, tenant: str, question: str) -> str:
        """set of digests and tasks · TTL is a setting · scripts · scripts: what a model has answered."""
        return f"{self.root}:enriched:{tenant}:{question}"

    def enrichment_spend(self, day: str) -> str:
        """hash: tokens, cost (millionths), ``tokens:<tenant>`` · TTL 2 days · scripts · scripts: of a UTC day."""
        return f"{self.root}:enrichment-spend:{day}"

    def dead(self) -> str:
        """stream, MAXLEN ~10,000 · scripts · API: units that were given up, with their last error."""
        return f"{self.root}:dead"

    def idempotency(self, tenant: str, digest: str) -> str:
        """string ``body digest|task`` · TTL is a setting · scripts · scripts."""
        return f"{self.root}:idempotency:{tenant}:{digest}"

    def results(self) -> str:
        """stream · trimmed by the sink after its commit · scripts · sink: what is to be stored."""
        return f"{self.root}:results"

    def sink_lease(self) -> str:
        """string · TTL · the sink · the sink: who may append to the leads table."""
        return f"{self.root}:sink-lease"

    def sink_cursor(self) -> str:
        """hash: cursor, batch · kept · the sink · the sink, filters."""
        return f"{self.root}:sink-cursor"

    # Erasure.

    def opt_outs(self, tenant: str) -> str:
        """hash keyed digest → JSON (kind, shown, reason, time) · kept · API · API, ingest: who may not be collected.
        Each change raises ``opt_outs`` of the tenant's hash, by which copies are known to be old."""
        return f"{self.root}:opt-outs:{tenant}"

    def opt_out_order(self, tenant: str) -> str:
        """zset digest → added (ms) · kept · API · API: the same entries by age."""
        return f"{self.root}:opt-out-order:{tenant}"

    def opt_out_key(self) -> str:
        """string, 32 bytes · kept · API, once · API, ingest: the key of those digests."""
        return f"{self.root}:opt-out-key"

    def erasure(self, erasure: str) -> str:
        """hash · TTL 30 days once done · API, worker · API, worker: what is to be erased, and how far that is."""
        return f"{self.root}:erasure:{erasure}"

    def erasures_open(self) -> str:
        """zset erasure → begun (ms) · emptied by the worker · API, worker · worker: what is not done yet."""
        return f"{self.root}:erasures-open"

    def erasures(self) -> str:
        """stream erasure, tenant, lead_ids, until · trimmed after 7 days · API, worker · views: what to forget."""
        return f"{self.root}:erasures"

    # People.

    def api_key(self, digest: str) -> str:
        """hash · kept until revoked · CLI, API · API: tenant, scopes, name; the key itself is not stored."""
        return f"{self.root}:api-key:{digest}"

    def session(self, digest: str) -> str:
        """hash · TTL 12 h · API · API: a console session, or a one-time link that becomes one."""
        return f"{self.root}:session:{digest}"

    def rate(self, subject: str, window: str) -> str:
        """string · TTL = its window · API · API: requests of a key in a window."""
        return f"{self.root}:rate:{subject}:{window}"

    def export(self, export: str) -> str:
        """hash · TTL = retention of exports · store workers · store workers."""
        return f"{self.root}:export:{export}"

    def export_owner(self, export: str) -> str:
        """string · TTL · store workers · store workers: who makes the file, or clears up after it."""
        return f"{self.root}:export-owner:{export}"

    def unsettled_exports(self) -> str:
        """zset export → begun (ms) · store workers remove what is settled · store workers · store workers: exports
        that may have parts in object storage."""
        return f"{self.root}:unsettled-exports"

    def tenant_exports(self, tenant: str) -> str:
        """zset export → created (ms) · TTL and trimmed at retention · store workers · store workers."""
        return f"{self.root}:tenant-exports:{tenant}"

    def watch(self, task: str) -> str:
        """zset viewer → seen (ms) · TTL 15 s · API · API: a task is captured while somebody looks."""
        return f"{self.root}:watch:{task}"

    def wheel(self, task: str) -> str:
        """string token · TTL 6 s · API · API: who steers the task's browser, for as long as they say so."""
        return f"{self.root}:wheel:{task}"

    # What a node may touch, and nothing else: its own prefix.

    def node_prefix(self, node: str) -> str:
        """Not a key: the prefix of all keys of a node, as its ACL user sees them."""
        return f"{self.root}:n:{node}:"

    def commands(self, node: str) -> str:
        """stream · trimmed once acknowledged · scripts · the node (read only)."""
        return f"{self.root}:n:{node}:commands"

    def out(self, node: str) -> str:
        """stream · trimmed once ingested · the node · control plane."""
        return f"{self.root}:n:{node}:out"

    def frames(self, node: str, index: str) -> str:
        """stream, MAXLEN 1, TTL 1 min · the node (write only) · control plane: newest picture of a slot."""
        return f"{self.root}:n:{node}:frames:{index}"

    def node_acl(self, node: str) -> list[str]:
        """ACL rules of the node's Valkey user: what it reads, what it writes, the few commands it needs."""
        return [
            "resetkeys",
            "resetchannels",
            "-@all",
            f"%R~{self.commands(node)}",
            f"%W~{self.out(node)}",
            f"%W~{self.node_prefix(node)}frames:*",
            "+xread",
            "+xadd",
            "+expire",
            "+ping",
            "+hello",
            "+auth",
            "+time",
            "+client|setname",
            "+client|setinfo",
        ]


def join_acl(keys: Keys) -> list[str]:
    """ACL rules of the ``join`` user."""
    return [
        "resetkeys",
        "resetchannels",
        "-@all",
        f"%W~{keys.join()}",
        "+xadd",
        "+ping",
        "+hello",
        "+auth",
        "+client|setname",
        "+client|setinfo",
    ]


def lua_keys() -> str:
    """The same names as Lua functions over ``R``, the root: ``local function key_task(task) … end``."""
    keys = Keys("x")
    lines = []
    for method, function in inspect.getmembers(Keys, inspect.isfunction):
        if method.startswith("_") or method in {"node_acl", "node_prefix"}:
            continue
        parameters = list(inspect.signature(function).parameters)[1:]
        rendered = function(keys, *(f"\0{p}\0" for p in parameters)).removeprefix(keys.root)
        parts = [p if i % 2 else f"'{p}'" for i, p in enumerate(rendered.split("\0")) if p]
        lines.append(f"function K.{method}({', '.join(parameters)}) return R .. {' .. '.join(parts)} end")
    return "local K = {}\n" + "\n".join(lines) + "\n"
