"""The node's way out: the egress proxy of this process, with a listener for each slot and one for the node itself.

With ``LEADFLEET_EGRESS_PROXY`` it goes on through that proxy, and looks up no name itself.
"""

from __future__ import annotations

import structlog

from browser_node.settings import Settings
from egress.access import PASSED, Access
from egress.compose import direct_route
from egress.proxy import EgressProxy
from egress.routes import Through

log = structlog.get_logger(__name__)


class WayOut:
    """Listens from `start` until `stop`."""

    def __init__(self, settings: Settings) -> None:
        """To be made inside a running loop."""
        self.key = ""
        """The node's key to the further proxy; the control plane tells it at the registration."""
        limits = settings.limits(settings.egress_connections)
        further = settings.further_proxy
        route = Through(further, lambda: self.key, limits.connect) if further else direct_route(settings, limits)
        self._proxy = EgressProxy(route, limits, _write_down)
        self.node = self._proxy.own_listener(settings.node_id)
        """For what belongs to no unit."""
        self.slots = [self._proxy.own_listener(settings.node_id) for _ in range(settings.slots)]

    async def start(self) -> None:
        for listener in (self.node, *self.slots):
            await self._proxy.listen(listener)

    async def stop(self) -> None:
        """Close the ports and every connection."""
        await self._proxy.stop()


def _write_down(access: Access) -> None:
    """A page makes dozens: only what did not pass is told without being asked for."""
    if access.verdict == PASSED:
        log.debug("access", **access.fields())
    else:
        log.info("access", **access.fields())
