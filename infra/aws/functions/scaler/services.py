"""The nodes' services in ECS: one a node, of one task or of none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PREFIX = "node-"

AT_ONCE = 10
"""Services that DescribeServices tells of in one answer."""

MISSING_SINCE = "leadfleet:missing-since"
"""Tag of a service without its node: since when, in ISO 8601. All that one look tells the next."""


@dataclass(frozen=True, slots=True)
class Service:
    """``missing_since`` is None while the node is there, or before anybody has missed it."""

    arn: str
    desired: int
    missing_since: datetime | None


class Services:
    """``ecs`` is boto3's client. A service that ECS does not list is none of ours."""

    def __init__(self, ecs: Any, cluster: str, nodes: Sequence[str]) -> None:
        self._ecs, self._cluster, self._nodes = ecs, cluster, nodes

    def all(self) -> dict[str, Service]:
        """By node, in the order in which nodes are started."""
        found: dict[str, Service] = {}
        for first in range(0, len(self._nodes), AT_ONCE):
            names = [PREFIX + node for node in self._nodes[first : first + AT_ONCE]]
            answer = self._ecs.describe_services(cluster=self._cluster, services=names, include=["TAGS"])
            for service in answer["services"]:
                if service["status"] == "ACTIVE":
                    found[service["serviceName"].removeprefix(PREFIX)] = _service(service)
        return {node: found[node] for node in self._nodes if node in found}

    def start(self, node: str) -> None:
        """One task."""
        self._ecs.update_service(cluster=self._cluster, service=PREFIX + node, desiredCount=1)

    def stop(self, node: str) -> None:
        """No task: ECS sends SIGTERM to the one there is."""
        self._ecs.update_service(cluster=self._cluster, service=PREFIX + node, desiredCount=0)

    def miss(self, service: Service, since: datetime) -> None:
        """Remember that a service is without its node."""
        tag = {"key": MISSING_SINCE, "value": since.isoformat(timespec="seconds")}
        self._ecs.tag_resource(resourceArn=service.arn, tags=[tag])

    def forget(self, service: Service) -> None:
        """The node has come, or is tried again."""
        self._ecs.untag_resource(resourceArn=service.arn, tagKeys=[MISSING_SINCE])


def _service(described: Mapping[str, Any]) -> Service:
    tags = {tag["key"]: tag["value"] for tag in described.get("tags", ())}
    since = datetime.fromisoformat(tags[MISSING_SINCE]).astimezone(UTC) if MISSING_SINCE in tags else None
    return Service(described["serviceArn"], described["desiredCount"], since)
