"""Contact blocks: one business's contact as the fragment of HTML that its style and its email style ask for."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.sample_town.model import Business, ContactStyle, EmailStyle, PhoneFormat, Trait
from infra.sample_town.replies import Reply, as_json, html
from infra.sample_town.templating import render
from infra.sample_town.words import WORDS, Words
from infra.sample_town.writing import ciphered, city_line, entities, written_phone

CARD_PATH = "/contact-card"
CARD_JSON_PATH = "/contact-card.json"

DELAYS_MS = (300, 450, 600, 800)
"""How long scripts wait before they show a contact: from what is usual to what is slow."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of page, with the further pages it loads, if any."""

    markup: Markup
    extra: dict[str, Reply]


def contact_block(business: Business, style: ContactStyle) -> Block:
    """The business's contact in ``style``; a business with branches gets one section a branch whatever the style."""
    words = WORDS[business.language]
    context = {
        "card": _card(business, words),
        "words": words,
        "delay_ms": DELAYS_MS[len(business.name) % len(DELAYS_MS)],
    }
    if business.has(Trait.BRANCHES):
        return Block(render("contact/branches.html", **context), {})

    plain = render("contact/plain_text.html", **context)
    match style:
        case ContactStyle.SCRIPT_AFTER_DELAY:
            encoded = base64.b64encode(plain.encode()).decode()
            return Block(render("contact/after_delay.html", card_base64=encoded, **context), {})
        case ContactStyle.SCRIPT_FETCH:
            return Block(render("contact/fetched.html", **context), {CARD_JSON_PATH: as_json({"markup": plain})})
        case ContactStyle.BEHIND_COOKIE_BANNER:
            return Block(render("contact/behind_banner.html"), {CARD_JSON_PATH: as_json({"markup": plain})})
        case ContactStyle.IFRAME:
            frame = render(
                "contact/frame.html", card_markup=plain, look=business.look, lang=business.locale, title=business.name
            )
            return Block(render("contact/framed.html", **context), {CARD_PATH: html(frame)})
        case _:
            return Block(render(f"contact/{style}.html", **context), {})


def written(e164: str, style: PhoneFormat, label: str) -> dict[str, Any]:
    """A number as templates want it: ``label``, ``e164``, how it is ``shown``, and its ``parts``."""
    shown = written_phone(e164, style)
    return {"label": label, "e164": e164, "shown": shown, "parts": shown.split(" ")}


def _card(business: Business, words: Words) -> dict[str, Any]:
    email = business.emails[0]
    user, _, host = email.partition("@")
    style = _splittable(business)
    labels = (words.phone, words.second_phone)
    return {
        "name": business.name,
        "url": business.url,
        "street": business.address.street,
        "city": business.address.city,
        "postal_code": business.address.postal_code,
        "region": business.address.region,
        "country": business.address.country,
        "city_line": city_line(business.address),
        "phones": [written(p, style, labels[min(i, 1)]) for i, p in enumerate(business.phones)],
        "faxes": [written(fax, style, words.fax) for fax in business.faxes],
        "branches": [
            {
                "name": branch.name,
                "street": branch.address.street,
                "city_line": city_line(branch.address),
                "phone": written(branch.phone, style, words.phone),
            }
            for branch in business.branches
        ],
        "email": email,
        "email_style": business.email_style,
        "email_user": user,
        "email_host": host,
        "email_entities": Markup(entities(email)),  # noqa: S704 - nothing but entities
        "mailto_entities": Markup(entities(f"mailto:{email}")),  # noqa: S704
        "email_in_words": user + words.at + host.replace(".", words.dot),
        "email_ciphered": ciphered(email),
        "json_ld": {"@context": "https://schema.org", **_local_business(business)},
        "json_ld_graph": _graph(business),
    }


def _splittable(business: Business) -> PhoneFormat:
    """A format with blanks in it where the style cuts numbers at their blanks."""
    if business.contact_style is ContactStyle.SPLIT_NUMBER:
        return PhoneFormat.INTERNATIONAL
    return business.phone_format


def _local_business(business: Business) -> dict[str, Any]:
    address = {
        "@type": "PostalAddress",
        "streetAddress": business.address.street,
        "addressLocality": business.address.city,
        "postalCode": business.address.postal_code,
        "addressCountry": business.address.country,
    }
    if business.address.region:
        address["addressRegion"] = business.address.region
    described: dict[str, Any] = {
        "@type": "LocalBusiness",
        "name": business.name,
        "url": business.url,
        "telephone": list(business.phones) if len(business.phones) > 1 else business.phones[0],
        "address": address,
        "openingHours": "Mo-Fr 08:30-18:00",
    }
    if business.email_style is EmailStyle.MAILTO:
        described["email"] = f"mailto:{business.emails[0]}"
    if business.faxes:
        described["faxNumber"] = business.faxes[0]
    return described


def _graph(business: Business) -> dict[str, Any]:
    """The business inside an ``@graph``, pointed to by the site, as common site builders write it."""
    identity = f"{business.url}#business"
    return {
        "@context": "https://schema.org",
        "@graph": [
            {"@type": "WebSite", "url": business.url, "name": business.name, "publisher": {"@id": identity}},
            {"@type": "BreadcrumbList", "itemListElement": []},
            {"@id": identity, **_local_business(business)},
        ],
    }
