"""egress.settings: what is refused before anything listens, and that no secret is in the words."""

from __future__ import annotations

from pathlib import Path

import pytest

from egress.settings import BadSettings, Settings
from fleet.environment import BadSettingFile

SECRET = "sixteen or more characters"


def read(**environment: str) -> Settings:
    return Settings.from_environment({f"LEADFLEET_EGRESS_{name.upper()}": value for name, value in environment.items()})


def test_by_default_it_listens_on_loopback_and_asks_for_nothing() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.secrets()) == ("127.0.0.1", 3128, ())


def test_off_loopback_it_needs_a_secret() -> None:
    with pytest.raises(BadSettings, match="LEADFLEET_EGRESS_SECRET"):
        read(bind="0.0.0.0:3128")
    assert read(bind="0.0.0.0:3128", secret=SECRET).secrets() == (SECRET,)
    assert read(bind="[::]:3128", secret=SECRET).host == "::"


def test_the_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert read(bind="0.0.0.0:1", secret_file=str(file), previous_secret="the one that was before").secrets() == (
        SECRET,
        "the one that was before",
    )
    with pytest.raises(BadSettingFile, match="LEADFLEET_EGRESS_SECRET_FILE"):
        read(secret_file=str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret", "short-secret"),
        ("bind", "3128"),
        ("bind", "0.0.0.0:99999"),
        ("allow", "no-target"),
        ("deny", "10.0.0.1/8"),
        ("unit_mb", "0"),
        ("connection_s", "-1"),
        ("log_level", "loud"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=f"LEADFLEET_EGRESS_{name.upper()}") as refused:
        read(**{name: value})
    assert name != "secret" or value not in str(refused.value)
