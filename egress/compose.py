"""The proxy's parts out of settings."""

from __future__ import annotations

from egress.routes import Direct
from egress.settings import Rules
from egress.shares import Limits
from fleet.addresses import Allowance, parse_prefixes
from fleet.destinations import Destinations


def direct_route(rules: Rules, limits: Limits) -> Direct:
    """To be made inside a running loop."""
    destinations = Destinations(Allowance.parse(rules.egress_allow), denied=parse_prefixes(rules.egress_deny))
    return Direct(destinations, limits.connect)
