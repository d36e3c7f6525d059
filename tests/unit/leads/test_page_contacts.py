"""Phones and e-mails of whole pages: every place where pages put them, and every way of writing them."""

from __future__ import annotations

import pytest

from leads.extract import extract
from leads.model import Lead, Validation

ANN = "+12125550142"
BOB = "+12125550143"
MAIL = "info@mill.org"


def leads_of(body: str, lang: str = "", url: str = "https://mill.example.com/", head: str = "") -> list[Lead]:
    return extract(f"<!doctype html><html lang='{lang}'><head>{head}</head><body>{body}</body></html>", url)


def numbers(body: str, lang: str = "", url: str = "https://mill.example.com/") -> list[str]:
    """Valid numbers, an extension behind an x, a fax marked F."""
    return [
        f"{phone.normalized_e164}{'x' if phone.extension else ''}{phone.extension or ''}"
        f"{'F' if phone.kind == 'fax' else ''}"
        for lead in leads_of(body, lang, url)
        for phone in lead.phones
        if phone.validation_status is Validation.VALID
    ]


def emails(body: str, head: str = "") -> list[str]:
    return [email for lead in leads_of(body, head=head) for email in lead.emails]


@pytest.mark.parametrize(
    "markup",
    [
        "<a href='tel:+12125550142'>call</a>",
        "<a href='https://wa.me/12125550142'>chat</a>",
        "<a href='//wa.me/12125550142'>chat</a>",
        "<a href='whatsapp://send?phone=12125550142'>chat</a>",
        "<a href='viber://chat?number=%2B12125550142'>chat</a>",
        "<button onclick=\"window.location='tel:+12125550142'\">Call</button>",
        "<button data-href='tel:+12125550142'>Call</button>",
        *(
            f"<a href='#' {name}='+1 212-555-0142'>Show</a>"
            for name in (
                "data-phone",
                "data-tel",
                "data-mobile",
                "data-whatsapp",
                "data-full-number",
                "title",
                "aria-label",
            )
        ),
        "<input type=button value='Call +1 212-555-0142'>",
        "<input type=image alt='+1 212-555-0142'>",
        "<map><area alt='+1 212-555-0142'></map>",
        "<svg><text>+1 212-555-0142</text></svg>",
        "<p>+1 (2<span>12) 555</span>-<i>0142</i></p>",
        "<div>+1 212</div><div>555</div><div>0142</div>",
        "<p>+1 212·555·0142</p>",
        "<bdo dir=rtl>2410-555-212 1+</bdo>",
        "<p style='direction:rtl; unicode-bidi:bidi-override'>2410-555 (<b>212</b>) 1+</p>",
        "<style>em, #p {unicode-bidi: bidi-override; direction: rtl}</style><p id=p>2410-555-212 1+</p>",
        "<style>div > em {unicode-bidi: bidi-override; direction: rtl}</style><div><em>2410-555-212 1+</em></div>",
        "<style>.no {display: none}</style><p>+1 212<span class=no>999</span> 555 0142</p>",
    ],
)
def test_every_place_of_a_number(markup: str) -> None:
    assert numbers(markup) == [ANN]


@pytest.mark.parametrize(
    "markup",
    [
        "<input type=tel placeholder='+1 212-555-0142'>",
        "<a title='Order no 212-555-0142'>x</a>",
        "<a data-id='+1 212-555-0142'>x</a>",
    ],
)
def test_what_is_not_the_businesss_number(markup: str) -> None:
    assert numbers(markup, "en-US") == []


def test_rules_that_only_look_as_if_they_hid_a_number() -> None:
    css = "@media print { .a {color: red} .no {display: none} } .js .no {display: none}"
    assert numbers(f"<style>{css}</style><p>+1 <span class=no>212</span> 555 0142</p>") == [ANN]
    revealed = "<style>.later {display: none}</style><p>Call <span class=later>+1 212 555 0142</span></p>"
    assert numbers(revealed) == [ANN]


@pytest.mark.parametrize(
    "written",
    [
        "ext. 204", "x204", "(ext. 204)", "#204", "Durchwahl 204", "poste 204", "wew. 204", "ramal 204", "toestel 204",
        "anknytning 204", "доб. 204",
    ],
)  # fmt: skip
def test_extensions_are_kept_apart_in_every_language(written: str) -> None:
    assert numbers(f"<p>Tel: +1 212-555-0142 {written}</p>") == [f"{ANN}x204"]


