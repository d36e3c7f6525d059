"""Webhooks where the control plane has no way to the Internet of its own: through a real egress proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from control_plane.settings import Settings
from control_plane.way_out import WayOut
from control_plane.webhooks.post import Post
from control_plane.webhooks.verdict import Answered, Unreached
from fleet.addresses import Allowance
from tests.integration.control_plane.webhooks.conftest import Receiver
from tests.integration.egress.process import SECRET, Process
from tests.support import free_port


@pytest.fixture
async def proxy(receiver: Receiver) -> AsyncIterator[Process]:
    started = await Process.start(secret=SECRET, allow=receiver.allowance)
    yield started
    await started.stop()


@pytest.fixture
async def through(proxy: Process, receiver: Receiver) -> AsyncIterator[Post]:
    """It looks up no name by itself: a question is a failure."""

    async def resolve(host: str) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    way_out = WayOut.of(f"127.0.0.1:{proxy.port}", SECRET, "r-1")
    made = Post(Allowance.parse(receiver.allowance), resolve, way_out=way_out)
    yield made
    await made.aclose()


async def test_a_webhook_leaves_through_the_proxy(through: Post, proxy: Process, receiver: Receiver) -> None:
    assert await through.send(receiver.url, {"webhook-id": "x"}, b'{"a": 1}') == Answered(204)
    (asked,) = receiver.asked
    assert asked.body == b'{"a": 1}'
    assert asked.headers["webhook-id"] == "x"
    assert not [name for name in asked.headers if name.lower().startswith("proxy-")], "the receiver learns no secret"
    (line,) = await proxy.logged("access")
    assert (line["node"], line["unit"], line["verdict"]) == ("control-plane", "replica-r-1", "passed")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_the_proxy_refuses_is_told_in_words(through: Post, receiver: Receiver, scheme: str) -> None:
    outcome = await through.send(f"{scheme}://nowhere.invalid-name.example/", {}, b"{}")
    assert isinstance(outcome, Unreached)
    assert outcome.reason == "nowhere.invalid-name.example: the name is unknown"


async def test_an_answer_of_the_receiver_is_its_own(through: Post, receiver: Receiver) -> None:
    receiver.status = 403
    assert await through.send(receiver.url, {}, b"{}") == Answered(403)


async def test_another_secret_opens_nothing(proxy: Process, receiver: Receiver) -> None:
    stranger = Post(
        Allowance.parse(receiver.allowance),
        way_out=WayOut.of(f"127.0.0.1:{proxy.port}", "another secret of sixteen", "r-1"),
    )
    outcome = await stranger.send(receiver.url, {}, b"{}")
    await stranger.aclose()
    assert isinstance(outcome, Unreached)
    assert receiver.asked == []


async def test_a_proxy_that_is_away_is_told(receiver: Receiver) -> None:
    lonely = Post(Allowance.parse(receiver.allowance), way_out=WayOut.of(f"127.0.0.1:{free_port()}", SECRET, "r-1"))
    assert await lonely.send(receiver.url, {}, b"{}") == Unreached("the egress proxy takes no connection")
    await lonely.aclose()


@pytest.mark.parametrize("proxy", ["egress", "http://egress:3128", "egress:99999", ":3128"])
def test_a_proxy_that_cannot_be_one_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="LEADFLEET_EGRESS_PROXY"):
        Settings(egress_proxy=proxy, egress_secret=SECRET)  # type: ignore[arg-type]


def test_a_proxy_needs_its_secret() -> None:
    with pytest.raises(ValueError, match="LEADFLEET_EGRESS_SECRET"):
        Settings(egress_proxy="egress:3128")
