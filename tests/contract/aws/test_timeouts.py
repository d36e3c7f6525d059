"""Timeouts that must fit together, along the way of a request and at a task's end."""

from __future__ import annotations

from control_plane.__main__ import GRACEFUL_S, KEEP_ALIVE_S, PING_INTERVAL_S
from control_plane.streams.frames import HEARTBEAT_S
from control_plane.streams.sse import PING_S
from infra.aws.functions.scaler import control_plane as scaler
from infra.aws.functions.scaler import decision, handler
from tests.contract.aws.template import attributes, container, node_tasks, one, tasks, variables

FARGATE_MOST_STOP_TIMEOUT_S = 120

CLOUDFRONT_MOST_READ_TIMEOUT_S = 120


def idle_s() -> int:
    return int(attributes(one("Edge", "LoadBalancer")["LoadBalancerAttributes"])["idle_timeout.timeout_seconds"])


def origin() -> dict[str, int]:
    (found,) = one("Edge", "Distribution")["DistributionConfig"]["Origins"]
    config: dict[str, int] = found["CustomOriginConfig"]
    return config


def test_a_stream_survives_one_lost_ping() -> None:
    for ping in (PING_INTERVAL_S, PING_S, HEARTBEAT_S):
        assert idle_s() > 2 * ping
        assert origin()["OriginReadTimeout"] > 2 * ping


def test_who_sends_closes_first() -> None:
    """Else a request goes into a connection that is just being closed, and its answer is 502."""
    assert origin()["OriginKeepaliveTimeout"] < idle_s() < KEEP_ALIVE_S


def test_the_load_balancer_gives_up_before_cloudfront_does() -> None:
    """Its 504 tells more than CloudFront's."""
    assert idle_s() < origin()["OriginReadTimeout"] <= CLOUDFRONT_MOST_READ_TIMEOUT_S


def test_a_node_has_time_to_drain() -> None:
    for task in node_tasks().values():
        drain = float(variables(task)["LEADFLEET_DRAIN_S"])
        assert drain + 20 < container(task)["StopTimeout"] <= FARGATE_MOST_STOP_TIMEOUT_S


def test_a_replica_has_time_to_say_goodbye() -> None:
    task = tasks()["ControlPlane"]
    delay = float(variables(task)["LEADFLEET_STOP_DELAY"])
    group = one("Edge", "Replicas")
    noticed = group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"]
    assert delay + GRACEFUL_S + 20 < container(task)["StopTimeout"] <= FARGATE_MOST_STOP_TIMEOUT_S
    # ECS deregisters first; the delay is for a SIGTERM that comes at once, and a health check in the middle of it
    assert delay >= noticed / 2
    assert group["HealthCheckTimeoutSeconds"] < group["HealthCheckIntervalSeconds"]


def test_egress_outlives_the_nodes_that_drain_through_it() -> None:
    drains = [float(variables(task)["LEADFLEET_DRAIN_S"]) for task in node_tasks().values()]
    egress = tasks()["Egress"]
    assert max(drains) < float(variables(egress)["LEADFLEET_EGRESS_DRAIN_S"]) < container(egress)["StopTimeout"]


def test_a_look_of_the_scaler_ends_before_the_next_one_is_due() -> None:
    """So that a node that is slow to drain holds up nobody. The calls of a look have time even while nobody answers."""
    function = one("Scaler", "Scaler")
    assert function["Events"]["EveryMinute"]["Properties"]["Schedule"] == "rate(1 minute)"
    assert 3 * scaler.TIMEOUT_S + handler.LAST_CALLS_S < function["Timeout"] < 60
    # whoever opens a new account has a concurrency of ten, of which none may be reserved
    assert "ReservedConcurrentExecutions" not in function


def test_a_node_has_time_to_come_before_it_is_given_up() -> None:
    health = [container(task)["HealthCheck"] for task in node_tasks().values()]
    pulled_and_started_s = 180
    assert all(decision.PATIENCE.total_seconds() > pulled_and_started_s + each["StartPeriod"] for each in health)
