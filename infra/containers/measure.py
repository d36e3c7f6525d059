"""``python3 -m infra.containers.measure``: what the images are made of, and how long each container takes to be ready.

Against the stack of ``make stack``, which it restarts container by container: the figures of docs/containers.md.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

from infra.bootstrap.console import SetupError
from infra.containers.project import BASE_IMAGES, Project, docker_output

OWN_IMAGES = ("leadfleet/node", "leadfleet/control-plane", "leadfleet/egress", "leadfleet/proxy")
READY_TIMEOUT_S = 120
POLL_S = 0.05
MB = 1_000_000


def layers(image: str) -> list[tuple[float, str]]:
    """``(MB, instruction)`` of each layer that holds something, from the last to the first."""
    lines = docker_output("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    parted = (line.split("\t", 1) for line in lines.splitlines())
    return [(int(size) / MB, made.replace("/bin/sh -c #(nop) ", "")[:100]) for size, made in parted if int(size)]


def size(image: str) -> float:
    """MB, all layers together."""
    return float(docker_output("image", "inspect", "--format", "{{.Size}}", image)) / MB


def is_ready(project: Project, container: dict[str, Any]) -> Callable[[], bool]:
    """A question to ask again and again; what it takes for each kind of container."""
    name, service = container["Name"].lstrip("/"), container["Config"]["Labels"]["com.docker.compose.service"]
    if service == "node":
        return lambda: '"accepted"' in docker_output("logs", "--since", _started(name), name)
    if service == "valkey":
        return partial(_succeeds, "exec", name, *container["Config"]["Healthcheck"]["Test"][1:])
    if service == "proxy":
        return lambda: _answers(f"{project.url}/health/ready")
    path = {"control-plane": ":8000/health/ready", "egress": ":3128/health", "s3": ":5000/", "town": ":8080/_truth"}[
        service
    ]
    return lambda: any(_answers(f"http://{address}{path}") for address in _addresses(name))


def restart(project: Project, container: dict[str, Any]) -> float:
    """Stop it and start it again; seconds from its start until it is ready. Raises SetupError."""
    name = container["Name"].lstrip("/")
    docker_output("stop", name, timeout=120)
    began = time.monotonic()
    docker_output("start", name)
    ready = is_ready(project, container)
    while True:
        with contextlib.suppress(SetupError):
            if ready():
                return time.monotonic() - began
        if time.monotonic() - began > READY_TIMEOUT_S:
            raise SetupError(f"{name} was not ready {READY_TIMEOUT_S} s after its start")
        time.sleep(POLL_S)


def main() -> int:
    for image in (*OWN_IMAGES, *BASE_IMAGES):
        print(f"\n{image}  {size(image):.0f} MB")
        for megabytes, made in layers(image) if image in OWN_IMAGES else ():
            print(f"  {megabytes:7.1f}  {made}")
    project = Project(profiles=("town",))
    print("\nfrom the start of a container until it is ready, in seconds")
    for container in sorted(project.containers(), key=lambda container: str(container["Name"])):
        print(f"  {restart(project, container):6.1f}  {container['Name'].lstrip('/')}", flush=True)
        project.wait()
    return 0


def _succeeds(*arguments: str) -> bool:
    docker_output(*arguments)  # raises when it does not
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - addresses of our own containers
            return bool(answer.status == 200)
    except OSError:
        return False


def _addresses(name: str) -> list[str]:
    (container,) = json.loads(docker_output("inspect", name))
    return [str(attached["IPAddress"]) for attached in container["NetworkSettings"]["Networks"].values()]


def _started(name: str) -> str:
    return docker_output("inspect", "--format", "{{.State.StartedAt}}", name).strip()


if __name__ == "__main__":
    sys.exit(main())
