"""No key, token or password leaves in a log."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from control_plane import telemetry
from control_plane.telemetry import REDACTED, redact

KEY = "lfk_" + "A1b2-_" * 7


@pytest.mark.parametrize(
    "text",
    [
        f"header was Bearer {KEY}",
        f"GET /api/scraper/ws/logs/tsk_1?token={KEY[4:]}&x=1",
        f"subprotocols leadfleet.v1, token.{KEY[4:]}",
        f"http://127.0.0.1:8000/auth/link/{KEY[4:]}",
        f"redis://control:{KEY[4:]}@127.0.0.1:6379/0",
        f"https://s3/leads.csv?X-Amz-Credential={KEY[4:]}&X-Amz-Signature=abcdef",
    ],
)
def test_secrets_are_known_by_their_look(text: str) -> None:
    cleaned = redact(None, "info", {"event": text, "nested": {"list": [text]}})
    assert KEY[4:] not in str(cleaned)
    assert "abcdef" not in str(cleaned)


def test_secrets_are_known_by_their_name() -> None:
    names = ("token", "api_key", "X-API-Key", "Authorization", "cookie", "password", "secret")
    cleaned = redact(None, "info", dict.fromkeys(names, "opens-sesame"))
    assert set(cleaned.values()) == {REDACTED}


def test_what_is_no_secret_stays() -> None:
    event = {"event": "a unit ended", "task": "tsk_01", "unit": "tsk_01.0", "pages": 3, "url": "http://a.test/?q=1"}
    assert redact(None, "info", dict(event)) == event


def test_tracebacks_are_cleaned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr("sys.stderr", output)
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        telemetry.configure_logging("info", replica="r1")
        try:
            raise ValueError(f"could not use {KEY}")
        except ValueError:
            logging.getLogger("elsewhere").exception("failed with %s", KEY)
        record = json.loads(output.getvalue())
    finally:
        root.handlers, root.level = before, level
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    assert KEY not in output.getvalue()
    assert record["replica"] == "r1"
    assert "ValueError" in record["exception"]
