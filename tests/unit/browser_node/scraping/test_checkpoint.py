"""The frontier: what is in line, what is done, and that deltas alone rebuild it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_node.scraping.checkpoint import MAX_CHARS, MAX_ENTRIES, Checkpoint
from browser_node.scraping.sources.base import Reads, Visit

A, B, C = (Visit(f"http://x.test/{name}", priority=p) for name, p in (("a", 20), ("b", 10), ("c", 20)))


def test_lower_priority_first_then_in_order_of_arrival() -> None:
    checkpoint = Checkpoint()
    assert checkpoint.add([A, B, C]) == 3
    assert [checkpoint.next(), checkpoint.next(), checkpoint.next(), checkpoint.next()] == [B, A, C, None]


def test_a_page_is_never_in_line_twice_nor_after_it_was_done() -> None:
    checkpoint = Checkpoint()
    checkpoint.add([A])
    assert checkpoint.add([A]) == 0
    checkpoint.finish(A, "http://x.test/moved")
    assert checkpoint.add([A, Visit("http://x.test/moved")]) == 0
    assert checkpoint.next() is None


def test_a_page_handed_out_comes_again_after_a_crash_and_a_finished_one_does_not() -> None:
    checkpoint = Checkpoint()
    checkpoint.add([A, B])
    checkpoint.next()  # B, open in a tab when the node dies
    resumed = Checkpoint(checkpoint.as_map())
    assert [resumed.next(), resumed.next()] == [B, A]
    resumed.finish(B)
    again = Checkpoint(resumed.as_map())
    assert (again.next(), again.next(), again.is_done(B.url)) == (A, None, True)


def test_a_page_that_is_put_back_waits_again() -> None:
    checkpoint = Checkpoint()
    checkpoint.add([B])
    handed_out = checkpoint.next()
    assert handed_out == B
    assert checkpoint.waiting == 0
    checkpoint.put_back(handed_out)
    assert (checkpoint.waiting, checkpoint.next(), checkpoint.next()) == (1, B, None)


def test_counts_and_state_survive() -> None:
    checkpoint = Checkpoint()
    checkpoint.raise_count("pages", 2)
    checkpoint.raise_count("pages", 1)
    checkpoint.remember({"site": "x.test"})
    resumed = Checkpoint(checkpoint.as_map())
    assert (resumed.count("pages"), resumed.count("leads"), resumed.state) == (3, 0, {"site": "x.test"})


def test_a_full_checkpoint_drops_new_pages_and_still_records_what_was_done() -> None:
    checkpoint = Checkpoint()
    pages = [Visit(f"http://x.test/{number}") for number in range(MAX_ENTRIES + 10)]
    checkpoint.add(pages)
    assert checkpoint.dropped >= 10
    assert len(checkpoint.as_map()) <= MAX_ENTRIES
    checkpoint.finish(pages[0])
    assert checkpoint.is_done(pages[0].url)


def test_its_size_is_bounded_in_characters_too() -> None:
    checkpoint = Checkpoint()
    checkpoint.remember({"big": "x" * (MAX_CHARS + 1), "small": "y"})
    assert checkpoint.state == {"small": "y"}


@pytest.mark.parametrize("saved", [{"f:aa": "0 not json"}, {"f:aa": "zero []"}, {"f:aa": ""}])
def test_an_entry_of_another_version_is_skipped(saved: dict[str, str]) -> None:
    assert Checkpoint(saved).next() is None


_OPS = st.lists(st.tuples(st.sampled_from(["add", "finish", "remember"]), st.integers(0, 8)), max_size=40)


@given(_OPS)
def test_deltas_applied_in_order_are_the_map(operations: list[tuple[str, int]]) -> None:
    checkpoint, mirror = Checkpoint(), {}
    for name, number in operations:
        visit = Visit(f"http://x.test/{number}", Reads.LEADS, data="é")
        if name == "add":
            checkpoint.add([visit])
        elif name == "finish":
            checkpoint.finish(visit)
        else:
            checkpoint.remember({str(number): name * number})
        delta = checkpoint.delta()
        assert not set(delta.set) & set(delta.unset)
        mirror.update(delta.set)
        for key in delta.unset:
            mirror.pop(key, None)
        assert mirror == checkpoint.as_map()
