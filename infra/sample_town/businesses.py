"""Who lives in the sample town: every business, drawn from one seed, the same bytes every time."""

from __future__ import annotations

import random
from functools import cache

from infra.sample_town.model import (
    DIRECTORY_LABEL,
    MAIL_SUFFIX,
    Address,
    Branch,
    Business,
    ContactStyle,
    EmailStyle,
    Look,
    Placement,
    Poison,
    Town,
    Trait,
    site_url,
)
from infra.sample_town.places import COUNTRIES, City, Country, PhoneRange
from infra.sample_town.words import CATEGORIES, WORDS
from infra.sample_town.writing import slug

SEED = 20_240_117
"""Any number would do; changing it changes every business, so truth.json must then be written anew."""

BRANCH_COUNT = 3

LAYOUTS = ("bar", "rail", "masthead", "night", "cards", "split")
LOGOS = ("leaf", "rings", "peak", "spark", "wave", "tile")

TRAITS: dict[Trait, frozenset[int]] = {
    Trait.BRANCHES: frozenset({3}),
    Trait.SECOND_SITE: frozenset({5, 23, 41}),
    Trait.WWW_REDIRECT: frozenset({7, 27, 60}),
    Trait.SITEMAP_ONLY: frozenset({11}),
    Trait.SITEMAP: frozenset(range(1, 72, 4)) | {11},
    Trait.ROBOTS: frozenset({9, 19, 29, 39}),
    Trait.NOFOLLOW: frozenset({13, 33}),
    Trait.SECOND_LINE: frozenset(range(2, 72, 5)),
    Trait.AGENCY_FOOTER: frozenset({15, 35, 55}),
    Trait.ANIMATED: frozenset(range(0, 72, 3)),
    Trait.NEWSLETTER_POPUP: frozenset({17, 47}),
    Trait.ALERT: frozenset({21}),
    Trait.BROKEN_LINKS: frozenset({25, 45}),
    Trait.REDIRECT_LOOP: frozenset({31}),
    Trait.CALENDAR: frozenset({37}),
    Trait.HANGING_PAGE: frozenset({43}),
    Trait.HANGING_IMAGE: frozenset({49}),
    Trait.HUGE_PAGE: frozenset({51}),
    Trait.SLOW: frozenset({53, 57}),
}
"""Which position in the town has which trait. The rough ones are few, as on the web, and spread out."""

_INSERTED_AS_MARKUP = frozenset(
    {ContactStyle.SCRIPT_AFTER_DELAY, ContactStyle.SCRIPT_FETCH, ContactStyle.BEHIND_COOKIE_BANNER}
)
_NEEDS_ITS_OWN_SCRIPT = frozenset({EmailStyle.CIPHERED_ATTRIBUTE, EmailStyle.JOINED_BY_SCRIPT})


@cache
def build_town(seed: int = SEED) -> Town:
    """All businesses of the town and all that must never be reported, drawn from ``seed``."""
    rng = random.Random(seed)  # noqa: S311 - a draw that anyone can repeat is the point
    numbers = _Numbers(rng)
    plots = [(country, index) for country in COUNTRIES for index in range(country.count)]
    brands = {language: iter(rng.sample(words.brands, len(words.brands))) for language, words in WORDS.items()}
    rng.shuffle(plots)
    businesses = tuple(
        _business(position, country, index, next(brands[country.language]), numbers, rng)
        for position, (country, index) in enumerate(plots)
    )
    return Town(businesses, tuple(_poisons(businesses, numbers)))


