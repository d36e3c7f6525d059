"""A web site on loopback, as the tests of the node have it, and the trap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import namespaces
from tests.integration.browser_node.conftest import site
from tests.integration.egress.vectors import ALL, link_local
from tests.integration.egress.world import SITE, SITE_6, World, world

__all__ = ["site"]


@pytest.fixture(scope="module")
def trap() -> Iterator[World]:
    """The world with the names of all vectors, and ``site.example``, which is public."""
    namespaces.needed()
    with world() as made:
        made.answer_on_the_link(link_local())
        for vector in ALL:
            made.names.update(vector.names)
        for name in ("site.example", "other.example", "xn--bcher-kva.example"):
            made.names[name] = lambda kind, before: [f"A {SITE}"] if kind == "A" else [f"AAAA {SITE_6}"]
        yield made
