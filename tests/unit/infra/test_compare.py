"""What two builds of an image differ in."""

from __future__ import annotations

from dataclasses import replace

from infra.containers.compare import Entry, differences

FILE = Entry(b"0", 0o644, (0, 0), "aa")


def test_the_same_is_no_difference() -> None:
    assert differences({"etc/passwd": FILE}, {"etc/passwd": replace(FILE)}) == []


def test_each_path_that_is_not_the_same_is_named_with_what_is_not() -> None:
    one = {"a": FILE, "b": FILE, "c": FILE, "d": FILE}
    other = {"a": replace(FILE, content="bb"), "b": replace(FILE, mode=0o755, owner=(1, 1)), "c": FILE, "e": FILE}
    assert differences(one, other) == [
        "a: content",
        "b: mode, owner",
        "d: only in the first",
        "e: only in the second",
    ]
