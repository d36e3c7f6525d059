"""When the garbage collector may stop the event loop: rarely while much is asked of it, and in quiet moments instead.

A look at all objects takes 150 ms with 650 connections, and every event of that time is late. Connections that have
ended wait for such a look with 8 KB each, so it must not wait for ever either.
"""

from __future__ import annotations

import asyncio
import gc

from control_plane.turnstile import Turnstile

THRESHOLDS = 2_000, 10, 100
"""At the latest after 2,000,000 new objects (two minutes of full load): some 200 MB at the most."""

DUE = 10
"""In a quiet moment after so many looks at younger objects: 200,000 new ones."""

LOOK_EVERY_S = 1.0


def collect_less() -> None:
    """Leave out what has been imported, which stays for ever, and look at all else as rarely as `THRESHOLDS` says."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


async def collect_when_quiet(turnstile: Turnstile) -> None:
    """Look at all objects once that is due and no request waits. Until cancelled."""
    while True:
        if turnstile.quiet and gc.get_count()[2] >= DUE:
            gc.collect()
        await asyncio.sleep(LOOK_EVERY_S)
