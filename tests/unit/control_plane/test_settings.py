"""Settings from the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from control_plane.settings import Settings
from fleet.environment import BadSettingFile


def test_lists_and_durations_are_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLEET_ALLOWED_ORIGINS", "http://a.test, http://b.test")
    monkeypatch.setenv("LEADFLEET_RETENTION", "3600")
    settings = Settings()
    assert settings.allowed_origins == ("http://a.test", "http://b.test")
    assert settings.retention == timedelta(hours=1)


def test_a_value_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {"RETENTION": "3600\n", "SECRET": "s" * 32}.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"LEADFLEET_{name}_FILE", str(tmp_path / name))
    assert Settings().retention == timedelta(hours=1)
    assert Settings().secret.get_secret_value() == "s" * 32
    monkeypatch.setenv("LEADFLEET_RETENTION", "60")
    with pytest.raises(BadSettingFile, match="LEADFLEET_RETENTION is set too"):
        Settings()


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


ENDPOINT = {"enrichment_url": "http://127.0.0.1:1/v1", "enrichment_model": "m"}


def test_leads_are_not_enriched_unless_a_url_is_set() -> None:
    assert Settings().enrichment_url is None
    assert Settings(enrichment_url="").enrichment_url is None
    assert Settings.model_validate(ENDPOINT).enrichment_url == ENDPOINT["enrichment_url"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"enrichment_model": None}, "LEADFLEET_ENRICHMENT_MODEL"),
        ({"enrichment_url": "host/v1"}, "must look like"),
        ({"enrichment_url": "file:///etc"}, "must look like"),
        ({"enrichment_url": "https://host/v1?key=x"}, "must look like"),
        ({"enrichment_url": "https://me:pass@host/v1"}, "LEADFLEET_ENRICHMENT_KEY"),
        ({"enrichment_daily_cost": 5}, "LEADFLEET_ENRICHMENT_PRICE_IN"),
        ({"enrichment_timeout": timedelta(0)}, "a second or more"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_at_the_start(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Settings.model_validate(ENDPOINT | change)


def test_the_key_of_the_endpoint_is_not_shown() -> None:
    settings = Settings.model_validate(ENDPOINT | {"enrichment_key": "sk-very-secret"})
    assert "sk-very-secret" not in repr(settings)
