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
        (["Oak Inc.", "12 Alder St.", "Fairview, ME 04999"], "US", ("12 Alder St", "Fairview", "ME", "04999", "US")),
        (["12 Alder St. Suite 3 Fairview, Maine 04999-1234"], "US",
         ("12 Alder St. Suite 3", "Fairview", "ME", "04999-1234", "US")),
        (["7 High Street", "Preston", "Lancashire", "PR1 2AB"], "GB",
         ("7 High Street", "Preston", "Lancashire", "PR1 2AB", "GB")),
        (["Gartenstraße 18", "10437 Berlin"], "DE", ("Gartenstraße 18", "Berlin", None, "10437", "DE")),
        (["24 rue des Tilleuls", "75999 Paris"], "FR", ("24 rue des Tilleuls", "Paris", None, "75999", "FR")),
        (["Lindenlaan 10, 9999 ZX Elders"], "NL", ("Lindenlaan 10", "Elders", None, "9999 ZX", "NL")),
        (["Calle del Olivo, 4, 28012 Madrid"], "ES", ("Calle del Olivo, 4", "Madrid", None, "28012", "ES")),
        (["185, Lotus Road, Mumbai 400001"], "IN", ("185, Lotus Road", "Mumbai", None, "400001", "IN")),
        (["14 Wattle Street", "Gumtree NSW 2999"], "AU", ("14 Wattle Street", "Gumtree", "NSW", "2999", "AU")),
        (["305 Maple Drive, Suite 12", "Elmvale, ON K0K 9Z9"], "CA",
         ("305 Maple Drive, Suite 12", "Elmvale", "ON", "K0K 9Z9", "CA")),
        (["Lindenlaan 10", "9999 ZX Elders"], "US", ("Lindenlaan 10", "Elders", None, "9999 ZX", "NL")),
        (["© Windmolen BV Lindenlaan 10 9999 ZX Elders T: 010"], "NL",
         ("Lindenlaan 10", "Elders", None, "9999 ZX", "NL")),
        (["Ekgatan 6", "99999 Lillby"], "SE", ("Ekgatan 6", "Lillby", None, "99999", "SE")),
        (["C/ Encina 7", "49999 Robledo ( Zamora )"], "ES", ("C/ Encina 7", "Robledo", None, "49999", "ES")),
        (["Encina, 7", "49999 Robledo"], "ES", ("Encina, 7", "Robledo", None, "49999", "ES")),
        (["Avenida de la Encina s/n,49999 Robledo"], "ES",
         ("Avenida de la Encina s/n", "Robledo", None, "49999", "ES")),
        (["Rua do Pinheiro, 64 / cj 2", "CEP 99999-000", "Alto"], "BR",
         ("Rua do Pinheiro, 64 / cj 2", None, None, "99999-000", "BR")),
        (["Av. do Pinheiro, 6", "9999-099 - ALDEIA"], "US", ("Av. do Pinheiro, 6", "ALDEIA", None, "9999-099", "PT")),
        (["2nd Floor, Rose Center, Mango Road,", "Guldasta (59999) - Pakistan."], "PK",
         ("2nd Floor, Rose Center, Mango Road", "Guldasta", None, "59999", "PK")),
        (["No. 8 Willow Road, Example District, Postcode:999066"], "CN",
         ("No. 8 Willow Road", "Example District", None, "999066", "CN")),
        (["#99-14, Beodeul-dong, Namu-gu,", "Seoul, Korea 199-080"], "KR",
         ("#99-14, Beodeul-dong", "Seoul", None, "199-080", "KR")),
        (["Clover Innovation Centre,", "Cowslip Road,", "Cambridge,", "CB99 9WS"], "GB",
         ("Clover Innovation Centre, Cowslip Road", "Cambridge", None, "CB99 9WS", "GB")),
        (["Ekgatan 6", "999 99 Lillby"], "SE", ("Ekgatan 6", "Lillby", None, "999 99", "SE")),
    ],
)  # fmt: skip
def test_formats(lines: list[str], region: str, address: tuple[str | None, ...]) -> None:
    assert found(lines, region) == [address]


