"""What the command line refuses before anything runs, and how it shows lists."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from control_plane import cli
from control_plane.api_client import Address
from control_plane.cli_output import counted, plain, table
from control_plane.local_state import REPOSITORY, state_directory
from infra.stack.options import Options


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it should have been refused")

    monkeypatch.setattr(cli, "run", refuse)
    monkeypatch.setattr("infra.stack.up.run", refuse)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("up --port 99999", "1<=x<=65535"),
        ("up --port 0", "1<=x<=65535"),
        ("up --replicas 0", "x>=1"),
        ("up --slots 0", "1<=x<=64"),
        ("up --nodes -1", "x>=0"),
        ("scrape https://a.example --max-results 0", "x>=1"),
        ("tasks --limit 0", "1<=x<=500"),
        ("leads --limit 501", "1<=x<=500"),
        ("keys revoke x/../../tasks", "is not the id of a key"),
        ("scrape https://a.example -o o.txt", ".csv, .json, .jsonl, .xlsx, .parquet"),
        ("scrape https://a.example -o /nonexistent/x.csv", "there is no folder '/nonexistent'"),
        ("export -o /nonexistent/x.csv", "there is no folder '/nonexistent'"),
        ("export -o .", "'.' is a folder"),
        ("export -o x.txt", ".csv, .json, .jsonl, .xlsx, .parquet"),
        ("export -o x.gz", ".gz after it compresses"),
        ("export -o x.csv --format json", "'x.csv' is the name of a csv file, and --format says json"),
        ("export -o x.csv.gz --format excel", "'x.csv.gz' is the name of a csv file"),
        ("export -o x.xlsx.gz", "excel files are compressed as they are"),
        ("scrape example.com", "https://example.com"),
        ("scrape https://a.example www.example.com:8080/shop?x=1", "https://www.example.com:8080/shop?x=1"),
    ],
)
def test_what_cannot_work_is_refused_first(arguments: str, said: str) -> None:
    refused = CliRunner().invoke(cli.main, arguments.split())
    assert refused.exit_code == 2, refused.output
    assert said in refused.output


def test_a_format_named_by_option_needs_no_ending(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="refused"):
        CliRunner().invoke(cli.main, ["export", "-o", str(tmp_path / "x"), "--format", "csv"], catch_exceptions=False)


def test_the_state_directory_does_not_depend_on_where_one_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEADFLEET_STATE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert state_directory() == REPOSITORY / ".state"
    monkeypatch.setenv("LEADFLEET_STATE", "here")
    assert state_directory() == tmp_path / "here"


def test_the_local_key_is_sent_to_this_machine_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADFLEET_STATE", str(tmp_path))
    monkeypatch.delenv("LEADFLEET_API_KEY", raising=False)
    (tmp_path / "api_key").write_text("lfk_local\n")
    for url, key in [
        ("http://localhost:1/", "lfk_local"),
        ("http://[::1]:1", "lfk_local"),
        ("https://a.example", None),
    ]:
        monkeypatch.setenv("LEADFLEET_URL", url)
        assert Address.find().key == key


def test_a_narrow_terminal_shows_ids_whole_and_cuts_the_queries() -> None:
    task, url = "tsk_" + "0" * 26, "https://a.example/" + "x" * 60
    shown = io.StringIO()
    Console(file=shown, width=60).print(table(("task", "queries"), [[task, url]], whole={"task"}, cut="queries"))
    assert task in shown.getvalue()
    assert "…" in shown.getvalue()
    assert url not in shown.getvalue()


def test_what_a_page_wrote_is_neither_markup_nor_a_command_of_the_terminal() -> None:
    shown = io.StringIO()
    Console(file=shown, width=60).print(table(("name",), [[plain("[red]A\x1b[2J\tB\n")]]))
    assert "[red]A [2J B " in shown.getvalue()


def test_one_is_singular() -> None:
    assert (counted(0, "lead"), counted(1, "lead"), counted(4, "page")) == ("0 leads", "1 lead", "4 pages")


def test_up_takes_slots_and_allowances_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Options] = []
    monkeypatch.setattr("infra.stack.up.run", lambda options, _: given.append(options))
    environment = {"LEADFLEET_SLOTS": "3", "LEADFLEET_EGRESS_ALLOW": "a.test=127.0.0.1:1,b.test=127.0.0.1:2"}
    CliRunner().invoke(cli.main, ["up", "--town"], env=environment)
    (options,) = given
    assert (options.slots, options.egress_allow) == (3, ("a.test=127.0.0.1:1", "b.test=127.0.0.1:2"))
