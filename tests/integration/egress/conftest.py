"""A web site on loopback, as the tests of the node have it."""

from tests.integration.browser_node.conftest import site

__all__ = ["site"]
