"""Which requests are let in: platforms that are built, targets on the public Internet."""

from __future__ import annotations

import pytest

from control_plane.admission import admit, refuse, refuse_webhook
from control_plane.errors import Invalid
from control_plane.models import StartRequest
from fleet.addresses import Allowance

NOTHING = Allowance()
TOWN = Allowance.parse("*.town.test=127.0.0.1:8123,127.0.0.1:9000=127.0.0.1:9000")


def asked(*queries: str, **fields: object) -> StartRequest:
    return StartRequest.model_validate({"queries": list(queries), **fields})


def test_urls_without_a_platform_are_websites() -> None:
    assert admit(asked("https://example.com/"), NOTHING).platforms == ["website"]


def test_platforms_are_kept_once_each_and_in_lower_case() -> None:
    request = asked("https://example.com/", platforms=["Directory", "website", "directory"])
    assert admit(request, NOTHING).platforms == ["directory", "website"]


@pytest.mark.parametrize(
    ("queries", "platforms", "says"),
    [
        (["dentists in Berlin"], [], "search platforms are not built yet"),
        (["dentists in Berlin"], ["website"], "is not a URL"),
        (["dentists"], ["google_maps"], "website, directory"),
        (["https://example.com/", "berlin"], [], "is not a URL"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(queries: list[str], platforms: list[str], says: str) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        admit(asked(*queries, platforms=platforms), NOTHING)
    assert refused.value.errors


def test_every_bad_query_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        admit(asked("https://example.com", "http://10.0.0.1/", "javascript:1"), NOTHING)
    assert [error["loc"] for error in refused.value.errors] == [["queries", 1], ["queries", 2]]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "chrome://settings",
        "view-source:http://example.com",
        "data:text/html,x",
        "ftp://example.com/",
        "//example.com/",
        "http://",
        "http:///path",
        "http://user:secret@example.com/",
        "http://exa mple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://[::1/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://intranet/",
        "http://app.internal/",
        "http://metadata.google.internal/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://169.254.169.254/latest/",
        "http://10.1.2.3:8080/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://168.63.129.16/",
        "http://0/",
        "http://[v1.x]/",
        "http://-.com/",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
        "http://a..example.com/",
        "http://" + "a" * 64 + ".com/",
    ],
)
def test_what_is_not_public_is_refused(url: str) -> None:
    assert refuse(url, NOTHING)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTP://EXAMPLE.COM:8080/a?b#c",
        "http://münchen.de/",
        "http://8.8.8.8/",
        "http://beef.de/",
        "http://a_b.example.com./",
        "http://123.de/",
    ],
)
def test_what_is_public_is_not(url: str) -> None:
    assert refuse(url, NOTHING) is None


def test_an_allowance_opens_what_it_names_and_nothing_else() -> None:
    assert refuse("http://shop.town.test/", TOWN) is None
    assert refuse("http://127.0.0.1:9000/", TOWN) is None
    assert refuse("http://127.0.0.1:9001/", TOWN)
    assert refuse("http://town.example.test/", TOWN)


def test_a_webhook_follows_the_rules_for_targets() -> None:
    with pytest.raises(Invalid) as refused:
        admit(asked("https://example.com", webhook_url="http://169.254.169.254/"), NOTHING)
    assert [error["loc"] for error in refused.value.errors] == [["webhook_url"]]
    assert admit(asked("https://example.com", webhook_url="http://hook.town.test/"), TOWN).webhook_url


@pytest.mark.parametrize(("port", "taken"), [(80, True), (443, True), (8080, True), (25, False), (1023, False)])
def test_nothing_is_posted_to_ports_of_other_services(port: int, taken: bool) -> None:
    assert (refuse_webhook(f"https://example.com:{port}/", NOTHING) is None) is taken
    assert refuse_webhook(f"https://shop.town.test:{port}/", TOWN) is None
