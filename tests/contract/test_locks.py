"""The locks pin everything that is declared, by hash, and tie nobody to an index."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

import pytest

from tests.contract.test_layers import PACKAGES, imported, sources
from tests.support import REPOSITORY

PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==\S+", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

EXTRAS = {"control-plane": ["control-plane"], "node": ["node"], "dev": ["control-plane", "node", "local"]}

LOCKS = [*EXTRAS, "browsers", "egress", "aws", "checkov"]

# parts of what is declared: botocore belongs to aiobotocore, werkzeug to Quart, typing_extensions to pydantic
BROUGHT_ALONG = {"botocore", "typing-extensions", "werkzeug"}


def normal(distribution_name: str) -> str:
    """A distribution's name as locks write it."""
    return re.sub(r"[-_.]+", "-", distribution_name).lower()


def lock_text(name: str) -> str:
    return (REPOSITORY / "requirements" / f"{name}.lock").read_text()


def distribution(requirement: str) -> str:
    """``redis[hiredis]>=8`` → ``redis``."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower()


def declared(name: str) -> set[str]:
    """Distributions that the lock of this name has to hold, from pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = list(project["dependency-groups"].get(name, ()))
    if name in EXTRAS:
        wanted += project["project"]["dependencies"]
    for extra in EXTRAS.get(name, ()):
        wanted += project["project"]["optional-dependencies"][extra]
    return {distribution(requirement) for requirement in wanted}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_all_that_is_declared(name: str) -> None:
    assert declared(name) <= set(PIN.findall(lock_text(name)))


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash_and_nothing_else_is_in_a_lock(name: str) -> None:
    entries = re.split(r"\n(?=\S)", lock_text(name).strip())
    assert [entry for entry in entries if not PIN.match(entry) or not HASH.search(entry)] == []
    assert "://" not in lock_text(name), "an address in a lock ties everybody to one index"


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("fleet", "node"),
        ("leads", "node"),
        ("egress", "egress"),
        ("browser_node", "node"),
        ("control_plane", "control-plane"),
        ("infra", "dev"),
    ],
)
def test_what_a_package_imports_is_declared(package: str, name: str) -> None:
    """By itself, not by way of another distribution that happens to need it."""
    owners = packages_distributions()
    modules = {module for path in sources(package) for module in imported(path)} - sys.stdlib_module_names - PACKAGES
    undeclared = {
        module
        for module in modules
        if not {normal(owner) for owner in owners.get(module, [module])} & (declared(name) | BROUGHT_ALONG)
    }
    assert undeclared == set()


@pytest.mark.parametrize("name", ["control-plane", "egress", "node"])
def test_the_images_run_what_the_tests_ran(name: str) -> None:
    tested = set(re.findall(r"^\S+==\S+", lock_text("dev"), re.MULTILINE))
    assert set(re.findall(r"^\S+==\S+", lock_text(name), re.MULTILINE)) <= tested


def test_what_comes_on_top_replaces_nothing() -> None:
    pin = re.compile(r"^([^=\s]+)==(\S+)", re.MULTILINE)
    dev, browsers = (dict(pin.findall(lock_text(name))) for name in ("dev", "browsers"))
    assert {name: version for name, version in browsers.items() if dev.get(name, version) != version} == {}


def test_a_node_carries_nothing_of_the_control_plane() -> None:
    assert not {"aiobotocore", "boto3", "deltalake", "polars", "quart"} & set(PIN.findall(lock_text("node")))
