"""``leadfleet up``: the embedded stack in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from infra.stack.errors import StackError
from infra.stack.interrupt import INTERRUPTED, until_interrupted
from infra.stack.options import Options
from infra.stack.stack import Stack


def run(options: Options, announce: Callable[[Stack], Awaitable[None]] | None = None) -> int:
    """Run a stack until a signal; the exit status. ``announce`` says what is where once all is ready.

    A part that cannot start is told on stderr, with the end of its log, and gives status 1.
    """

    async def serve(hurry: asyncio.Event) -> int:
        print("starting the stack …", flush=True)
        try:
            async with Stack(options, hurry=hurry) as stack:
                await (announce or print_addresses)(stack)
                try:
                    await asyncio.Event().wait()
                finally:
                    print("\nstopping …", flush=True)
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    status = asyncio.run(until_interrupted(serve))
    return 0 if status == INTERRUPTED else status  # Ctrl-C is how it is meant to end


async def print_addresses(stack: Stack, sign_in: str | None = None) -> None:
    """Where the API is and where its key, data and logs lie; ``sign_in`` is a link that opens it in a browser."""
    lines = [
        f"API       {'  '.join(stack.urls)}  (docs at {stack.url}/docs)",
        f"API key   in {stack.state.api_key_file}",
        f"state     {stack.state.path}",
        f"logs      {stack.state.logs}",
    ]
    if sign_in is not None:
        lines += [
            f"sign in   {sign_in}",
            "          (once, within 10 minutes: the browser then needs no key for 12 hours; it opens the console)",
        ]
    if stack.options.town:
        lines.append("town      http://directory.town.test/ (through the stack's browsers only)")
    print("\n".join([*lines, "Ctrl-C stops everything; tasks and leads stay for the next start."]), flush=True)
