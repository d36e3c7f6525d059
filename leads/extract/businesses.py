"""Structured items that are businesses, as drafts of leads."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from leads.addresses import normalise_address
from leads.emails import email_detail, find_emails, normalise_email
from leads.extract.document import Document
from leads.extract.draft import Draft
from leads.extract.evidence import RegionEvidence
from leads.extract.items import Item, walk
from leads.extract.names import tidy_name
from leads.extract.profiles import find_socials
from leads.model import Address, Geo
from leads.phones import best_phone
from leads.regions import region_of_name

_CONFIDENCE = {"json_ld": 0.95, "microdata": 0.92, "rdfa": 0.9, "h_card": 0.88, "open_graph": 0.85}

# Types that may carry an address or a phone and yet are no business.
_NOT_BUSINESS = frozenset(
    "Person Event Product Offer AggregateOffer Article NewsArticle BlogPosting WebPage WebSite ContactPage AboutPage"
    " ContactPoint PostalAddress JobPosting Invoice Order Review Rating AggregateRating Recipe VideoObject ImageObject"
    " BreadcrumbList ListItem ItemList Place City Country State AdministrativeArea GeoCoordinates Service Residence"
    " Apartment House SingleFamilyResidence Accommodation Reservation FlightReservation LodgingReservation Flight"
    " ParcelDelivery Trip Brand Course CreativeWork Book Movie MusicRecording Comment UserComments Question Answer"
    " OpeningHoursSpecification SearchAction PropertyValue".split()
)
_BUSINESS = frozenset(
    "Organization LocalBusiness Corporation NGO EducationalOrganization GovernmentOrganization MedicalOrganization"
    " SportsOrganization PerformingGroup NewsMediaOrganization OnlineBusiness OnlineStore Airline Restaurant Store"
    " Hotel LodgingBusiness FoodEstablishment ProfessionalService Dentist Physician School CollegeOrUniversity".split()
)
_PLAIN_TYPES = frozenset(
    "Organization LocalBusiness Corporation Thing Place Store ProfessionalService FoodEstablishment"
    " OnlineBusiness".split()
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "PublicHolidays")


def find_businesses(items: Sequence[Item], document: Document, evidence: RegionEvidence) -> list[Draft]:
    """A draft for each business among the items, outer before inner, those with contact data only once."""
    drafts: list[Draft] = []
    for item in walk(list(items)):
        if is_business(item):
            draft = _draft(item, document, evidence)
            if draft.name or draft.phones or draft.address:
                _merge_in(drafts, draft)
    return drafts


def is_business(item: Item) -> bool:
    """Whether the item is an organisation, by type, or by having a name and a way to reach it."""
    types = set(item.types)
    if types & _BUSINESS:
        return True
    if types & _NOT_BUSINESS:
        # A venue is a business even where it is only the place of an event.
        return "Place" in types and bool(item.texts("name")) and bool(item.props.keys() & {"telephone", "address"})
    reachable = any(
        name in item.props for name in ("telephone", "address", "openingHours", "openingHoursSpecification")
    )
    return bool(types) and reachable and bool(item.texts("name"))


def country_of(items: Sequence[Item]) -> list[str]:
    """The countries that addresses in structured data name."""
    found = (region_of_name(text) for item in walk(list(items)) for text in item.texts("addressCountry"))
    return [region for region in found if region]


def _merge_in(drafts: list[Draft], draft: Draft) -> None:
    """The same business in a second syntax joins the first; another business stands on its own."""
    for held in drafts:
        if held.same_as(draft):
            held.absorb(draft)
            return
    drafts.append(draft)


def _draft(item: Item, document: Document, evidence: RegionEvidence) -> Draft:
    sure = _CONFIDENCE[item.source]
    draft = Draft(structured=True, element=item.element)
    name = tidy_name(item.text("name", "legalName", "alternateName") or "")
    draft.set_name(name, item.source, sure)
    address = _address(item)
    draft.set("address", address, item.source, sure)
    home = [address.country] if address and address.country else []
    for raw, kind in _numbers(item):
        regions = list(dict.fromkeys([*home, *evidence.ranked(text=raw)]))
        for part in re.split(r"\s*(?:;|,(?=\s*[+(0])|\s/\s(?=[+(0]))\s*", raw)[:5]:
            phone = best_phone(part, regions, source=item.source, kind=kind, confidence=sure, selector=None)
            if any(char.isdigit() for char in part):
                draft.phones.append(phone)
    for text in _emails(item):
        draft.emails.append(email_detail(text, item.source, sure))
    urls = [resolved for text in item.texts("url", "mainEntityOfPage") if (resolved := document.resolve(text))]
    draft.set("website", next(iter(urls), None), item.source, sure)
    draft.set("socials", find_socials([*item.texts("sameAs"), *urls]) or None, item.source, sure)
    draft.set("geo", _geo(item), item.source, sure)
    draft.set("categories", _categories(item) or None, item.source, sure)
    draft.set("opening_hours", opening_hours(item) or None, item.source, sure)
    draft.set("description", (item.text("description") or "")[:1_000] or None, item.source, sure)
    logo = item.text("logo") or next(
        (text for each in item.items("logo") for text in each.texts("url", "contentUrl")), None
    )
    draft.set("logo", document.resolve(logo) if logo else None, item.source, sure)
    rating, count = _rating(item)
    draft.set("rating", rating, item.source, sure)
    draft.set("review_count", count, item.source, sure)
    return draft


def _numbers(item: Item) -> Iterator[tuple[str, str]]:
    for holder in (item, *item.items("contactPoint", "contactPoints", "address", "location")):
        if holder is not item and is_business(holder):
            continue
        for raw in holder.texts("telephone", "phone", "tel"):
            yield raw.removeprefix("tel:"), "voice"
        for raw in holder.texts("faxNumber", "fax"):
            yield raw.removeprefix("tel:"), "fax"


def _emails(item: Item) -> Iterator[str]:
    for holder in (item, *item.items("contactPoint", "contactPoints", "address")):
        for text in holder.texts("email"):
            address = normalise_email(text.removeprefix("mailto:").split("?")[0])
            if address:
                yield address
            else:
                yield from (match.address for match in find_emails(text))


def _address(item: Item) -> Address | None:
    for place in (
        *item.items("address"),
        *(inner for where in item.items("location") for inner in where.items("address")),
    ):
        street = ", ".join(dict.fromkeys(place.texts("streetAddress"))) or place.text("postOfficeBoxNumber")
        address = normalise_address(
            street,
            place.text("addressLocality"),
            place.text("addressRegion"),
            place.text("postalCode"),
            place.text("addressCountry"),
        )
        if address:
            return address
    return normalise_address(
        item.text("streetAddress"), item.text("addressLocality"), item.text("addressRegion"), item.text("postalCode"),
        item.text("addressCountry"),
    )  # fmt: skip


def _geo(item: Item) -> Geo | None:
    places = (
        item,
        *item.items("geo", "hasMap", "location"),
        *(geo for where in item.items("location") for geo in where.items("geo")),
    )
    for place in places:
        latitude, longitude = number_of(place.text("latitude")), number_of(place.text("longitude"))
        geo = make_geo(latitude, longitude)
        if geo:
            return geo
    return None


def make_geo(latitude: float | None, longitude: float | None) -> Geo | None:
    """A place on Earth, ``None`` for what is off it or the (0, 0) of empty templates."""
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    return Geo(latitude=latitude, longitude=longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def number_of(text: str | None) -> float | None:
    """The first decimal number in ``text``, a comma read as the decimal point."""
    found = re.search(r"-?\d{1,9}(?:[.,]\d{1,12})?", text) if text else None
    value = float(found.group().replace(",", ".")) if found else None
    return value if value is None or math.isfinite(value) else None


def _rating(item: Item) -> tuple[float | None, int | None]:
    for rating in item.items("aggregateRating"):
        value = number_of(rating.text("ratingValue"))
        count = number_of((rating.text("reviewCount", "ratingCount") or "").replace(",", "").replace(".", ""))
        if value is not None and 0 <= value <= 100:
            return value, int(count) if count is not None and 0 <= count <= 100_000_000 else None
    return None, None


def _categories(item: Item) -> list[str]:
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name) for name in item.types if name not in _PLAIN_TYPES]
    words += [part.strip() for text in item.texts("category", "servesCuisine") for part in text.split(",")]
    return [word[:200] for word in dict.fromkeys(words) if word][:30]


def opening_hours(item: Item) -> list[str]:
    """``"Mo-Fr 09:00-17:00"`` lines: ``openingHours`` as written, specifications put into the same form."""
    lines = [text[:200] for text in item.texts("openingHours")]
    for spec in item.items("openingHoursSpecification", "hoursAvailable"):
        days = [day.rsplit("/", 1)[-1] for day in spec.texts("dayOfWeek")]
        known = [day[:2] for day in _DAYS if day in days]
        opens, closes = spec.text("opens"), spec.text("closes")
        if opens and closes:
            lines.append(f"{_day_range(known)} {opens[:5]}-{closes[:5]}".strip())
    return list(dict.fromkeys(lines))[:30]


def _day_range(days: list[str]) -> str:
    order = [day[:2] for day in _DAYS]
    places = [order.index(day) for day in days]
    if len(places) > 2 and places == list(range(places[0], places[-1] + 1)):
        return f"{days[0]}-{days[-1]}"
    return ",".join(days)