class _Numbers:
    """Hands out each number of each range at most once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left: dict[PhoneRange, list[int]] = {}

    def take(self, phones: PhoneRange) -> str:
        """A number of this range that nobody has yet; IndexError when none is left."""
        if phones not in self._left:
            size = 10**phones.digits - phones.first
            self._left[phones] = self._rng.sample(range(size), size)
        return phones.number(self._left[phones].pop())


def _business(
    position: int, country: Country, index: int, brand: str, numbers: _Numbers, rng: random.Random
) -> Business:
    words = WORDS[country.language]
    category = rng.randrange(len(CATEGORIES))
    name = words.name.format(trade=words.trades[category], brand=brand)
    traits = frozenset(trait for trait, positions in TRAITS.items() if position in positions)
    contact_style = tuple(ContactStyle)[position % len(ContactStyle)]
    if Trait.SITEMAP_ONLY in traits:
        contact_style = ContactStyle.TABLE  # a banner or a script on top would hide which of the two was missed
    placement = _placement(position, country, contact_style, traits)
    if country.code == "DE" and placement is Placement.LEGAL:
        traits |= {Trait.FAX}

    branches = _branches(country, numbers, rng) if Trait.BRANCHES in traits else ()
    city = country.cities[index % len(country.cities)]
    address = branches[0].address if branches else _address(country, city, rng)
    phones = tuple(branch.phone for branch in branches) or (numbers.take(city.phones),)
    if Trait.SECOND_LINE in traits:
        phones += (numbers.take(country.mobile or city.phones),)
    faxes = (numbers.take(city.phones),) if Trait.FAX in traits else ()

    label = slug(name)
    labels = (label, f"{slug(brand)}-{slug(address.city)}") if Trait.SECOND_SITE in traits else (label,)
    mailbox = rng.choice(("info", "hello", "contact", "office") if country.language == "en" else ("info", "post"))
    return Business(
        id=f"b{position + 1:02d}",
        name=name,
        language=country.language,
        category=CATEGORIES[category],
        labels=labels,
        address=address,
        phones=phones,
        faxes=faxes,
        emails=(f"{mailbox}@{label}.{MAIL_SUFFIX}",),
        branches=branches,
        contact_style=contact_style,
        email_style=_email_style(position, contact_style),
        placement=placement,
        phone_format=rng.choice(country.formats),
        traits=traits,
        look=Look(layout=LAYOUTS[position % len(LAYOUTS)], hue=rng.randrange(360), logo=rng.choice(LOGOS)),
    )


def _placement(position: int, country: Country, style: ContactStyle, traits: frozenset[Trait]) -> Placement:
    if Trait.SITEMAP_ONLY in traits:
        return Placement.CONTACT
    if style is ContactStyle.FOOTER:
        return Placement.HOME
    if country.code == "DE" and position % 2 == 0:
        return Placement.LEGAL  # many German sites have a form on "Kontakt" and the numbers on "Impressum" alone
    if country.code == "FR" and position % 3 == 0:
        return Placement.LEGAL
    return Placement.HOME if position % 6 == 4 else Placement.CONTACT


def _email_style(position: int, contact_style: ContactStyle) -> EmailStyle:
    style = tuple(EmailStyle)[position % len(EmailStyle)]
    if contact_style in _INSERTED_AS_MARKUP and style in _NEEDS_ITS_OWN_SCRIPT:
        return EmailStyle.MAILTO  # scripts inside inserted markup never run
    return style


def _address(country: Country, city: City, rng: random.Random) -> Address:
    street = country.street.format(street=rng.choice(country.streets), number=rng.randrange(2, 190))
    return Address(street, city.name, rng.choice(city.postal_codes), city.region, country.code)


def _branches(country: Country, numbers: _Numbers, rng: random.Random) -> tuple[Branch, ...]:
    cities = [country.cities[i % len(country.cities)] for i in range(BRANCH_COUNT)]
    return tuple(Branch(city.name, numbers.take(city.phones), _address(country, city, rng)) for city in cities)


def _poisons(businesses: tuple[Business, ...], numbers: _Numbers) -> list[Poison]:
    """What must never be reported. All numbers are as valid as the real ones: only the page says better."""
    by_code = {country.code: country for country in COUNTRIES}
    london, berlin, denver = by_code["GB"].cities[0], by_code["DE"].cities[0], by_code["US"].cities[3]
    poisons = [
        Poison(
            reason="directory_operator",
            name="Littlehaven Listings Desk",
            phone=numbers.take(london.phones),
            email=f"desk@littlehaven-listings.{MAIL_SUFFIX}",
            url=site_url(DIRECTORY_LABEL, "/advertise"),
        )
    ]
    agency = Poison(
        reason="web_agency",
        name="Pixel Forge Studio",
        phone=numbers.take(berlin.phones),
        email=f"studio@pixel-forge.{MAIL_SUFFIX}",
        url="",
    )
    for business in businesses:
        if business.has(Trait.AGENCY_FOOTER):
            poisons.append(Poison(agency.reason, agency.name, agency.phone, agency.email, business.url))
        for trait, reason, path in (
            (Trait.ROBOTS, "robots_disallowed", "/internal/night-desk"),
            (Trait.CALENDAR, "calendar_trap", "/calendar"),
            (Trait.HUGE_PAGE, "end_of_huge_page", "/archive"),
        ):
            if business.has(trait):
                poisons.append(
                    Poison(
                        reason=reason,
                        name=f"Night Desk {business.id.upper()}",
                        phone=numbers.take(denver.phones),
                        email=f"night-{business.id}@{business.label}.{MAIL_SUFFIX}",
                        url=site_url(business.label, path),
                    )
                )
    return poisons