@pytest.mark.parametrize(
    ("lines", "regions", "address"),
    [
        (["Shop 12, 3/F, Lucky Centre, 171 Willow Road, Wan Chai, Hong Kong"], ("HK",),
         ("Shop 12, 3/F, Lucky Centre, 171 Willow Road", "Hong Kong", "Wan Chai", None, "HK")),
        (["Unit 5B, 8/F", "25 Willow Road", "Hong Kong"], (),
         ("Unit 5B, 8/F, 25 Willow Road", "Hong Kong", None, None, "HK")),
        (["P.O. Box 12345, Dubai, United Arab Emirates"], (), ("P.O. Box 12345", "Dubai", None, None, "AE")),
        (["Office 401, Palm Tower", "Sheikh Palm Road", "Dubai, UAE"], ("AE",),
         ("Office 401, Palm Tower, Sheikh Palm Road", "Dubai", None, None, "AE")),
        (["Main Street", "Ballyduck", "Co. Clare", "Ireland"], ("IE",),
         ("Main Street", "Ballyduck", "Co. Clare", None, "IE")),
        (["12 Main Street, Ballyduck, Co. Antrim"], (), ("12 Main Street", "Ballyduck", "Co. Antrim", None, "GB")),
        (["12 Main Street, Dublin 2, D02 X285"], ("IE",), ("12 Main Street", "Dublin 2", None, "D02 X285", "IE")),
        (["12 Main Street, Dublin 2"], (), ("12 Main Street", "Dublin 2", None, None, "IE")),
        (["Calle 50, Edificio Roble, Piso 3", "Ciudad de Panamá, Panamá"], ("PA",),
         ("Calle 50, Edificio Roble, Piso 3", "Ciudad de Panamá", None, None, "PA")),
        (["123 Main St, Austin, TX Tel 512"], (), ("123 Main St", "Austin", "TX", None, "US")),
        (["123 Main St", "Austin Texas"], (), ("123 Main St", "Austin", "TX", None, "US")),
        (["12 Oak Street, Perth, WA"], ("AU",), ("12 Oak Street", "Perth", "WA", None, "AU")),
        (["24 rue des Tilleuls, Paris, France"], (), ("24 rue des Tilleuls", "Paris", None, None, "FR")),
        (["No. 96 Willow Road Section 1", "Taipei 104"], ("TW",),
         ("No. 96 Willow Road Section 1", "Taipei", None, "104", "TW")),
    ],
)  # fmt: skip
def test_addresses_without_a_postal_code_or_with_a_rare_one(
    lines: list[str], regions: tuple[str, ...], address: tuple[str | None, ...]
) -> None:
    assert found(lines, *regions) == [address]


@pytest.mark.parametrize(
    "lines",
    [
        ["We ship to Paris, France"],
        ["Oak Dental", "Dublin, Ireland"],
        ["Serving Austin, TX"],
        ["12 years in business", "Texas"],
        ["Made in Hong Kong"],
        ["8 Elm St", "Suite 300"],
        ["99 Oak Rd", "Axis M3014 0285-001 Network Dome Camera"],
    ],
)
def test_a_country_alone_makes_no_address(lines: list[str]) -> None:
    assert found(lines) == []


def test_the_country_below_a_postal_code_is_no_second_address() -> None:
    assert [row[3] for row in found(["1 Oak Rd, Reno, NV 89501", "Nevada, USA"], "US")] == ["89501"]


def test_several_addresses_are_told_apart() -> None:
    lines = ["1 Oak Rd", "Reno, NV 89501", "Tel 775", "2 Elm Ave", "Boise, ID 83702"]
    assert [row[3] for row in found(lines, "US")] == ["89501", "83702"]


@pytest.mark.parametrize(
    "lines",
    [
        ["In 2023 we answered 12450 Questions"],
        ["© 2012 Millpond"],
        ["3 months ago", "Spring Fair Preparations 2012"],
        ["Order 12345 today"],
        ["size 51-100 Yards"],
        ["8 Elm St", "Anytown MD 20300 - 20399"],
        ["4 Wheel Drive", "Stock Number: 11999"],
        ["99 Oak Rd", "Autumn and winter grand tour 2011"],
        ["Come to 7 High Street", "1030 AM Monday"],
    ],
)
def test_numbers_in_prose_are_no_addresses(lines: list[str]) -> None:
    assert found(lines, "US", "DE") == []


def test_the_country_is_told_by_what_is_there() -> None:
    told = normalise_address("1 Rd", "Paris, France", None, "F-75999", None)
    assert told is not None
    assert (told.city, told.postal_code, told.country) == ("Paris", "75999", "FR")
    assert getattr(normalise_address("1 Rd", "Reno", "NV", "89501"), "country", None) == "US"
    assert getattr(normalise_address("1 Rd", "Anywhere", None, "12345"), "country", "?") is None
    assert normalise_address(None, " ", None, None, "DE") is None
