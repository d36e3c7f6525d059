"""How an agent comes in: where its user is made as it knocks, and where it is there beforehand."""

from __future__ import annotations

import hashlib
from typing import Any

from fleet.keys import Keys
from fleet.messages import Anew
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, StartNode

KEYS = Keys("local")
PASSWORD = "declared-in-the-template"


async def no_units(*_: Any) -> Any: ...


async def test_a_node_whose_password_works_already_knocks_all_the_same(
    control: FakeControl, start_node: StartNode
) -> None:
    """Nobody reads the stream of a node that has not knocked."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    await control.client.execute_command("ACL", "SETUSER", f"node-{NODE}", "on", f"#{digest}", *KEYS.node_acl(NODE))
    await start_node(no_units, node_password=PASSWORD)
    assert control.joins == 1
    user = await control.client.acl_getuser(f"node-{NODE}")
    assert user["passwords"] == [digest], "it came in with the one it was given"


async def test_a_node_that_the_store_forgot_comes_in_anew(control: FakeControl, start_node: StartNode) -> None:
    await start_node(no_units)
    first = await control.registered()
    await control.tell(NODE, Anew(first.boot))
    second = await control.registered(boot_is_not=first.boot)
    assert control.joins == 2
    assert second.slots == first.slots, "with the Chromes that it had"
