"""Opening hours in the layout, in several languages, and what only looks like them."""

from __future__ import annotations

import pytest

from leads.extract import extract
from leads.extract.hours import tells_hours


@pytest.mark.parametrize(
    "text",
    [
        "Monday - Friday: 9:00 am - 5:00 pm",
        "Saturday 10-4",
        "Sunday closed",
        "Mo-Fr 8-18 Uhr",
        "Montag bis Freitag von 8.00 bis 18.00 Uhr",
        "Lunes a viernes de 9:00 a 14:00",
        "Du lundi au vendredi de 9h à 18h",
        "lunedì - venerdì 9:00 - 18:00",
        "Open daily 7am–11pm",
        "8.30am to 5pm, Mon-Fri",
        "Open 24/7",
    ],
)
def test_hours_are_told(text: str) -> None:
    assert tells_hours(text)


@pytest.mark.parametrize(
    "text",
    [
        "May 12, 2012 3-4 items",
        "Mother 10 to 20 of us",
        "Mar 10-12 festival",
        "Mar 10-12",
        "Sun 12 to 14 degrees",
        "Work (775) 322-0100",
        "Monday, 12 May 2014",
        "Our doors are closed",
    ],
)
def test_what_is_no_opening_time(text: str) -> None:
    assert not tells_hours(text)


def test_the_cells_of_a_day_and_its_times_are_one_line() -> None:
    rows = "<tr><td>Montag</td><td>08:00 - 12:00 Uhr</td></tr><tr><td>Dienstag:</td><td>geschlossen</td></tr>"
    (lead,) = extract(f"<p>info@mill.org</p><table>{rows}</table>", "https://mill.org/")
    assert lead.opening_hours == ["Montag 08:00 - 12:00 Uhr", "Dienstag geschlossen"]
    assert lead.provenance["opening_hours"].source == "text"


def test_each_branch_has_its_own_hours() -> None:
    body = """<h1>Oak Dental</h1><p>7 High Street<br>London<br>N1 9ZZ</p><p>Mon-Fri 9:00-17:00</p>
    <h2>Preston</h2><p>9 Low Street<br>Preston<br>PR1 2AB</p><p>Mon-Fri 10:00-16:00</p>"""
    leads = extract(f"<title>Oak Dental - Locations</title>{body}", "https://oak-dental.co.uk/")
    assert [lead.opening_hours for lead in leads] == [["Mon-Fri 9:00-17:00"], ["Mon-Fri 10:00-16:00"]]
    assert {lead.website for lead in leads} == {"https://oak-dental.co.uk/"}
