"""What the Dockerfiles promise: what goes in, who runs it, what pins it, how its health is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import REPOSITORY

NODE = REPOSITORY / "Dockerfile.node"
CONTROL_PLANE = REPOSITORY / "infra" / "Dockerfile.control_plane"
EGRESS = REPOSITORY / "infra" / "Dockerfile.egress"
PROXY = REPOSITORY / "infra" / "Dockerfile.proxy"

ALL = pytest.mark.parametrize("dockerfile", [NODE, CONTROL_PLANE, EGRESS, PROXY], ids=lambda path: path.name)
BARE = pytest.mark.parametrize("dockerfile", [NODE, CONTROL_PLANE, EGRESS], ids=lambda path: path.name)
BOTH = pytest.mark.parametrize("dockerfile", [NODE, CONTROL_PLANE], ids=lambda path: path.name)

# `debian:bookworm-slim` is whatever is newest when the image is built
DATED = re.compile(r"[a-z0-9./-]+:[a-z]+-\d{8}-slim\Z")

TOOLS = {"infra/image_user.sh", "infra/slim_image.sh"}
"""What works in a stage before the last and removes itself."""

Instruction = tuple[str, str]


def instructions(path: Path) -> list[Instruction]:
    """``(instruction, argument)`` of each, lines that continue joined, comments left out."""
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line.strip()]


def arguments(path: Path, instruction: str) -> list[str]:
    return [argument for name, argument in instructions(path) if name == instruction]


def copied(path: Path) -> set[str]:
    """What comes from the repository; copies between stages are not counted."""
    return {source for a in arguments(path, "COPY") if not a.startswith("--from=") for source in a.split()[:-1]}


def final_stage(path: Path) -> list[Instruction]:
    found = instructions(path)
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def test_a_node_gets_its_packages_and_their_lock_alone() -> None:
    assert copied(NODE) == {"browser_node/", "egress/", "fleet/", "leads/", "requirements/node.lock", *TOOLS}


def test_a_replica_gets_its_packages_and_their_lock_alone() -> None:
    assert copied(CONTROL_PLANE) == {"control_plane/", "fleet/", "leads/", "requirements/control-plane.lock", *TOOLS}


def test_the_egress_proxy_gets_its_packages_and_their_lock_alone() -> None:
    assert copied(EGRESS) == {"egress/", "fleet/", "requirements/egress.lock", *TOOLS}


def test_the_egress_proxy_is_the_first_process_and_writes_nothing() -> None:
    assert arguments(EGRESS, "ENTRYPOINT") == arguments(EGRESS, "VOLUME") == []
    assert json.loads(dict(final_stage(EGRESS))["CMD"]) == ["python", "-m", "egress"]


@ALL
def test_nothing_is_added_from_elsewhere(dockerfile: Path) -> None:
    assert arguments(dockerfile, "ADD") == []


@ALL
def test_what_is_copied_exists_and_reaches_the_engine(dockerfile: Path) -> None:
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied(dockerfile):
        assert (REPOSITORY / source).exists()
        assert {source.rstrip("/"), Path(source).parts[0]} & allowed


@ALL
def test_the_base_image_is_that_of_a_day(dockerfile: Path) -> None:
    defaults = dict(argument.split("=", 1) for argument in arguments(dockerfile, "ARG"))
    bases = {argument.split()[0] for argument in arguments(dockerfile, "FROM")} - {"scratch"}
    named = {re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], base) for base in bases}
    assert named
    assert all(DATED.match(base) for base in named)


@BARE
def test_the_last_stage_holds_what_was_left_and_nothing_below(dockerfile: Path) -> None:
    """A layer hides what it removes; only an image from nothing is without it."""
    stage = final_stage(dockerfile)
    assert stage[0] == ("FROM", "scratch")
    assert ("COPY", "--from=system / /") in stage
    assert not [name for name, _ in stage if name == "RUN"], "there is no shell that could run it"


@BARE
def test_every_python_package_is_pinned_by_hash(dockerfile: Path) -> None:
    installs = re.findall(r"pip\b[^&]*\binstall\b[^&]*", " && ".join(arguments(dockerfile, "RUN")))
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]


@ALL
def test_it_does_not_run_as_root(dockerfile: Path) -> None:
    names = [name for name, _ in final_stage(dockerfile)]
    (user,) = [argument for name, argument in final_stage(dockerfile) if name == "USER"]
    assert user not in {"root", "0"}
    assert names.index("USER") < names.index("CMD")
    assert not {"RUN", "COPY"} & set(names[names.index("USER") :]), "what it runs is not its to write"


@BOTH
def test_an_init_reaps_and_the_program_gets_the_signals(dockerfile: Path) -> None:
    stage = dict(final_stage(dockerfile))
    assert json.loads(stage["ENTRYPOINT"]) == ["tini", "--"]
    module = json.loads(stage["CMD"])
    assert module[:2] == ["python", "-m"]  # exec form: a shell in between would swallow SIGTERM
    assert (REPOSITORY / module[2] / "__main__.py").exists()


@ALL
def test_its_health_is_asked(dockerfile: Path) -> None:
    (check,) = arguments(dockerfile, "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    if command[0] == "bash":
        assert "/health/ready" in command[2]
    elif command[1] == "-m":
        assert (REPOSITORY / command[2].replace(".", "/")).with_suffix(".py").exists()
    else:
        assert "/health/live" in command[2]


@BOTH
def test_the_state_directory_is_a_volume_of_its_user(dockerfile: Path) -> None:
    """Fargate gives a volume to root unless the image declares the folder a volume."""
    assert arguments(dockerfile, "VOLUME") == ["/state"]
    assert any("sh /image_user.sh" in run for run in arguments(dockerfile, "RUN"))
    assert "install -d -o 10001 -g 10001 -m 0700 /state" in (REPOSITORY / "infra/image_user.sh").read_text()


@ALL
def test_no_setting_that_is_secret_is_baked_in(dockerfile: Path) -> None:
    baked = " ".join(arguments(dockerfile, "ENV") + arguments(dockerfile, "ARG"))
    assert not re.search(r"PASSWORD|SECRET|KEY|TOKEN|_URL=", baked)
