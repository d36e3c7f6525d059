"""Who a connection through the egress proxy belongs to, and how it proves that. Nothing is stored to check it.

The control plane and the proxy share one secret. ``node_key(secret, node)`` is what the control plane tells a node
about it; with that key the node makes the password of each of its units. The proxy makes the same password again from
the user alone. So a node can speak for no other node, and nothing it holds says what the secret is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fleet.errors import FleetError

NO_UNIT = "-"
"""Stands in the place of a unit for connections that belong to none."""

CONTROL_PLANE = "control-plane"
"""Who the control plane is to the egress proxy; no node is let in by that name."""

_UNIT = "tsk_"
"""What the ids of units begin with."""

_USER = re.compile(
    r"([a-z0-9][a-z0-9_-]{0,63})\.(-|tsk_[0-9a-z]{26}\.[0-9]{1,4}|replica-[a-z0-9_-]{1,64})\.([0-9]{1,19})\Z"
)
_NODE_CONTEXT = "leadfleet egress node: "
"""What the secret is used for here, so that the same secret elsewhere gives other keys."""


class BadCredentials(FleetError):
    """The egress proxy does not know who asks. ``reason`` is for people and holds no secret."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a connection is: a unit under its fence, on a node; or a replica of the control plane."""

    node: str
    unit: str = NO_UNIT
    fence: int = 0

    @classmethod
    def replica(cls, name: str) -> Holder:
        """Of the control plane."""
        return cls(CONTROL_PLANE, f"replica-{name}")

    @property
    def user(self) -> str:
        """``node.unit.fence``; a node's name holds no dot."""
        return f"{self.node}.{self.unit}.{self.fence}"

    @property
    def is_unit(self) -> bool:
        """Whether it comes to an end: what counts a unit's use forgets it then."""
        return self.unit.startswith(_UNIT)

    @property
    def machine(self) -> str:
        """Whose connections share one limit: a node's, or a replica's."""
        return self.user if self.node == CONTROL_PLANE else self.node

    @classmethod
    def parse(cls, user: str) -> Holder:
        """Raises BadCredentials."""
        match = _USER.match(user)
        if match is None:
            raise BadCredentials("the user is not node.unit.fence")
        holder = cls(match[1], match[2], int(match[3]))
        if not (holder.unit == NO_UNIT or holder.is_unit) and holder.node != CONTROL_PLANE:
            raise BadCredentials(f"the node {holder.node} has no replicas")
        return holder


def node_key(secret: str, node: str) -> str:
    """What a node proves itself with, 64 hex digits."""
    return _hmac(secret, _NODE_CONTEXT + node)


def authorization(key: str, holder: Holder) -> str:
    """The value of ``Proxy-Authorization`` for ``holder``, made with its node's key."""
    return "Basic " + base64.b64encode(f"{holder.user}:{_hmac(key, holder.user)}".encode()).decode()


def holder_of(secrets: Sequence[str], value: str | None) -> Holder:
    """Whose ``Proxy-Authorization`` this is, by any of ``secrets``. Raises BadCredentials."""
    if value is None:
        raise BadCredentials("no Proxy-Authorization was sent")
    scheme, _, encoded = value.partition(" ")
    try:
        user, found, password = base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError) as exc:
        raise BadCredentials("the Proxy-Authorization does not parse") from exc
    if scheme.lower() != "basic" or not found:
        raise BadCredentials("the Proxy-Authorization is not of the scheme Basic")
    holder = Holder.parse(user)
    # all of them, whichever fits: how long it takes says nothing
    fits = [
        hmac.compare_digest(_hmac(node_key(secret, holder.node), user).encode(), password.encode())
        for secret in secrets
    ]
    if not any(fits):
        raise BadCredentials(f"the password of node {holder.node} is not of this proxy's secret")
    return holder


def _hmac(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
