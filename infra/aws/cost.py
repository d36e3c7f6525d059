"""What a fleet of the template costs a month, as an estimate: ``python -m infra.aws.cost`` prints docs/aws.md's table.

Three kinds of numbers go in, and each says which it is: list prices, which AWS changes; what was measured of Leadfleet,
with the page it stands on; and assumptions, which nobody has measured. Left out: taxes, free tiers, discounts, what
CloudFront sends to viewers, container insights, and whatever ``Durability: sync`` adds to Valkey's price.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil

from infra.aws.parts import parts

HOURS = 730  # a month
DAYS = HOURS / 24

PRICES_OF = (
    "us-east-1, on demand, Linux on x86; of Fargate, NAT, endpoints and addresses as published overviews of February "
    "to June 2026 have them, the rest as known in 2025"
)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars."""

    fargate_vcpu_hour: float = 0.04048
    fargate_gb_hour: float = 0.004445
    nat_hour: float = 0.045
    nat_gb: float = 0.045  # each way
    endpoint_hour: float = 0.01  # a service and zone
    load_balancer_hour: float = 0.0225 + 0.008  # with one capacity unit
    address_hour: float = 0.005  # a public IPv4 address
    valkey_node_hour: float = 0.1264  # cache.m7g.large
    secret_month: float = 0.40
    alarm_month: float = 0.10  # a metric of an alarm
    metric_month: float = 0.30
    dashboard_month: float = 3.00
    logs_gb: float = 0.50
    s3_gb_month: float = 0.023


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Not measured, but for the last one. What a fleet of your own shows replaces them."""

    pages_slot_minute: float = 10
    """The pace that docs/scale.md plans with: a unit of ten pages takes a minute. Two cores loaded 650 to 780 light
    local pages a minute; pages of the web wait for their servers and for politeness."""

    in_use: float = 0.8
    """Of the slots that run, as the scaler keeps a quarter more than it needs."""

    mb_page: float = 2.0
    """Through the NAT gateway, both ways."""

    connections_page: float = 10
    """Lines of the egress proxies' access log."""

    bytes_line: float = 300

    mbit_s_proxy: float = 300
    """What an egress proxy of one vCPU carries."""

    results_page: float = 0.5

    result_bytes: float = 1_410
    """Measured in Valkey (docs/scale.md); a row of the table is smaller, for Parquet packs it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Dollars a month by part, for ``pages`` a day that are spread evenly over it."""

    pages: int
    nodes: float
    proxies: int
    dollars: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.dollars.values())

    @property
    def per_thousand_pages(self) -> float | None:
        return self.total / (self.pages * DAYS) * 1000 if self.pages else None


def estimate(pages: int, prices: Prices | None = None, assumed: Assumptions | None = None) -> Estimate:
    """For the template's defaults, with medium nodes (large ones cost the same a slot)."""
    price, a = prices or Prices(), assumed or Assumptions()
    count = _counts()
    month = pages * DAYS
    slots = pages / 1440 / a.pages_slot_minute / a.in_use
    nodes = max(1.0, slots / 4)
    gb = month * a.mb_page / 1024
    proxies = max(2, ceil(pages * a.mb_page * 8 / 86_400 / a.mbit_s_proxy))

    def fargate(vcpu: float, memory_gb: float) -> float:
        return HOURS * (vcpu * price.fargate_vcpu_hour + memory_gb * price.fargate_gb_hour)

    return Estimate(
        pages,
        nodes,
        proxies,
        {
            "nodes": nodes * fargate(4, 16),
            "replicas": 2 * fargate(1, 4),
            "egress proxies": proxies * fargate(1, 2),
            "Valkey": 2 * HOURS * price.valkey_node_hour,
            "NAT gateways": count["AWS::EC2::NatGateway"] * HOURS * price.nat_hour + gb * price.nat_gb,
            "endpoints": count["interface endpoints"] * 2 * HOURS * price.endpoint_hour,
            "load balancer": HOURS * price.load_balancer_hour,
            "addresses": (count["AWS::EC2::EIP"] + 2) * HOURS * price.address_hour,
            "watching": count["AWS::CloudWatch::Alarm"] * 1.5 * price.alarm_month
            + 10 * price.metric_month
            + price.dashboard_month
            + count["AWS::SecretsManager::Secret"] * price.secret_month,
            "logs": month * a.connections_page * a.bytes_line / 1e9 * price.logs_gb,
            "S3, a month's leads": month * a.results_page * a.result_bytes / 1e9 * price.s3_gb_month,
        },
    )


def table(pages: tuple[int, ...] = (0, 1_000, 100_000, 10_000_000)) -> str:
    """Markdown: a column a number of pages a day."""
    columns = [estimate(number) for number in pages]
    lines = ["| dollars a month | " + " | ".join("idle" if not n else f"{n:,} pages a day" for n in pages) + " |"]
    lines.append("|---|" + "---|" * len(pages))
    lines += [
        f"| {part} | " + " | ".join(f"{column.dollars[part]:,.0f}" for column in columns) + " |"
        for part in columns[0].dollars
    ]
    lines.append("| **together** | " + " | ".join(f"**{column.total:,.0f}**" for column in columns) + " |")
    each = [column.per_thousand_pages for column in columns]
    lines.append("| a thousand pages | " + " | ".join("" if one is None else f"{one:,.2f}" for one in each) + " |")
    lines.append("| nodes of 4 slots | " + " | ".join(f"{column.nodes:,.1f}" for column in columns) + " |")
    lines.append("| egress proxies | " + " | ".join(str(column.proxies) for column in columns) + " |")
    return "\n".join(lines)


def _counts() -> dict[str, int]:
    """How many there are of each kind, from the template."""
    found: dict[str, int] = {}
    for part in parts():
        for resource in part.resources():
            found[resource.kind] = found.get(resource.kind, 0) + 1
            if resource.properties.get("VpcEndpointType") == "Interface":
                found["interface endpoints"] = found.get("interface endpoints", 0) + 1
    return found


def main() -> int:
    print(f"Prices: {PRICES_OF}.\n")
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
