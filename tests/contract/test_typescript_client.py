"""The TypeScript client: its types are of this API, and its lock pins all by hash and names no registry."""

from __future__ import annotations

import json

from infra import openapi
from tests.support import REPOSITORY

CLIENT = REPOSITORY / "clients" / "typescript"


def test_the_document_that_its_types_are_made_from_is_that_of_the_routes() -> None:
    assert (CLIENT / "openapi.json").read_text() == openapi.text(), "run `make openapi`"


def test_every_package_of_its_lock_has_a_hash_and_no_address() -> None:
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    others = {name: package for name, package in packages.items() if name}
    assert len(others) > 10
    assert [name for name, package in others.items() if not package.get("integrity")] == []
    assert [name for name, package in others.items() if "resolved" in package] == []


def test_it_has_no_dependency_at_run_time() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert "dependencies" not in package
    assert set(package["peerDependencies"]) == set(package["peerDependenciesMeta"]) == {"react"}
