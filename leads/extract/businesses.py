"""Structured items that are businesses, as drafts of leads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leads.addresses import find_addresses, normalise_address
from leads.emails import email_detail, find_emails, is_placeholder, normalise_email
from leads.extract.document import Document, host_of
from leads.extract.draft import Draft, fold
from leads.extract.evidence import RegionEvidence
from leads.extract.geo import geo_in_text, geo_of_map, make_geo, number_of
from leads.extract.items import Item, walk
from leads.extract.names import tidy_name
from leads.extract.profiles import find_socials, network_of
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
# Types under which sites sign their pages; who is listed on them has a type of its own.
_PUBLISHERS = frozenset("Organization Corporation NewsMediaOrganization OnlineBusiness OnlineStore".split())
_PLAIN_TYPES = frozenset(
    "Organization LocalBusiness Corporation Thing Place Store ProfessionalService FoodEstablishment"
    " OnlineBusiness".split()
)
_SCALE = 5.0
_SEVERAL_NUMBERS = re.compile(r"\s{0,5}(?:;|,(?=\s{0,5}[+(0])|\s/\s(?=[+(0]))\s{0,5}")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "PublicHolidays")


def find_businesses(items: Sequence[Item], document: Document, evidence: RegionEvidence) -> list[Draft]:
    """A draft for each business among the items, outer before inner, and for each further place of one, those with
    contact data only once."""
    drafts: list[Draft] = []
    publishers: list[Draft] = []
    owned: set[int] = set()  # places that are told of as a business's own
    for item in walk(list(items)):
        if id(item) in owned or not is_business(item):
            continue
        places = _places(item)
        owned.update(id(place.holder) for place in places)
        draft = _draft(item, next(iter(places), None), document, evidence)
        if draft.name and not draft.is_reachable and set(item.types) <= _PUBLISHERS:
            publishers.append(draft)
        elif draft.name or draft.phones or draft.address:
            _merge_in(drafts, draft)
        for place in places[1:]:
            _merge_in(drafts, _branch(item, place, draft.name, evidence))
    return _without_publishers(publishers, drafts, document)


@dataclass(frozen=True, slots=True)
class _Place:
    """One door of a business: the item that tells of it, and its address."""

    holder: Item
    address: Address


def _places(item: Item) -> list[_Place]:
    """The places of a business that are not businesses of their own, in order."""
    found = [(each, each) for each in item.items("address")]
    for where in item.items("location"):
        if not set(where.types) & _BUSINESS:
            found += [(where, inner) for inner in where.items("address")] or [(where, where)]
    places = [_Place(holder, address) for holder, each in found if (address := _address(each))]
    own = _address(item)
    return [_Place(item, own), *places] if own else places


def _without_publishers(publishers: list[Draft], drafts: list[Draft], document: Document) -> list[Draft]:
    """Organisations that only sign the page: they are the business itself, if the names agree, or whoever lists it."""
    reachable = [draft for draft in drafts if draft.is_reachable]
    for publisher in publishers:
        ours = fold(publisher.name or "")
        same = next((d for d in drafts if d.name and (ours in fold(d.name) or fold(d.name) in ours)), None)
        if same:
            same.absorb(publisher)
        elif not reachable:
            drafts.append(publisher)
        elif host_of(publisher.values.get("website") or document.url) == document.host:
            for draft in reachable:
                draft.is_listed = True
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


def _branch(item: Item, place: _Place, name: str | None, evidence: RegionEvidence) -> Draft:
    """A further place of a business: its address and what is told of that place alone."""
    sure = _CONFIDENCE[item.source]
    branch = Draft(structured=True, element=item.element)
    own_name = None if "PostalAddress" in place.holder.types else place.holder.text("name")
    branch.set_name(tidy_name(own_name or "") or name, item.source, sure)
    branch.set("address", place.address, item.source, sure)
    branch.set("geo", _geo(place.holder), item.source, sure)
    branch.set("opening_hours", opening_hours(place.holder) or None, item.source, sure)
    _add_contacts(branch, [place.holder], item.source, evidence)
    return branch


def _draft(item: Item, place: _Place | None, document: Document, evidence: RegionEvidence) -> Draft:
    sure = _CONFIDENCE[item.source]
    draft = Draft(structured=True, element=item.element)
    name = tidy_name(item.text("name", "legalName", "alternateName") or "")
    draft.set_name(name, item.source, sure)
    address = place.address if place else _written_address(item, evidence)
    draft.set("address", address, item.source, sure)
    points = [each for each in item.items("contactPoint", "contactPoints") if not is_business(each)]
    _add_contacts(draft, [item, *points, *([place.holder] if place else [])], item.source, evidence)
    urls = [resolved for text in item.texts("url", "mainEntityOfPage") if (resolved := document.resolve(text))]
    draft.set("website", next((url for url in urls if not network_of(url)), None), item.source, sure)
    draft.set("socials", find_socials([*item.texts("sameAs"), *urls]) or None, item.source, sure)
    draft.set("geo", _geo(item), item.source, sure)
    draft.set("categories", _categories(item) or None, item.source, sure)
    draft.set("opening_hours", opening_hours(item) or None, item.source, sure)
    draft.set("description", (item.text("description") or "")[:1_000] or None, item.source, sure)
    logo = next((text for each in item.items("logo") for text in each.texts("url", "contentUrl")), item.text("logo"))
    draft.set("logo", document.resolve(logo) if logo else None, item.source, sure)
    rating, count = _rating(item)
    draft.set("rating", rating, item.source, sure)
    draft.set("review_count", count, item.source, sure)
    return draft


def _add_contacts(draft: Draft, holders: Sequence[Item], source: str, evidence: RegionEvidence) -> None:
    sure = _CONFIDENCE[source]
    home = [draft.address.country] if draft.address and draft.address.country else []
    for raw, kind in _numbers(holders):
        regions = list(dict.fromkeys([*home, *evidence.ranked(text=raw)]))
        for part in _SEVERAL_NUMBERS.split(raw)[:5]:
            if any(char.isdigit() for char in part):
                draft.phones.append(best_phone(part, regions, source=source, kind=kind, confidence=sure, selector=None))
    draft.emails += [email_detail(text, source, sure) for text in _emails(holders) if not is_placeholder(text)]


def _numbers(holders: Sequence[Item]) -> Iterator[tuple[str, str]]:
    for holder in holders:
        is_fax = "fax" in (holder.text("contactType") or "").lower()
        for raw in holder.texts("telephone", "phone", "tel"):
            yield raw.removeprefix("tel:"), "fax" if is_fax else "voice"
        for raw in holder.texts("faxNumber", "fax"):
            yield raw.removeprefix("tel:"), "fax"


def _emails(holders: Sequence[Item]) -> Iterator[str]:
    for text in (text for holder in holders for text in holder.texts("email")):
        address = normalise_email(text.removeprefix("mailto:").split("?")[0])
        if address:
            yield address
        else:
            yield from (match.address for match in find_emails(text))


def _address(place: Item) -> Address | None:
    street = ", ".join(dict.fromkeys(place.texts("streetAddress"))) or place.text("postOfficeBoxNumber")
    return normalise_address(
        street,
        place.text("addressLocality"),
        place.text("addressRegion"),
        place.text("postalCode"),
        place.text("addressCountry"),
    )


def _written_address(item: Item, evidence: RegionEvidence) -> Address | None:
    """An address that is given as one text instead of its parts."""
    for text in item.props.get("address", ()):
        if isinstance(text, str):
            found = find_addresses([text[:300]], lambda _: evidence.ranked())
            if found:
                return found[0].address
    return None


def _geo(item: Item) -> Geo | None:
    places = (
        item,
        *item.items("geo", "hasMap", "location"),
        *(geo for where in item.items("location") for geo in where.items("geo")),
    )
    for place in places:
        geo = make_geo(number_of(place.text("latitude")), number_of(place.text("longitude")))
        if geo:
            return geo
    told = (geo_in_text(text) for text in item.texts("geo"))
    shown = (geo_of_map(url) for url in item.texts("hasMap"))
    return next((geo for geo in (*told, *shown) if geo), None)


def _rating(item: Item) -> tuple[float | None, int | None]:
    """The rating out of five, whatever scale it is told on, and how many rated."""
    for rating in item.items("aggregateRating"):
        value, best = number_of(rating.text("ratingValue")), number_of(rating.text("bestRating"))
        count = number_of(re.sub(r"[.,\s]", "", rating.text("reviewCount", "ratingCount") or ""))
        if value is not None and best and 0 <= value <= best and best != _SCALE:
            value = round(_SCALE * value / best, 2)
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
