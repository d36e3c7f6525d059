"""The town's people: as many, as different and as fictional as they are meant to be."""

from __future__ import annotations

from collections import Counter

import phonenumbers
import pytest

from infra.sample_town.businesses import SEED, build_town
from infra.sample_town.model import Business, ContactStyle, EmailStyle, PhoneFormat, Placement, Trait
from infra.sample_town.places import COUNTRIES, PhoneRange
from infra.sample_town.truth import TRUTH_PATH, load_truth, truth_text
from infra.sample_town.workshop_sites import bench_phone
from infra.sample_town.writing import CIPHER_KEY, ciphered, slug, written_phone

TOWN = build_town()
ALL_PHONES = [phone for business in TOWN.businesses for phone in (*business.phones, *business.faxes)]


def test_truth_file_is_what_the_generator_writes() -> None:
    assert TRUTH_PATH.read_bytes() == truth_text(build_town.__wrapped__(SEED)).encode()


def test_another_seed_makes_another_town() -> None:
    assert build_town.__wrapped__(SEED + 1) != TOWN


def test_a_truth_file_of_another_kind_is_refused(tmp_path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a truth file"):
        load_truth(path)


def test_seventy_two_businesses_share_neither_name_nor_contact() -> None:
    assert len(TOWN.businesses) == 72
    for values in (
        [business.name for business in TOWN.businesses],
        [label for business in TOWN.businesses for label in business.labels],
        [email for business in TOWN.businesses for email in business.emails],
        ALL_PHONES,
    ):
        assert len(values) == len(set(values))


@pytest.mark.parametrize("business", TOWN.businesses, ids=lambda business: business.id)
def test_every_number_is_valid_and_of_its_country(business: Business) -> None:
    for phone in (*business.phones, *business.faxes):
        number = phonenumbers.parse(phone)
        assert phonenumbers.is_valid_number(number), phone
        assert phonenumbers.region_code_for_number(number) == business.address.country


def test_every_number_is_from_a_declared_range() -> None:
    ranges = [city.phones for country in COUNTRIES for city in country.cities]
    ranges += [country.mobile for country in COUNTRIES if country.mobile]
    for phone in ALL_PHONES + [poison.phone for poison in TOWN.poisons]:
        assert any(phone.startswith(r.prefix) and len(phone) == len(r.prefix) + r.digits for r in ranges), phone


def test_a_range_ends() -> None:
    phones = PhoneRange("+4917139200", 2)
    assert phones.number(7) == "+491713920007"
    with pytest.raises(IndexError, match="no number 100"):
        phones.number(100)


def test_poison_is_nobodys_number_but_a_valid_one() -> None:
    assert not {poison.phone for poison in TOWN.poisons} & set(ALL_PHONES)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(poison.phone)) for poison in TOWN.poisons)
    assert {poison.reason for poison in TOWN.poisons} == {
        "directory_operator",
        "web_agency",
        "robots_disallowed",
        "calendar_trap",
        "end_of_huge_page",
    }


def test_bench_numbers_are_valid_and_nobodys() -> None:
    numbers = {bench_phone(n) for n in range(800)}
    assert len(numbers) == 800
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)
    assert not numbers & set(ALL_PHONES)


def test_every_way_to_show_a_contact_is_there() -> None:
    styles = Counter(business.contact_style for business in TOWN.businesses)
    assert styles.keys() == set(ContactStyle)
    assert min(styles.values()) >= 4
    assert {business.email_style for business in TOWN.businesses} == set(EmailStyle)
    assert {business.placement for business in TOWN.businesses} == set(Placement)
    assert {trait for business in TOWN.businesses for trait in business.traits} == set(Trait)


def test_branches_have_a_phone_and_a_city_each() -> None:
    (business,) = [business for business in TOWN.businesses if business.has(Trait.BRANCHES)]
    assert len({branch.phone for branch in business.branches}) == 3
    assert len({branch.address.city for branch in business.branches}) == 3
    assert {branch.phone for branch in business.branches} <= set(business.phones)


@pytest.mark.parametrize("style", PhoneFormat)
def test_written_numbers_are_read_back(style: PhoneFormat) -> None:
    used = [
        (business.address.country, phone)
        for business in TOWN.businesses
        if business.phone_format is style
        for phone in business.phones
    ]
    assert used
    for country, phone in used:
        read = phonenumbers.parse(written_phone(phone, style), country)
        assert phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164) == phone


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Bäckerei Morgenrot", "baeckerei-morgenrot"),
        ("Wren & Willow Café", "wren-and-willow-cafe"),
        ("Maison d'hôtes de l'Aubépine", "maison-d-hotes-de-l-aubepine"),
    ],
)
def test_slug(name: str, label: str) -> None:
    assert slug(name) == label


def test_ciphered_address_is_undone_with_its_first_byte() -> None:
    raw = bytes.fromhex(ciphered("info@acorn.example"))
    assert raw[0] == CIPHER_KEY
    assert bytes(byte ^ raw[0] for byte in raw[1:]) == b"info@acorn.example"
