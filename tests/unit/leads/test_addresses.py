"""Addresses in the layouts of many countries."""

from __future__ import annotations

import pytest

from leads.addresses import find_addresses, normalise_address


def found(lines: list[str], *regions: str) -> list[tuple[str | None, ...]]:
    matches = find_addresses(lines, lambda _: regions)
    return [(a.street, a.city, a.region, a.postal_code, a.country) for a in (match.address for match in matches)]


@pytest.mark.parametrize(
    ("lines", "region", "address"),
    [
        (["Oak Inc.", "12 Main St.", "Auburn, ME 04210"], "US", ("12 Main St", "Auburn", "ME", "04210", "US")),
        (["12 Main St. Suite 3 Auburn, Maine 04210-1234"], "US",
         ("12 Main St. Suite 3", "Auburn", "ME", "04210-1234", "US")),
        (["7 High Street", "Preston", "Lancashire", "PR1 2AB"], "GB",
         ("7 High Street", "Preston", "Lancashire", "PR1 2AB", "GB")),
        (["Gartenstraße 18", "10437 Berlin"], "DE", ("Gartenstraße 18", "Berlin", None, "10437", "DE")),
        (["24 rue Chaptal", "75009 Paris"], "FR", ("24 rue Chaptal", "Paris", None, "75009", "FR")),
        (["Kruisstraat 10, 6634 AG Batenburg"], "NL", ("Kruisstraat 10", "Batenburg", None, "6634 AG", "NL")),
        (["Calle del Olivo, 4, 28012 Madrid"], "ES", ("Calle del Olivo, 4", "Madrid", None, "28012", "ES")),
        (["185, Lotus Road, Mumbai 400001"], "IN", ("185, Lotus Road", "Mumbai", None, "400001", "IN")),
        (["14 Sarah Street", "Mascot NSW 2020"], "AU", ("14 Sarah Street", "Mascot", "NSW", "2020", "AU")),
        (["305 Renfrew Drive, Suite 301", "Markham, ON L3R 9S7"], "CA",
         ("305 Renfrew Drive, Suite 301", "Markham", "ON", "L3R 9S7", "CA")),
        (["Norrtullsgatan 6", "113 29 Stockholm"], "SE", ("Norrtullsgatan 6", "Stockholm", None, "113 29", "SE")),
    ],
)  # fmt: skip
def test_formats(lines: list[str], region: str, address: tuple[str | None, ...]) -> None:
    assert found(lines, region) == [address]


def test_several_addresses_are_told_apart() -> None:
    lines = ["1 Oak Rd", "Reno, NV 89501", "Tel 775", "2 Elm Ave", "Boise, ID 83702"]
    assert [row[3] for row in found(lines, "US")] == ["89501", "83702"]


@pytest.mark.parametrize(
    "lines",
    [
        ["In 2023 we answered 12450 Questions"],
        ["© 2012 AutoGenomics"],
        ["3 months ago", "Home Expo Preparations 2012"],
        ["Order 12345 today"],
        ["size 51-100 Metres"],
    ],
)
def test_numbers_in_prose_are_no_addresses(lines: list[str]) -> None:
    assert found(lines, "US", "DE") == []


def test_the_country_is_told_by_what_is_there() -> None:
    told = normalise_address("1 Rd", "Paris, France", None, "F-75002", None)
    assert told is not None
    assert (told.city, told.postal_code, told.country) == ("Paris", "75002", "FR")
    assert getattr(normalise_address("1 Rd", "Reno", "NV", "89501"), "country", None) == "US"
    assert getattr(normalise_address("1 Rd", "Anywhere", None, "12345"), "country", "?") is None
    assert normalise_address(None, " ", None, None, "DE") is None
