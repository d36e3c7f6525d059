"""One look a minute: tell CloudWatch how much waits, start nodes for it, and let go of those nobody needs.

Nothing is remembered between two calls. What was begun and not finished is seen by the next one: a node that is
drained and still runs is stopped when it holds no lease.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from .control_plane import ControlPlane, work_of
from .decision import Node, backlog_per_slot, decide
from .services import Services

LOOK_AGAIN_S = 2
"""A node that has handed back its last unit ends by itself within seconds, and ECS would start it again."""


def handle(_event: object, context: Any) -> dict[str, Any]:
    """Lambda's entry. Raises when the control plane or ECS does not answer; nothing has been changed then."""
    import boto3  # part of Lambda's runtime

    key = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["KEY_SECRET"])["SecretString"]
    return look(
        ControlPlane(os.environ["API_URL"], key),
        Services(boto3.client("ecs"), os.environ["CLUSTER"], os.environ["NODE_IDS"].split(",")),
        fleet=os.environ["FLEET"],
        least=int(os.environ["LEAST_NODES"]),
        slots=int(os.environ["SLOTS"]),
        # seconds before Lambda ends us, in which the last call must have returned
        left=lambda: context.get_remaining_time_in_millis() / 1000 - 15,
    )


def look(
    control_plane: ControlPlane,
    services: Services,
    *,
    fleet: str,
    least: int,
    slots: int,
    left: Callable[[], float],
) -> dict[str, Any]:
    """One look, and what it did."""
    gauges, desired, nodes = control_plane.gauges(), services.desired(), control_plane.nodes()
    work = work_of(gauges)
    plan = decide(work, nodes, desired, least=least, slots=slots)
    there = sum(gauges["slots"][state] for state in ("free", "leased", "releasing"))
    numbers = {
        "BacklogPerSlot": backlog_per_slot(work, there),
        "UnitsDispatchable": work.dispatchable,
        "SlotsLeased": work.leased,
        "Slots": there,
        "Nodes": gauges["nodes"],
        "NodesWanted": plan.wanted,
        "NodesStarted": sum(desired.values()),
        "DeadLetters": gauges["dead_letters"],
        "ResultsWaiting": gauges["results_waiting"],
        "DispatchStalled": int(control_plane.stalled()),
    }
    print(json.dumps(metrics(fleet, numbers, time.time())))
    for node in plan.start:
        services.start(node)
    for node in plan.stop:
        services.stop(node)
    stopped = list(plan.stop)
    if plan.retire is not None:
        control_plane.drain(plan.retire)
        if _is_empty(control_plane, plan.retire, left):
            services.stop(plan.retire)
            stopped.append(plan.retire)
    done = {"started": list(plan.start), "stopped": stopped, "draining": plan.retire}
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


def _is_empty(control_plane: ControlPlane, name: str, left: Callable[[], float]) -> bool:
    """Wait for the last lease of a draining node to end, while there is time."""
    while True:
        node: Node | None = next((node for node in control_plane.nodes() if node.name == name), None)
        if node is None or node.state != "draining" or not node.leases:
            # up again: it left before ECS was told, who started it anew. It may have work already, and is left alone
            return node is None or node.state != "up"
        if left() < LOOK_AGAIN_S:
            return False
        time.sleep(LOOK_AGAIN_S)
