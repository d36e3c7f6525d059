"""Every site of the town, by host label."""

from __future__ import annotations

from infra.sample_town.business_site import business_sites
from infra.sample_town.businesses import build_town
from infra.sample_town.directory_site import DirectorySite
from infra.sample_town.model import DIRECTORY_LABEL, Town, site_url
from infra.sample_town.replies import Site
from infra.sample_town.workshop_sites import BENCH_LABEL, CLOCK_LABEL, TRAPS_LABEL, BenchSite, clock_site, traps_site


def build_sites(town: Town) -> dict[str, Site]:
    """All sites by label: what stands before ``.town.test`` in their host name."""
    sites: dict[str, Site] = {
        DIRECTORY_LABEL: DirectorySite(town),
        BENCH_LABEL: BenchSite(),
        CLOCK_LABEL: clock_site(),
        TRAPS_LABEL: traps_site(),
    }
    for business in town.businesses:
        sites.update(business_sites(business, town.poisons))
    return sites


def site_urls() -> list[str]:
    """The main site of every business, in the town's order."""
    return [site_url(business.label) for business in build_town().businesses]
