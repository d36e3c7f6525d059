"""Messages survive the stream, tolerate other versions, and refuse everything else in one way."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import messages
from fleet.errors import BadMessage
from fleet.messages import Frame, Join, Message, Run

ALL = (*messages.OUT, *messages.COMMANDS, Frame, Join)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
INTEGER = st.integers(0, 10**18)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGER,
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bytes: st.binary(max_size=60),
}


def any_of(cls: type[Message]) -> st.SearchStrategy[Message]:
    hints = typing.get_type_hints(cls)
    members = {}
    for member in dataclasses.fields(cls):
        hint = hints[member.name]
        container = (
            st.lists(JSON, max_size=3) if typing.get_origin(hint) is list else st.dictionaries(TEXT, JSON, max_size=3)
        )
        members[member.name] = BY_TYPE.get(hint, container)
    return st.builds(cls, **members)


@given(st.one_of([any_of(cls) for cls in ALL]))
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert messages.parse(message.to_fields(), ALL) == message


@given(st.one_of([any_of(cls) for cls in ALL]))
def test_fields_of_a_newer_version_are_ignored(message: Message) -> None:
    newer = message.to_fields() | {b"v": b"7", b"invented": b"later"}
    assert messages.parse(newer, ALL) == message


@given(
    st.sampled_from(ALL),
    st.dictionaries(
        st.sampled_from([f.name.encode() for cls in ALL for f in dataclasses.fields(cls)]), st.binary(max_size=30)
    ),
)
def test_garbage_is_a_message_or_a_bad_message_and_nothing_else(cls: type[Message], fields: dict[bytes, bytes]) -> None:
    with contextlib.suppress(BadMessage):
        assert isinstance(messages.parse(fields | {b"k": cls.KIND.encode()}, ALL), cls)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"fence", b"9" * 5_000),
        (b"fence", b"1.5"),
        (b"options", b'{"a": NaN}'),
        (b"options", b"[" * 50_000),
        (b"options", b"[]"),
        (b"query", b"\xff\xfe"),
        (b"slot", b""),
    ],
)
def test_a_field_that_does_not_parse_is_named(field: bytes, value: bytes) -> None:
    run = Run(boot="b", unit="u", fence=1, slot=0, platform="website", query="http://a.test/")
    with pytest.raises(BadMessage, match=field.decode()):
        Run.from_fields(run.to_fields() | {field: value})


def test_an_absent_field_takes_its_default_and_a_needed_one_is_missed() -> None:
    fields = Run(boot="b", unit="u", fence=1, slot=0, platform="p", query="q", attempt=3).to_fields()
    del fields[b"attempt"]
    assert Run.from_fields(fields).attempt == 1
    del fields[b"unit"]
    with pytest.raises(BadMessage, match="unit"):
        Run.from_fields(fields)


def test_a_lone_surrogate_of_a_page_does_not_stop_a_batch() -> None:
    run = Run(boot="b", unit="u", fence=1, slot=0, platform="p", query="q\ud800")
    assert Run.from_fields(run.to_fields()).query == "q?"
