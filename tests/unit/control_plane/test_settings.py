"""Settings from the environment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from control_plane.settings import Settings


def test_lists_and_durations_are_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLEET_ALLOWED_ORIGINS", "http://a.test, http://b.test")
    monkeypatch.setenv("LEADFLEET_RETENTION", "3600")
    settings = Settings()
    assert settings.allowed_origins == ("http://a.test", "http://b.test")
    assert settings.retention == timedelta(hours=1)


@pytest.mark.parametrize("bind", ["0.0.0.0:8000", "192.168.1.5:8000", "[::]:8000", "leads.example:8000"])
def test_without_authentication_it_serves_loopback_only(bind: str) -> None:
    with pytest.raises(ValidationError, match="loopback only"):
        Settings(auth="off", bind=bind)


@pytest.mark.parametrize("bind", ["127.0.0.1:8000", "[::1]:8000", "localhost:8000"])
def test_on_loopback_it_may_do_without(bind: str) -> None:
    assert Settings(auth="off", bind=bind).on_loopback


def test_secrets_are_not_shown() -> None:
    settings = Settings(secret="s" * 32, bootstrap_key="lfk_" + "k" * 40)
    assert "s" * 32 not in repr(settings)
    assert "k" * 40 not in repr(settings)


@pytest.mark.parametrize("seconds", ["0", "604801"])
def test_a_url_that_cannot_be_signed_for_so_long_is_refused(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("LEADFLEET_EXPORT_EXPIRY", seconds)
    with pytest.raises(ValidationError, match="export_expiry"):
        Settings()
