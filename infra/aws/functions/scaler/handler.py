"""One look a minute: tell CloudWatch how much waits, start nodes for it, and let go of those nobody needs.

Nothing is remembered between two calls but the tag of a service whose node is missing. What was begun and not finished
is seen by the next look: a node that is drained and still runs is stopped when it holds no lease. A look ends before
the next one is due, and whatever it waits for comes last; two at once would decide the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .control_plane import ControlPlane, work_of
from .decision import Plan, backlog_per_slot, decide
from .services import Service, Services

LOOK_AGAIN_S = 2
"""A node that has handed back its last unit ends by itself within seconds, and ECS would start it again."""

LAST_CALLS_S = 15
"""Before Lambda ends us, in which the last call must have returned."""


def handle(_event: object, context: Any) -> dict[str, Any]:
    """Lambda's entry. Raises when the control plane or ECS does not answer; nothing has been changed then."""
    import boto3  # part of Lambda's runtime

    return look(
        ControlPlane(os.environ["API_URL"], *keys(boto3.client("secretsmanager"), os.environ["KEY_SECRET"])),
        Services(boto3.client("ecs"), os.environ["CLUSTER"], os.environ["NODE_IDS"].split(",")),
        fleet=os.environ["FLEET"],
        least=int(os.environ["LEAST_NODES"]),
        slots=int(os.environ["SLOTS"]),
        left=lambda: context.get_remaining_time_in_millis() / 1000 - LAST_CALLS_S,
    )


def keys(secrets: Any, secret: str) -> list[str]:
    """The API key, and the one before it, which is good until a replica has stored the new one."""
    held = secrets.list_secret_version_ids(SecretId=secret)["Versions"]
    stages = {stage for version in held for stage in version.get("VersionStages", ())}
    return [
        secrets.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"]
        for stage in ("AWSCURRENT", "AWSPREVIOUS")
        if stage in stages
    ]


def look(
    control_plane: ControlPlane,
    services: Services,
    *,
    fleet: str,
    least: int,
    slots: int,
    left: Callable[[], float],
) -> dict[str, Any]:
    """One look, and what it did. ``left`` says how many seconds there are to wait in."""
    gauges, known, nodes = control_plane.gauges(), services.all(), control_plane.nodes()
    now = datetime.now(UTC)
    work = work_of(gauges)
    plan = decide(
        work,
        nodes,
        {node: service.desired for node, service in known.items()},
        {node: now - service.missing_since for node, service in known.items() if service.missing_since},
        least=least,
        slots=slots,
    )
    there = sum(gauges["slots"][state] for state in ("free", "leased", "releasing"))
    numbers = {
        "BacklogPerSlot": backlog_per_slot(work, there),
        "UnitsDispatchable": work.dispatchable,
        "SlotsLeased": work.leased,
        "Slots": there,
        "Nodes": gauges["nodes"],
        "NodesWanted": plan.wanted,
        "NodesStarted": sum(service.desired for service in known.values()),
        "NodesGivenUp": len(plan.given_up),
        "DeadLetters": gauges["dead_letters"],
        "ResultsWaiting": gauges["results_waiting"],
        "DispatchStalled": int(control_plane.stalled()),
    }
    print(json.dumps(metrics(fleet, numbers, time.time())))
    _change(services, known, plan, now)
    leaving = set(plan.draining)
    if plan.retire is not None:
        control_plane.drain(plan.retire)
        leaving.add(plan.retire)
    stopped = list(plan.stop)
    for node in _emptied(control_plane, leaving, left):
        services.stop(node)
        stopped.append(node)
    done = {
        "started": list(plan.start),
        "stopped": stopped,
        "draining": plan.retire,
        "given_up": list(plan.given_up),
    }
    if any(done.values()):
        print(json.dumps(done))
    return done


def metrics(fleet: str, numbers: dict[str, float], now: float) -> dict[str, Any]:
    """A line that CloudWatch makes metrics of (embedded metric format): no right and no call is needed for it."""
    declared = {
        "Namespace": "Leadfleet",
        "Dimensions": [["Fleet"]],
        "Metrics": [{"Name": name} for name in numbers],
    }
    return {"_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [declared]}, "Fleet": fleet, **numbers}


def _change(services: Services, known: Mapping[str, Service], plan: Plan, now: datetime) -> None:
    # before it is started: else a look that ends here would have the next one give it up at once
    for node in (*plan.found, *(node for node in plan.start if known[node].missing_since)):
        services.forget(known[node])
    for node in plan.start:
        services.start(node)
    for node in (*plan.stop, *plan.given_up):
        services.stop(node)
    for node in plan.missing:
        services.miss(known[node], now)


def _emptied(control_plane: ControlPlane, leaving: Collection[str], left: Callable[[], float]) -> Iterator[str]:
    """Those of the draining nodes whose last lease ends while there is time."""
    waited_for = set(leaving)
    while waited_for:
        known = {node.name: node for node in control_plane.nodes()}
        for name in sorted(waited_for):
            node = known.get(name)
            if node is not None and node.state == "draining" and node.leases:
                continue
            waited_for.remove(name)
            # up again: it left before ECS was told, who started it anew. It may have work already, and is left alone
            if node is None or node.state != "up":
                yield name
        if not waited_for or left() < LOOK_AGAIN_S:
            return
        time.sleep(LOOK_AGAIN_S)
