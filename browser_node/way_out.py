"""The node's way out: the egress proxy of this process, with a listener for each slot.

With ``LEADFLEET_EGRESS_PROXY`` it goes on through that proxy, and looks up no name itself.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from browser_node.settings import Settings
from egress.access import PASSED, Access
from egress.compose import direct_route
from egress.proxy import EgressProxy
from egress.refused import Refused
from egress.routes import Through
from fleet.credentials import Holder

ASK_AGAIN = timedelta(seconds=1)
"""Of a further proxy that is away: one that is restarted is so for seconds."""

log = structlog.get_logger(__name__)


class WayOut:
    """Listens from `start` until `stop`."""

    def __init__(self, settings: Settings) -> None:
        """To be made inside a running loop."""
        self._doubt = asyncio.Event()
        self._key = ""
        self._node = Holder(settings.node_id)
        limits = settings.limits(settings.egress_connections)
        further = settings.further_proxy
        self._through = Through(further, lambda: self._key, limits.connect, self._doubted) if further else None
        route = self._through or direct_route(settings, limits)
        self._proxy = EgressProxy(route, limits, self._write_down)
        self.slots = [self._proxy.slot_listener(settings.node_id) for _ in range(settings.slots)]

    @property
    def needs_proof(self) -> bool:
        """Whether nobody gets out before `prove`."""
        return self._through is not None

    async def start(self) -> None:
        for listener in self.slots:
            await self._proxy.listen(listener)

    async def stop(self) -> None:
        """Close the ports and every connection."""
        await self._proxy.stop()

    async def prove(self, key: str) -> bool:
        """Use ``key`` from now on. Waits for a further proxy that is away; whether it knows this node."""
        self._key = key
        while self._through is not None:
            self._doubt.clear()
            try:
                return await self._through.is_known(self._node)
            except Refused as exc:
                log.warning("no_way_out", reason=exc.reason)
                await asyncio.sleep(ASK_AGAIN.total_seconds())
        return True

    async def lost(self) -> None:
        """Returns once the further proxy does not know this node any more, or is away."""
        known = True
        while known:
            await self._doubt.wait()
            self._doubt.clear()
            assert self._through is not None  # nobody else doubts
            try:
                known = await self._through.is_known(self._node)
            except Refused:
                known = False

    def _doubted(self, key: str) -> None:
        if key == self._key:  # not one that was in use when the connection was begun
            self._doubt.set()

    def _write_down(self, access: Access) -> None:
        """A page makes dozens: only what did not pass is told without being asked for."""
        tell = log.debug if access.verdict == PASSED else log.info
        tell("access", **(access.fields() | {"node": self._node.node}))
