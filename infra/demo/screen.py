"""What one sees while the demo runs: a live table in a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 2.0  # in a log, a line every two seconds shows life without burying anything
REFRESHES_PER_S = 8
NEWEST = 6  # leads listed below the slots; more would push the slots off a small terminal


@dataclass
class Progress:
    """What is known of the task so far; fed with events and slots, read by the screen."""

    live_view: str
    started: float = field(default_factory=time.monotonic)
    pages: int = 0
    leads: int = 0
    newest: list[str] = field(default_factory=list)
    slots: list[dict[str, Any]] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def see(self, event: dict[str, Any]) -> None:
        """Take in one event of the task's stream."""
        match event["type"]:
            case "result":
                lead = event["data"]
                phones = ", ".join(phone.get("international") or phone["raw"] for phone in lead["phones"])
                self.newest = [*self.newest, f"{lead.get('name') or '?'}  {phones}"][-NEWEST:]
            case "progress":
                self.leads = sum(event.get("progress", {}).values())
                self.pages = event.get("pages", self.pages)


class Screen:
    """``with Screen(progress) as screen``, then `draw` as often as one likes."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._live = Live(console=console, refresh_per_second=REFRESHES_PER_S, transient=True)
        self._next_line = 0.0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def draw(self) -> None:
        """Show the progress as it is now."""
        if self._console.is_terminal:
            self._live.update(self._table())
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_EVERY_S
            self._console.print(self._headline(), soft_wrap=True)

    def _headline(self) -> str:
        seen = self._progress
        busy = sum(slot["state"] == "leased" for slot in seen.slots)
        return (
            f"{seen.elapsed_s:5.1f} s   {seen.pages} pages   {seen.leads} leads   "
            f"{busy} of {len(seen.slots)} slots busy"
        )

    def _table(self) -> RenderableType:
        slots = Table(box=None, expand=True, padding=(0, 1))
        slots.add_column("slot", no_wrap=True)
        slots.add_column("state", no_wrap=True)
        slots.add_column("working on", ratio=1, no_wrap=True, overflow="ellipsis")
        for slot in self._progress.slots:
            # a page chooses its own address: as Text it cannot be taken for markup
            slots.add_row(slot["slot_id"], slot["state"], Text(slot.get("current") or ""))
        newest = Text("\n".join(self._progress.newest), no_wrap=True, overflow="ellipsis", style="dim")
        body = Group(self._headline(), "", slots, "", newest)
        return Panel(body, title="Leadfleet demo", subtitle=f"live view: {self._progress.live_view}")
