"""The judge is judged: perfect files pass, and each kind of fault is seen for what it is."""

from __future__ import annotations

import csv
from pathlib import Path

import phonenumbers
import pytest

from infra.sample_town.score import read_leads, score
from infra.sample_town.truth import load_truth

TRUTH = load_truth()
FIRST, SECOND = TRUTH["businesses"][0], TRUTH["businesses"][1]


def row(business: dict, **changed: str) -> dict[str, str]:
    return {
        "name": business["name"],
        "phones": "; ".join(international(phone) for phone in business["phones"]),
        "emails": "; ".join(business["emails"]),
        **changed,
    }


def international(e164: str) -> str:
    number = phonenumbers.parse(e164)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def leads_csv(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "leads.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["name", "phones", "emails"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_perfect_file_passes(tmp_path: Path) -> None:
    result = score(leads_csv(tmp_path, [row(business) for business in TRUTH["businesses"]]))
    assert result.passed
    assert result.recall == 1.0
    assert (result.repeated, result.missing, result.wrong) == (0, [], [])
    assert (result.phones_found, result.emails_found) == (result.phones_expected, result.emails_expected)


def test_a_file_with_one_in_ten_missing_fails(tmp_path: Path) -> None:
    result = score(leads_csv(tmp_path, [row(business) for business in TRUTH["businesses"][8:]]))
    assert not result.passed
    assert result.missing == [business["name"] for business in TRUTH["businesses"][:8]]
    assert f"businesses 64/{len(TRUTH['businesses'])}" in result.summary()


def test_a_lead_of_nobody_is_invented(tmp_path: Path) -> None:
    result = score(leads_csv(tmp_path, [row(FIRST), row(FIRST, name="Nobody & Sons", phones="+1 212-555-0100")]))
    assert len(result.invented) == 1
    assert "Nobody & Sons" in result.invented[0]
    assert not result.passed


@pytest.mark.parametrize("column", ["name", "phones", "emails"])
def test_forbidden_contacts_are_seen_in_every_column(tmp_path: Path, column: str) -> None:
    poison = TRUTH["forbidden"][0]
    value = {"name": poison["name"], "phones": poison["phone"], "emails": poison["email"]}[column]
    result = score(leads_csv(tmp_path, [row(FIRST, **{column: value})]))
    assert len(result.forbidden) == 1
    assert poison["reason"] in result.forbidden[0]


def test_another_business_phone_is_wrong_and_a_second_lead_repeated(tmp_path: Path) -> None:
    mixed = row(FIRST, phones=f"{FIRST['phones'][0]}; {SECOND['phones'][0]}")
    result = score(leads_csv(tmp_path, [row(FIRST), mixed]))
    assert result.repeated == 1
    assert len(result.wrong) == 1
    assert SECOND["phones"][0] in result.wrong[0]


def test_one_lead_a_branch_is_not_repeated(tmp_path: Path) -> None:
    business = next(business for business in TRUTH["businesses"] if business["branches"])
    rows = [
        row(business, name=f"{business['name']} – {branch['name']}", phones=branch["phone"])
        for branch in business["branches"]
    ]
    result = score(leads_csv(tmp_path, rows))
    assert (result.repeated, result.invented, result.found) == (0, [], {business["id"]})


def test_a_fax_finds_its_business_and_a_name_does_too(tmp_path: Path) -> None:
    faxing = next(business for business in TRUTH["businesses"] if business["faxes"])
    result = score(
        leads_csv(tmp_path, [row(faxing, name="", phones=faxing["faxes"][0]), row(FIRST, phones="", emails="")])
    )
    assert result.found == {faxing["id"], FIRST["id"]}
    assert result.invented == []


def test_phones_are_read_however_an_export_writes_them(tmp_path: Path) -> None:
    path = leads_csv(tmp_path, [{"name": "x", "phones": "'+44 20 7946 0123; 00441614960123;soon", "emails": ""}])
    assert read_leads(path)[0].phones == ("+442079460123", "+441614960123", "soon")


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("phones,city\n+1,Bern\n")
    with pytest.raises(ValueError, match="no column name or display_name; it has phones, city"):
        score(path)
