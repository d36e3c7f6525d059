"""The sample town: a small web of businesses that do not exist, served on loopback, with its truth in a file.

The demo, the tests and the benchmarks scrape it with real browsers. See ``server`` for how it is reached.
"""

from __future__ import annotations

from infra.sample_town.model import DIRECTORY_URL, SITE_SUFFIX, site_url
from infra.sample_town.server import TownServer
from infra.sample_town.sites import site_urls

__all__ = ["DIRECTORY_URL", "SITE_SUFFIX", "TownServer", "site_url", "site_urls"]
