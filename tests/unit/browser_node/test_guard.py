"""Who is ended when the machine runs short: the one that takes most, and nobody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_node import disk
from browser_node.guard import NO_SPACE, OUT_OF_MEMORY, Guard


class _Slot:
    def __init__(self, index: int, directory: Path, pid: int) -> None:
        self.index, self.directory, self.pid = index, directory, pid
        self.failed: list[str] = []

    def fail(self, reason: str) -> None:
        self.failed.append(reason)


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[list[_Slot]]:
    """Two slots whose "Chromes" are sessions of one process; the second one's files are larger. A third has none."""
    processes = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
    made = [_Slot(index, tmp_path / str(index), process.pid) for index, process in enumerate(processes)]
    for slot in made:
        (slot.directory / "profile").mkdir(parents=True)
        (slot.directory / "profile" / "data").write_bytes(bytes(100_000 * (slot.index + 1)))
    yield [*made, _Slot(2, tmp_path / "2", 0)]
    for process in processes:
        process.kill()
        process.wait()


async def test_what_holds_too_much_memory_is_ended(slots: list[_Slot], tmp_path: Path) -> None:
    await Guard(slots, tmp_path, memory=1 << 40)._look()
    assert [slot.failed for slot in slots] == [[], [], []]
    await Guard(slots, tmp_path, memory=1)._look()
    assert [slot.failed for slot in slots] == [[OUT_OF_MEMORY], [OUT_OF_MEMORY], []]


async def test_on_a_full_disk_the_chrome_with_the_largest_profile_is_ended(
    slots: list[_Slot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LEAST_FREE", 1 << 60)
    await Guard(slots, tmp_path, memory=1 << 40)._look()
    assert [slot.failed for slot in slots] == [[], [NO_SPACE], []]
    slots[1].pid = 0
    await Guard(slots, tmp_path, memory=1 << 40)._look()
    assert slots[0].failed == [NO_SPACE]
