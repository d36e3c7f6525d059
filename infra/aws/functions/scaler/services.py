"""The nodes' services in ECS: one a node, of one task or of none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PREFIX = "node-"

AT_ONCE = 10
"""Services that DescribeServices tells of in one answer."""


class Services:
    """``ecs`` is boto3's client. A service that ECS does not list is none of ours."""

    def __init__(self, ecs: Any, cluster: str, nodes: Sequence[str]) -> None:
        self._ecs, self._cluster, self._nodes = ecs, cluster, nodes

    def desired(self) -> dict[str, int]:
        """Desired counts by node, in the order in which nodes are started."""
        found: dict[str, int] = {}
        for first in range(0, len(self._nodes), AT_ONCE):
            names = [PREFIX + node for node in self._nodes[first : first + AT_ONCE]]
            answer = self._ecs.describe_services(cluster=self._cluster, services=names)
            for service in answer["services"]:
                if service["status"] == "ACTIVE":
                    found[service["serviceName"].removeprefix(PREFIX)] = service["desiredCount"]
        return {node: found[node] for node in self._nodes if node in found}

    def start(self, node: str) -> None:
        """One task."""
        self._ecs.update_service(cluster=self._cluster, service=PREFIX + node, desiredCount=1)

    def stop(self, node: str) -> None:
        """No task: ECS sends SIGTERM to the one there is."""
        self._ecs.update_service(cluster=self._cluster, service=PREFIX + node, desiredCount=0)
