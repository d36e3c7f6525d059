"""Where a returning client goes on, and what its messages look like."""

from __future__ import annotations

import orjson
import pytest

from control_plane.errors import BadRequest
from control_plane.streams.events import Event, Extent, Resume, parse_position, resume

WHOLE = Extent((10, 0), (20, 3), trimmed=False, there=True)
TRIMMED = Extent((10, 0), (20, 3), trimmed=True, there=True)
SET_BACK = Extent((10, 0), (20, 3), trimmed=False, there=False)


@pytest.mark.parametrize(
    ("asked", "extent", "expected"),
    [
        (None, None, Resume("0-0", gap=False)),
        (None, TRIMMED, Resume("0-0", gap=False)),
        ((15, 0), WHOLE, Resume("15-0", gap=False)),
        ((20, 3), WHOLE, Resume("20-3", gap=False)),
        ((0, 0), WHOLE, Resume("0-0", gap=False)),
        ((5, 0), WHOLE, Resume("5-0", gap=False)),
        ((5, 0), TRIMMED, Resume("5-0", gap=True)),
        ((10, 0), TRIMMED, Resume("10-0", gap=False)),
        ((20, 4), WHOLE, Resume("20-3", gap=True)),
        ((15, 0), SET_BACK, Resume("15-0", gap=True)),
        ((5, 0), SET_BACK, Resume("5-0", gap=False)),
        ((0, 0), None, Resume("0-0", gap=False)),
        ((5, 0), None, Resume("0-0", gap=True)),
    ],
)
def test_where_a_client_goes_on(asked: tuple[int, int] | None, extent: Extent | None, expected: Resume) -> None:
    assert resume(asked, extent) == expected


def test_positions() -> None:
    assert parse_position(None) is None
    assert parse_position("") is None
    assert parse_position("12-3") == (12, 3)
    assert parse_position("12") == (12, 0)
    for garbage in ("x", "1-", "-1", "1-2-3", "1.5", "9" * 21, "1_0"):
        with pytest.raises(BadRequest):
            parse_position(garbage)


def test_messages_carry_our_type_and_id_whatever_the_payload_says() -> None:
    payload = orjson.dumps({"type": "result", "id": "0-1", "message": "hello", "level": "info"})
    flat = orjson.loads(Event("1700000000123-4", "log", payload).text)
    assert flat == {
        "type": "log",
        "id": "1700000000123-4",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "message": "hello",
        "level": "info",
    }
    nested = orjson.loads(Event("1700000000123-4", "result", payload).text)
    assert nested["type"] == "result"
    assert nested["data"]["message"] == "hello"
