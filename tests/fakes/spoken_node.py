"""A node that says what a test has it say: let in like any other, as its own Valkey user, and without an agent."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from browser_node.membership import Membership, own_password
from fleet.connect import command_client
from fleet.keys import Keys
from fleet.messages import COMMANDS, Accepted, Batch, Fields, Goodbye, Heartbeat, Message, Register, Run, UnitEnd, parse
from fleet.model import Outcome
from leads.model import Lead, Phone, Validation
from tests.support import wait_until


class SpokenNode:
    """``async with SpokenNode(join_url, keys, "n1", tmp_path) as node``: registered with one slot, gone at the end."""

    def __init__(self, join_url: str, keys: Keys, name: str, state: Path, password: str | None = None) -> None:
        """``password`` is that of a user which is there beforehand."""
        self.name, self.keys, self.boot = name, keys, f"boot-{name}"
        state.mkdir(parents=True, exist_ok=True)
        self._membership = Membership(join_url, keys, name, password or own_password(state / "password"))
        self.client = command_client(self._membership.url, name=name)
        self._read = "0-0"
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> SpokenNode:
        await self._membership.enter(self.boot)
        await self.say(Register(self.boot, [{"index": 0, "port": 1}]))
        await self.told(Accepted)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.say(Goodbye(self.boot, "the test is over"))
        await self.client.aclose()

    async def say(self, message: Message | Fields, **changes: bytes) -> str:
        """Append a message to ``out``, with some fields ``changes`` to what they say; its id."""
        fields: Any = message.to_fields() if isinstance(message, Message) else message
        fields |= {name.encode(): value for name, value in changes.items()}
        return (await self.client.xadd(self.keys.out(self.name), fields)).decode()

    async def told(self, kind: type[Message]) -> Any:
        """The next command of a kind; those before it are passed over."""

        async def next_one() -> Message | None:
            answer: Any = await self.client.xread({self.keys.commands(self.name): self._read}, count=1)
            for _, entries in answer or ():
                for raw, fields in entries:
                    self._read = raw.decode()
                    command = parse(fields, COMMANDS)
                    if isinstance(command, kind):
                        return command
            return None

        return await wait_until(next_one, 30, f"{self.name} to be told {kind.KIND}")

    async def beat(self, *runs: Run) -> str:
        return await self.say(Heartbeat(self.boot, {run.unit: run.fence for run in runs}, self._read))

    def batch(self, run: Run, *leads: str, **members: Any) -> Batch:
        """What a unit found: a lead a name, on one page."""
        found = [lead(name).model_dump(mode="json", exclude_defaults=True) for name in leads]
        given = {"seq": next(self._numbers), "results": found, "pages": 1, **members}
        return Batch(self.boot, run.unit, run.fence, **given)

    async def end(self, run: Run) -> str:
        return await self.say(UnitEnd(self.boot, run.unit, run.fence, next(self._numbers), Outcome.COMPLETED))


def lead(name: str) -> Lead:
    """A business with a phone number of its own, made from its name's letters."""
    number = f"+1212555{sum(map(ord, name)) % 10_000:04}"
    phone = Phone(raw=number, normalized_e164=number, validation_status=Validation.VALID)
    return Lead(display_name=name, phones=[phone], source_url=f"http://{name}.site.test/")