@pytest.mark.parametrize(
    "body",
    [
        "<p>Tel (212) 555-0142 Fax (212) 555-0143</p>",
        "<p>(212) 555-0142 (tel) (212) 555-0143 (fax)</p>",
        "<p>(212) 555-0142 phone<br>(212) 555-0143 fax</p>",
        "<p>T 212-555-0142 / F 212-555-0143</p>",
        "<table><tr><th>Phone<th>Fax<tr><td>212-555-0142<td>212-555-0143</table>",
        "<p>Tel 212-555-0142</p><a data-fax='212-555-0143'>x</a>",
    ],
)
def test_a_fax_is_told_from_a_phone(body: str) -> None:
    assert numbers(body, "en-US") == [ANN, f"{BOB}F"]


@pytest.mark.parametrize(
    ("text", "url", "found"),
    [
        ("01 800 123 4567", "https://mill.com.mx/", "+528001234567"),
        ("LADA 01-800-123-4567", "https://mill.com.mx/", "+528001234567"),
        ("01 (55) 5555 1234", "https://mill.com.mx/", "+525555551234"),
        ("Cel 044 55 5555 1234", "https://mill.com.mx/", "+525555551234"),
        ("+52 1 55 5555 1234", "https://mill.example.com/", "+525555551234"),
        ("+52 (01) 55 5555 1234", "https://mill.example.com/", "+525555551234"),
        ("<a href='tel:018001234567'>01 800 123 4567</a>", "https://mill.com.mx/", "+528001234567"),
        ("01 99 00 12 34", "https://mill.fr/", "+33199001234"),
    ],
)
def test_mexicos_old_prefixes_are_read(text: str, url: str, found: str) -> None:
    (lead,) = leads_of(f"<p>Tel {text}</p>", url=url)
    assert [phone.normalized_e164 for phone in lead.phones] == [found]
    assert lead.phones[0].raw in text


def test_a_number_read_twice_keeps_its_element() -> None:
    body = """<script type='application/ld+json'>{"@type": "Store", "name": "Mill", "telephone": "2125550142"}</script>
    <p id=call>Call (212) 555-0142</p>"""
    (lead,) = leads_of(body, "en-US")
    assert [(phone.source, phone.phone_element_selector) for phone in lead.phones] == [("json_ld", "#call")]


@pytest.mark.parametrize(
    "written",
    [
        "info [at] mill [dot] org", "info(at)mill(dot)org", "info AT mill DOT org", "info (arroba) mill (punto) org",
        "info (chiocciola) mill (punto) org", "info (małpa) mill (kropka) org", "info [zavináč] mill [tečka] org",
        "info (собака) mill (точка) org", "info (snabela) mill (punktum) org", "info [alfakrøll] mill [punktum] org",
        "info arobase mill point org", "info apenstaartje mill punt org", "info (ät) mill (piste) org",
        "info(a)mill.org", "info(Klammeraffe)mill.org", "info [kukac] mill [pont] org", "info -at- mill -dot- org",
        "info@mill dot org", "info＠mill.org", "info@mill[.]org", "info -(at)- mill.org",
        "info <img alt='@'> mill.org", "info<img alt='(at)'>mill<img alt='dot'>org", "info&commat;mill&period;org",
    ],
)  # fmt: skip
def test_addresses_written_for_people_in_many_languages(written: str) -> None:
    assert emails(f"<p>E-mail: {written}</p>") == [MAIL]


@pytest.mark.parametrize(
    "markup",
    [
        "<a href='/cdn-cgi/l/email-protection#553c3b333a15383c39397b3a2732'>[email protected]</a>",
        "<a href='mailto:info(at)mill.org'>write</a>",
        "<a href='mailto://info@mill.org'>write</a>",
        "<a href='#' onclick=\"location.href='mailto:info@mill.org'\">write</a>",
        "<a data-user=info data-domain=mill.org>write</a>",
        "<a title='info@mill.org'>write</a>",
        "<p style='unicode-bidi:bidi-override;direction:rtl'>gro.<b>llim</b>@ofni</p>",
        "<style>.no{display:none}</style>info@<span class=no>NOSPAM</span>mill.org",
    ],
)
def test_addresses_hidden_from_machines(markup: str) -> None:
    assert emails(markup) == [MAIL]


@pytest.mark.parametrize(
    "text",
    [
        "npm install @scope/pkg react@16.8.0 jquery@3.2.1.min.js sprite@2x.css core@next.zip clip@home.mov",
        "<img alt='hero@2x.png'>",
        "git@github.com:mill/shop.git",
        "<a href='mailto:you@example.com'>write</a> name@company.com yourname@yoursite.com john@doe.com",
        "<input placeholder='me@mill.org'>",
    ],
)
def test_what_is_nobodys_address(text: str) -> None:
    assert emails(f"<p>{text}</p>") == []
