"""What a stack is asked to be, and the environment each of its parts is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet.keys import JOIN_USER
from infra.stack.state import Secrets, StateDirectory
from infra.stack.valkey import CONTROL_USER

DEFAULT_HTTP_PORT = 8000
BUCKET = "leadfleet"
REGION = "us-east-1"  # moto's own default; nothing of it is real

# Every process of one stack carries this with the stack's random value, whoever started it: so that a Chrome
# whose agent was killed is found at the end, and no Chrome of anybody else is.
STACK_MARK = "LEADFLEET_STACK"

# What a node must never see: it opens hostile pages.
CONTROL_PLANE_ONLY = (
    "LEADFLEET_REDIS_URL",
    "LEADFLEET_SECRET",
    "LEADFLEET_BOOTSTRAP_KEY",
    "LEADFLEET_API_KEY",
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The command lines of the parts; tests put small stand-ins here."""

    control_plane: tuple[str, ...] = (sys.executable, "-m", "control_plane")
    node: tuple[str, ...] = (sys.executable, "-m", "browser_node")
    s3: tuple[str, ...] = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}")
    town: tuple[str, ...] = (sys.executable, "-m", "infra.sample_town", "--port", "{port}")


@dataclass(frozen=True, slots=True)
class Options:
    """Shape of a stack. ``http_port`` is the first replica's; None takes any that is free."""

    state: Path
    fleet: str = "local"
    http_port: int | None = None
    replicas: int = 1
    nodes: int = 1
    slots: int = 2
    town: bool = False
    egress_allow: tuple[str, ...] = ()
    """Targets that are reached although they are not public, as ``pattern=address:port``."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further ``LEADFLEET_…`` settings of all parts."""
    programs: Programs = field(default_factory=Programs)
    valkey_port: int | None = None
    """None takes any that is free, as for ``s3_port``."""
    s3_port: int | None = None
    stop_delay_s: int = 0
    """How long a replica serves on with its readiness off once it was told to stop."""
    leads_uri: str | None = None
    """Where the leads table is; None: in the state directory."""
    reach: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Loopback ports at which a part finds ``valkey`` or ``s3``, when not at their own: a network between them."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one run; ``http`` has one a replica."""

    valkey: int
    s3: int
    town: int
    http: tuple[int, ...]


class Environments:
    """The environment of each part: the caller's own without what is not theirs, and the stack's settings."""

    def __init__(self, options: Options, state: StateDirectory, secrets: Secrets, ports: Ports, mark: str) -> None:
        self._options, self._state, self._secrets, self._ports = options, state, secrets, ports
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self._base = inherited | dict(options.settings) | {STACK_MARK: mark, "PYTHONUNBUFFERED": "1"}
        allowed = list(options.egress_allow)
        if options.town:
            allowed.append(f"*.town.test=127.0.0.1:{ports.town}")
        self._common = {"LEADFLEET_FLEET": options.fleet}
        if allowed:
            self._common["LEADFLEET_EGRESS_ALLOW"] = ",".join(allowed)

    @property
    def control_url(self) -> str:
        """Valkey as the control plane reaches it; holds a password."""
        return self._control_url(self._ports.valkey)

    @property
    def s3_endpoint(self) -> str:
        return _endpoint(self._ports.s3)

    def control_plane(self, replica: int) -> dict[str, str]:
        """For the replica with this index, from 0."""
        reach = self._options.reach.get(f"control-plane-{replica + 1}", {})
        return (
            self._base
            | self._common
            | {
                "LEADFLEET_REDIS_URL": self._control_url(reach.get("valkey", self._ports.valkey)),
                "LEADFLEET_BIND": f"127.0.0.1:{self._ports.http[replica]}",
                "LEADFLEET_REPLICA": f"local-{replica + 1}",
                "LEADFLEET_S3_ENDPOINT": _endpoint(reach.get("s3", self._ports.s3)),
                "LEADFLEET_S3_BUCKET": BUCKET,
                "LEADFLEET_S3_REGION": REGION,
                "LEADFLEET_LEADS_URI": self._options.leads_uri or f"file://{self._state.leads}",
                "LEADFLEET_STATE": str(self._state.path),
                "LEADFLEET_STOP_DELAY": str(self._options.stop_delay_s),
                "LEADFLEET_BOOTSTRAP_KEY": self._secrets.api_key,
                "LEADFLEET_SECRET": self._secrets.signing_secret,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_REGION": REGION,
            }
        )

    def node(self, node: str) -> dict[str, str]:
        """For the node of this name. It knows how to knock, and no secret beyond that."""
        known = {k: v for k, v in self._base.items() if k not in CONTROL_PLANE_ONLY}
        valkey = self._options.reach.get(node, {}).get("valkey", self._ports.valkey)
        join = f"redis://{JOIN_USER}:{self._secrets.join_password}@127.0.0.1:{valkey}/0"
        return (
            known
            | self._common
            | {
                "LEADFLEET_JOIN_URL": join,
                "LEADFLEET_NODE_ID": node,
                "LEADFLEET_SLOTS": str(self._options.slots),
                "LEADFLEET_STATE": str(self._state.node(node)),
            }
        )

    def server(self) -> dict[str, str]:
        """For Valkey, S3 and the town, which take no settings of ours."""
        return {k: v for k, v in self._base.items() if k not in CONTROL_PLANE_ONLY}

    def _control_url(self, port: int) -> str:
        return f"redis://{CONTROL_USER}:{self._secrets.control_password}@127.0.0.1:{port}/0"


def _endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"
