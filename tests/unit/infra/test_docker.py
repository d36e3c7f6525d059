"""Which engine and which Compose are taken, and what is said where there is none. The programs are stand-ins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.bootstrap import apt, docker
from infra.bootstrap.console import SetupError
from infra.bootstrap.docker import EngineMissing
from infra.containers.project import ensure_base_images


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_without_a_client_no_engine_answers(programs: Path) -> None:
    assert not docker.answers()


def test_an_engine_that_answers_is_taken_and_left_alone(programs: Path) -> None:
    program(programs, "docker", "exit 0")
    program(programs, "dockerd", "exit 1")
    with docker.engine():
        assert docker.ensure_running() is None


@pytest.mark.parametrize(
    ("plugin", "standalone", "chosen"),
    [
        (True, True, ["docker", "compose"]),
        (True, False, ["docker", "compose"]),
        (False, True, ["docker-compose"]),
    ],
)
def test_todays_compose_comes_first(programs: Path, plugin: bool, standalone: bool, chosen: list[str]) -> None:
    program(programs, "docker", f"exit {0 if plugin else 1}")
    if standalone:
        program(programs, "docker-compose", "exit 0")
    assert docker.compose() == chosen


def test_without_compose_it_says_what_to_install(programs: Path) -> None:
    program(programs, "docker", "exit 1")
    with pytest.raises(EngineMissing, match="docker-compose"):
        docker.compose()


def test_where_none_can_be_installed_it_says_what_to_do(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "distribution", lambda: "another")
    with pytest.raises(EngineMissing, match="no Docker engine answers"), docker.engine():
        pytest.fail("there is none")


def test_an_engine_that_ends_at_once_is_told_with_its_words(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may start one")
    program(programs, "docker", '[ "$1" = compose ]')
    program(programs, "dockerd", "echo no storage driver fits >&2; exit 1")
    with pytest.raises(EngineMissing, match="ended at once") as told, docker.engine():
        pytest.fail("it does not run")
    assert "no storage driver fits" in str(told.value)


NO_REGISTRY = "dial tcp: lookup registry.example: no such host"


@pytest.fixture
def cut_off(programs: Path) -> Path:
    """An engine that runs, has no image and reaches no registry."""
    program(programs, "docker", f'[ "$1" = pull ] && echo "{NO_REGISTRY}" >&2; [ "$1" = info ]')
    return programs


def test_without_a_registry_it_says_why_and_makes_the_images_out_of_packages(
    cut_off: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the engine is another's, which runs already: debootstrap may be missing all the same."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(apt, "install", lambda *packages: program(cut_off, *packages, "exit 0") is None)
    program(cut_off, "sh", f'echo "$1" >{cut_off}/ran')
    assert docker.ensure_running() is None
    ensure_base_images()
    said = capsys.readouterr().out
    assert NO_REGISTRY in said
    assert "out of Debian's packages instead" in said
    assert (cut_off / "ran").read_text().endswith("infra/base_images.sh\n")
    assert (cut_off / "debootstrap").exists()


@pytest.mark.parametrize("root", [True, False])
def test_where_they_cannot_be_made_either_both_ways_out_are_told(
    cut_off: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    with pytest.raises(SetupError, match="either let the engine reach an image registry, or on Debian"):
        ensure_base_images()
    assert NO_REGISTRY in capsys.readouterr().out


def test_images_that_are_there_or_come_are_not_made(programs: Path) -> None:
    program(programs, "docker", '[ "$1" = pull ] || [ "$3" = debian:bookworm-20260918-slim ]')
    ensure_base_images()
