"""The stack of infra/compose.yaml as a Compose project: built, started until all of it is healthy, scaled, removed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.bootstrap import docker
from infra.bootstrap.console import SetupError, say
from infra.containers import secrets

FOLDER = Path(__file__).resolve().parents[1]
"""Where compose.yaml lies; the paths in it start here."""

BASE_IMAGES = ("debian:bookworm-20260918-slim", "valkey/valkey:9.1.2", "motoserver/moto:5.2.5")
"""What compose.yaml and the Dockerfiles name that is not built from them."""

PULL_TIMEOUT_S = 300
BUILD_TIMEOUT_S = 1800  # from nothing, on a slow line: Chromium, fonts and wheels are 600 MB
READY_TIMEOUT_S = 240  # 25 s from warm disks; Chromes, replicas and moto all start at once
DOWN_TIMEOUT_S = 180  # a node may drain for 45 s
POLL_S = 0.5


class StackNotReady(SetupError):
    """A container that is not healthy in time."""

    def __init__(self, states: dict[str, str], words: str) -> None:
        late = ", ".join(f"{name} is {state}" for name, state in sorted(states.items()) if state != "healthy")
        super().__init__(f"not everything is healthy after {READY_TIMEOUT_S} s: {late}\n{words}")


@dataclass(frozen=True, slots=True)
class Project:
    """One stack of this machine. Two at a time differ in all of these."""

    name: str = "leadfleet"
    http_port: int = 8000
    town_net: str = "172.31.250"
    """The first three numbers of the network that egress and town share."""
    secrets: Path = secrets.FOLDER
    profiles: tuple[str, ...] = ()
    egress_allow: str = ""
    """Targets that are reached although they are not public, besides the town: ``name=address:port``, by commas."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.http_port}"

    @property
    def api_key(self) -> str:
        return (self.secrets / secrets.API_KEY).read_text()

    def compose(self, *arguments: str, timeout: float = 60) -> str:
        """Run Compose; what it prints. Raises SetupError with its last words."""
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        command = [*docker.compose(), *profiles, *arguments]
        environment = os.environ | {
            "COMPOSE_PROJECT_NAME": self.name,
            "HTTP_PORT": str(self.http_port),
            "TOWN_NET": self.town_net,
            "SECRETS": str(self.secrets),
            "EGRESS_ALLOW": self.egress_allow,
        }
        try:
            done = subprocess.run(
                command, cwd=FOLDER, env=environment, capture_output=True, text=True, errors="replace", timeout=timeout
            )
        except subprocess.TimeoutExpired as exc:
            raise SetupError(f"{' '.join(command)} did not end within {timeout:g} s") from exc
        if done.returncode != 0:
            raise SetupError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def build(self) -> None:
        """Base images where no registry answers, then our own."""
        ensure_base_images()
        say("building the images")
        self.compose("build", timeout=BUILD_TIMEOUT_S)

    def up(self, nodes: int = 1) -> None:
        """Start everything and return when all of it is healthy. Raises SetupError, StackNotReady."""
        secrets.prepare(self.secrets)
        say("starting the containers")
        self.compose("up", "-d", "--scale", f"node={nodes}", timeout=READY_TIMEOUT_S)
        self.wait()

    def wait(self) -> None:
        """Return when every container is healthy. Raises StackNotReady with the words of those that are not."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while set((states := self.states()).values()) != {"healthy"}:
            if time.monotonic() > deadline:
                late = [name for name, state in states.items() if state != "healthy"]
                raise StackNotReady(states, "\n".join(docker_output("logs", "--tail", "5", name) for name in late))
            time.sleep(POLL_S)

    def containers(self) -> list[dict[str, Any]]:
        """What the engine knows of each container of the project, stopped ones as well."""
        label = f"label=com.docker.compose.project={self.name}"
        ids = docker_output("ps", "--all", "--quiet", "--filter", label).split()
        found: list[dict[str, Any]] = json.loads(docker_output("inspect", *ids)) if ids else []
        return found

    def states(self) -> dict[str, str]:
        """By name: ``healthy``, ``unhealthy``, ``starting``, or the state of a container that does not run."""
        return {
            container["Name"].lstrip("/"): container["State"].get("Health", {}).get("Status", "")
            if container["State"]["Running"]
            else container["State"]["Status"]
            for container in self.containers()
        }

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove the containers and networks; what they kept goes with ``volumes``."""
        self.compose("down", "--remove-orphans", *(["--volumes"] if volumes else []), timeout=DOWN_TIMEOUT_S)


def ensure_base_images() -> None:
    """Have the images that ours are made from: pulled, or made of packages where no registry gives them.

    Says why not, and what it does instead. Raises SetupError.
    """
    refusals = (_pull(image) for image in BASE_IMAGES if not _has_image(image))
    refused = next((refusal for refusal in refusals if refusal), None)
    if refused is None:
        return
    say(f"no base image from a registry: {refused}")
    docker.ensure_debootstrap()
    say("making the base images out of Debian's packages instead; that takes a minute or two")
    done = subprocess.run(["sh", str(FOLDER / "base_images.sh")], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise SetupError(f"infra/base_images.sh failed:\n{(done.stdout + done.stderr)[-3000:]}")


def docker_output(*arguments: str, timeout: float = 60) -> str:
    """What ``docker`` prints on both streams; raises SetupError with it when it fails."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    if done.returncode != 0:
        raise SetupError(f"docker {' '.join(arguments)} failed: {done.stdout[-2000:]}")
    return done.stdout


def _has_image(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True).returncode == 0


def _pull(name: str) -> str:
    """Why an image could not be pulled, in the engine's words; empty when it was."""
    command = ["docker", "pull", "--quiet", name]
    try:
        pulled = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PULL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"`docker pull {name}` did not end within {PULL_TIMEOUT_S} s"
    if pulled.returncode == 0:
        return ""
    return f"`docker pull {name}` failed: {(pulled.stderr or pulled.stdout).strip()[-500:] or 'without a word'}"
