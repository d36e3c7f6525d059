"""Imports point one way: machines → leads, fleet; those two → nobody of ours; machines never each other. The egress
proxy is a part of the node as well as a machine of its own."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import REPOSITORY

PACKAGES = frozenset({"browser_node", "control_plane", "egress", "fleet", "infra", "leads"})

MAY_IMPORT = {
    "fleet": set(),
    "leads": set(),
    "egress": {"fleet"},
    "browser_node": {"egress", "fleet", "leads"},
    "control_plane": {"fleet", "leads"},
    "infra": PACKAGES,
}

# `leadfleet up` and `doctor` live in infra; nothing else of the control plane may know it
EXCEPTIONS = {(Path("control_plane/cli.py"), "infra")}

# what the contract may use beside the standard library: both machines and every client of theirs carry it
FLEET_MAY_USE = sys.stdlib_module_names | {"fleet", "redis"}

# I/O has no place in the domain: it takes a page's text and returns leads
LEADS_MAY_NOT_USE = frozenset({"aiohttp", "asyncio", "playwright", "redis", "requests", "socket", "subprocess"})


def sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of all that ``path`` imports, inside functions and under TYPE_CHECKING as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield path.relative_to(REPOSITORY).parts[0]
            elif node.module:
                yield node.module.partition(".")[0]


def offences(package: str) -> list[str]:
    """``file imports package`` for every import of ours that the table does not allow."""
    allowed = MAY_IMPORT[package] | {package}
    found = []
    for path in sources(package):
        relative = path.relative_to(REPOSITORY)
        wrong = {name for name in imported(path) if name in PACKAGES and name not in allowed}
        found += [f"{relative} imports {name}" for name in sorted(wrong) if (relative, name) not in EXCEPTIONS]
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_its_layer_may(package: str) -> None:
    assert sources(package), f"no sources under {package}"
    assert offences(package) == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_nothing_that_ships_imports_the_tests(package: str) -> None:
    wrong = [path for path in sources(package) if {"tests", "e2e", "pytest"} & set(imported(path))]
    assert wrong == []


def test_the_contract_needs_redis_and_the_standard_library_alone() -> None:
    used = {name for path in sources("fleet") for name in imported(path)}
    assert used <= FLEET_MAY_USE


def test_the_domain_does_no_io() -> None:
    used = {name for path in sources("leads") for name in imported(path)}
    assert not used & LEADS_MAY_NOT_USE


def test_the_check_sees_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would these tests fail? A source with one offence of each form is caught three times."""
    monkeypatch.setattr(f"{__name__}.REPOSITORY", tmp_path)
    (tmp_path / "browser_node").mkdir()
    (tmp_path / "browser_node" / "plain.py").write_text("import control_plane.app\n")
    (tmp_path / "browser_node" / "late.py").write_text("def f():\n    from control_plane import app\n")
    (tmp_path / "browser_node" / "typing_only.py").write_text("if TYPE_CHECKING:\n    import infra\n")
    assert offences("browser_node") == [
        "browser_node/late.py imports control_plane",
        "browser_node/plain.py imports control_plane",
        "browser_node/typing_only.py imports infra",
    ]
