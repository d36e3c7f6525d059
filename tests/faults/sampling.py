"""What a fleet holds at a moment: processes, descriptors, memory, keys; one flat line of numbers a sample."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis

from fleet.keys import Keys
from infra.stack.options import STACK_MARK

MB = 1e6
EXPORT_RECORDS = "keys export"
"""One an export, for days: not among the other keys."""

CHILDREN = {
    "control_plane.store.worker": "worker",
    "browser_node.scraping.extract_worker": "extractor",
    "run-driver": "driver",
}
"""What a child of a part is called, by a word of its command line."""


@dataclass
class Samples:
    """Of a run, by figure; also in ``samples.jsonl``, a line each."""

    directory: Path
    times: list[float] = field(default_factory=list)
    """Seconds since the first."""
    values: dict[str, list[float]] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def add(self, figures: dict[str, float]) -> None:
        """A figure that was not there before was 0, as one that is no longer there is."""
        at = time.monotonic() - self._began
        for name in figures.keys() | self.values.keys():
            self.values.setdefault(name, [0.0] * len(self.times)).append(figures.get(name, 0.0))
        self.times.append(at)
        with (self.directory / "samples.jsonl").open("a") as file:
            file.write(json.dumps({"at": round(at, 1), **figures}) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Samples:
        """Those of a run that is over, or still under way."""
        lines = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
        names = sorted(set().union(*lines) - {"at"})
        return cls(
            directory, [line["at"] for line in lines], {name: [line.get(name, 0.0) for line in lines] for name in names}
        )

    def since(self, warm: float) -> tuple[list[float], dict[str, list[float]]]:
        """Times and values without the first ``warm`` seconds."""
        first = next((index for index, at in enumerate(self.times) if at >= warm), len(self.times))
        return self.times[first:], {name: values[first:] for name, values in self.values.items()}


async def sample(mark: str, state: Path, parts: dict[str, int], redis: Redis, keys: Keys) -> dict[str, float]:
    """Of the stack with this ``mark`` and ``state``; ``parts`` are the pids that are looked at one by one, by name;
    raises psutil.NoSuchProcess when one of them has died."""
    figures = await asyncio.to_thread(_machine, mark, state, parts)
    return figures | await _store(redis, keys)


def _machine(mark: str, state: Path, parts: dict[str, int]) -> dict[str, float]:
    """Renderers overwrite their environment, but name their profile on the command line."""
    figures: dict[str, float] = {"processes": 0, "Chrome processes": 0, "zombies": 0}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                figures["zombies"] += process.ppid() in parts.values()
                continue
            command = " ".join(process.cmdline())
            if str(state) in command or process.environ().get(STACK_MARK) == mark:
                figures["processes"] += 1
                figures["Chrome processes"] += "chrom" in process.name()
    for name, pid in parts.items():
        process = psutil.Process(pid)
        known = [(name, process)]
        known += [(f"{name} {role}", child) for child in process.children() if (role := _role(child))]
        for each, member in known:
            with contextlib.suppress(psutil.Error):
                figures[f"fds {each}"] = member.num_fds()
                figures[f"MB {each}"] = member.memory_info().rss / MB
    figures["profile directories"] = len(list(state.glob("node-*/slots/*/*")))
    return figures


def _role(process: psutil.Process) -> str | None:
    """None for a child that is no part of its own, such as a Chrome, or is gone."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return None
    return next((role for word, role in CHILDREN.items() if word in line), None)


async def keys_by_kind(redis: Redis, keys: Keys) -> Counter[str]:
    """How many keys there are of each kind, which is the first word after the fleet's root."""
    kinds: Counter[str] = Counter()
    async for key in redis.scan_iter(match=f"{keys.root}:*", count=1000):
        kinds[key.decode()[len(keys.root) + 1 :].partition(":")[0]] += 1
    return kinds


async def _store(redis: Redis, keys: Keys) -> dict[str, float]:
    """Keys, also by kind, and the server's memory."""
    kinds = await keys_by_kind(redis, keys)
    memory: Any = await redis.info("memory")
    figures: dict[str, float] = {f"keys {kind}": count for kind, count in kinds.items()}
    figures["keys"] = kinds.total() - kinds["export"]
    return figures | {"MB valkey data": memory["used_memory"] / MB}
