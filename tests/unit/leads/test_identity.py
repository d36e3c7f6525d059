"""Identity: ids that stay, leads that merge when they are one business and only then."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

from leads.identity import cluster, fold_name, identifiers, lead_id, merge, observation_id, same_business
from leads.model import Address, Email, Lead, Phone, PhoneCoordinates, Provenance, Validation
from tests.support import shared_data


def phone(e164: str, **more: object) -> Phone:
    return Phone.model_validate(
        {"raw": e164, "normalized_e164": e164, "validation_status": Validation.VALID, "confidence": 0.5, **more}
    )


def lead(name: str | None = "Cafe Roma", *phones: str, street: str | None = None, code: str | None = None,
         **more: object) -> Lead:  # fmt: skip
    address = Address(street=street, postal_code=code) if street or code else None
    return Lead.model_validate({"display_name": name, "phones": [phone(p) for p in phones], "address": address, **more})


def test_the_strongest_identifier_comes_first() -> None:
    kinds = [k for k, _ in identifiers(lead("A", "+15550100", code="1", website="https://a.com/", emails=["a@a.com"]))]
    assert kinds == ["phone", "domain", "email", "place", "name"]


def test_a_platform_many_share_identifies_nobody() -> None:
    assert ("domain", "facebook.com") not in identifiers(lead("A", website="https://facebook.com/a"))


def test_a_lead_id_is_the_tenants_own_and_stays() -> None:
    one = lead("A", "+15550100")
    assert lead_id("t", one) == lead_id("t", lead("Another name", "+15550100"))
    assert lead_id("t", one) != lead_id("u", one)
    assert lead_id("t", lead(None, source_url="http://a/")) != lead_id("t", lead(None, source_url="http://b/"))


def test_an_observation_is_what_was_told_not_when_or_where_on_the_picture() -> None:
    box = PhoneCoordinates(x=0, y=0, width=1, height=1, absolute_x=0, absolute_y=0, viewport_width=1, viewport_height=1)
    one = lead("A", "+15550100", source_url="http://a/")
    later = one.model_copy(
        update={"found_at": datetime.now(UTC), "phones": [phone("+15550100", phone_coordinates=box)]}
    )
    assert observation_id("t", one) == observation_id("t", later)
    assert observation_id("t", one) != observation_id("u", one)
    assert observation_id("t", one) != observation_id("t", one.model_copy(update={"emails": ["a@a.com"]}))


def test_one_number_on_two_sites_is_one_business() -> None:
    assert same_business(lead("Café Roma", "+15550100"), lead("Cafe Roma Ltd.", "+15550100", website="http://x.com"))


def test_branches_are_not_one_business() -> None:
    berlin = lead("Roma", "+4930100", street="Am Markt 1", code="10115", website="https://roma.de")
    munich = lead("Roma", "+4989100", street="Ring 7", code="80331", website="https://roma.de")
    hotline = [b.model_copy(update={"phones": [phone("+498001")]}) for b in (berlin, munich)]
    assert not same_business(berlin, munich)
    assert not same_business(*hotline)
    assert cluster([berlin, munich, *hotline]) == [[0, 2], [1, 3]]


def test_two_businesses_of_one_name_are_two() -> None:
    assert not same_business(lead("Roma", "+15550100"), lead("Roma", "+15550199"))


def test_a_number_that_stands_everywhere_joins_nobody() -> None:
    agency = [lead(f"Business {i}", "+15550100") for i in range(300)]
    assert len(cluster(agency)) == 300


def test_merging_keeps_the_surest_value_and_unites_lists() -> None:
    told = lead("A Ltd", "+15550100", emails=["A@a.com"], found_at=datetime(2026, 1, 1, tzinfo=UTC),
                provenance={"display_name": Provenance(source="title", confidence=0.4)})  # fmt: skip
    surer = lead("A", "+15550101", "+15550100", emails=["a@a.com", "b@a.com"], code="10115",
                 found_at=datetime(2026, 1, 2, tzinfo=UTC),
                 provenance={"display_name": Provenance(source="json_ld", confidence=0.9)})  # fmt: skip
    merged = merge([surer, told])
    assert (merged.display_name, merged.emails) == ("A", ["a@a.com", "b@a.com"])
    assert {p.normalized_e164 for p in merged.phones} == {"+15550100", "+15550101"}
    assert (merged.first_seen_at, merged.last_seen_at) == (told.found_at, surer.found_at)
    assert merged.provenance["display_name"].source == "json_ld"
    assert merge([told, surer]) == merged


def test_merging_keeps_the_surest_reading_of_each_mail_and_profile_and_one_timetable() -> None:
    def seen(day: int, sure: float, url: str, hours: list[str], source: str) -> Lead:
        origin = Provenance(source=source, confidence=sure)
        return lead("A", found_at=datetime(2026, 1, day, tzinfo=UTC), socials={"facebook": url}, emails=["a@a.com"],
                    email_details=[Email(address="a@a.com", confidence=sure, source=source)], opening_hours=hours,
                    provenance={"socials": origin, "opening_hours": origin})  # fmt: skip

    surer, later = (
        seen(1, 0.9, "https://fb.com/a", ["Mo 9-17"], "json_ld"),
        seen(2, 0.5, "https://fb.com/b", [], "text"),
    )
    merged = merge([later, surer])
    assert merged.socials == {"facebook": "https://fb.com/a"}
    assert [detail.source for detail in merged.email_details] == ["json_ld"]
    assert (merged.opening_hours, merged.provenance["opening_hours"].source) == (["Mo 9-17"], "json_ld")
    newest = seen(3, 0.9, "https://fb.com/c", ["Mo 8-16"], "json_ld")
    assert merge([merged, newest]).opening_hours == ["Mo 8-16"]
    assert merge([merged, newest]).first_seen_at == surer.found_at


def test_names_are_compared_without_accents_and_legal_forms() -> None:
    assert fold_name("Café Roma, GmbH & Co. KG") == "cafe roma"
    assert fold_name("Ltd") == "ltd"


def test_labelled_restaurants_are_matched() -> None:
    """Fodors and Zagat on the same restaurants: equal numbers alone reach .885 and .964."""
    folder = shared_data() / "dedupe-dev"
    with (folder / "restaurant.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "restaurant_gold.csv").open(encoding="utf-8") as file:
        gold = {(int(row["id_1"]), int(row["id_2"])) for row in csv.DictReader(file)}
    found = [_restaurant(row) for row in rows]
    pairs = {(a + 1, b + 1) for group in cluster(found) for i, a in enumerate(group) for b in group[i + 1 :]}
    hits = len(pairs & gold)
    assert hits / len(pairs) >= 0.98
    assert hits / len(gold) >= 0.97


def _restaurant(row: dict[str, str]) -> Lead:
    fields = {k.strip().lower(): v.strip().strip('"') for k, v in row.items() if k}
    digits = "".join(c for c in fields["phone"] if c.isdigit())[:10]
    return Lead(
        display_name=fields["name"],
        phones=[phone("+1" + digits)],
        address=Address(street=fields.get("addr") or fields.get("address"), city=fields["city"]),
    )
