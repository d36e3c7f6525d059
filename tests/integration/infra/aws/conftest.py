"""Replicas for the scaler to ask."""

from tests.integration.control_plane.conftest import start

__all__ = ["start"]
