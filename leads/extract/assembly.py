"""Puts the findings of one page together: which phone, e-mail and address belongs to which business.

A page tells of one business unless its structured data or its layout says otherwise: several structured
businesses, or several addresses, are several leads. What stands near a branch belongs to it; the rest belongs
to the first lead, which is the page's own business.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from leads.addresses import AddressMatch, find_addresses
from leads.extract.businesses import country_of, find_businesses
from leads.extract.contacts import FoundEmail, FoundPhone, find_page_emails, find_page_phones
from leads.extract.credits import Credits, find_credits
from leads.extract.document import Document
from leads.extract.draft import Draft, fold
from leads.extract.evidence import gather
from leads.extract.geo import page_geo
from leads.extract.hours import find_hours
from leads.extract.listing import is_sites_profile, linked_website, listed_categories, listed_domain
from leads.extract.names import find_name, tidy_name
from leads.extract.profiles import find_socials, profiles_in_text
from leads.extract.reputation import page_rating
from leads.extract.structured import find_items
from leads.model import Lead

MAX_LEADS = 500  # of one page
# Between the town line of a branch and its last phone or e-mail lie a few lines; past that it is someone else's.
_REACH_BELOW = 8
_REACH_ABOVE = 5
_MIN_NAME_CONFIDENCE = 0.5  # below that a page without any contact is no lead
# "Head office" above an address says what is there, not whose it is.
_KIND_OF_OFFICE = re.compile(
    r"(?:(?:the|our|main|head|branch|sales|regional|corporate|registered|home|mailing|postal|visiting|visitor|street|physical|"
    r"billing|shipping|delivery|north|south|east|west|central|european|international)\s){0,3}(?:office|address|location|"
    r"headquarters?|hq|branch|site|plant|cent(?:er|re)|factory|warehouse|showroom|studio|store|shop|depot)s?",
    re.IGNORECASE,
)


def assemble(document: Document) -> list[Lead]:
    """The leads of a parsed page, the page's own business first."""
    items = find_items(document)
    credited = find_credits(document)
    emails = find_page_emails(document, credited)
    mail_domains = [each.email.address.partition("@")[2] for each in emails]
    evidence = gather(document, credited, mail_domains)
    for region in country_of(items)[:5]:
        evidence.add_page(region, 3.0)
    structured = find_businesses(items, document, evidence)
    texts = [line.text for line in document.lines]
    addresses = find_addresses(texts, evidence.ranked)
    for found in addresses:
        evidence.add_near(found.last_line, found.address.country, 2.0)
    phones = find_page_phones(document, evidence, credited)
    website = linked_website(document)
    listed = listed_domain(document, website, mail_domains) if len(addresses) <= 1 else None
    drafts = _drafts(document, structured, addresses, credited, listed or "", mail_domains)
    _hand_out(drafts, phones, emails)
    _hand_out_hours(drafts, document)
    main, *others = drafts
    if all(fold(draft.name or "") == fold(main.name or "") for draft in others):
        main.set("website", website, "link", 0.75)
        _add_page_facts(document, main, credited, is_listing=bool(listed) or main.is_listed)
        for branch in others:
            branch.share(main)
    leads = [draft.freeze(document.url) for draft in drafts[:MAX_LEADS]]
    return [lead for lead in leads if _is_lead(lead)]


def _is_lead(lead: Lead) -> bool:
    """A way to reach it, or a name we are rather sure of."""
    if lead.phones or lead.emails or lead.address:
        return True
    known = lead.provenance.get("display_name")
    return known is not None and known.confidence >= _MIN_NAME_CONFIDENCE


def _drafts(
    document: Document,
    structured: list[Draft],
    addresses: list[AddressMatch],
    credited: Credits,
    listed: str,
    mail_domains: list[str],
) -> list[Draft]:
    """The structured businesses, joined by the addresses of the layout that are not theirs."""
    name = find_name(
        document,
        [draft.name for draft in structured[:1] if draft.name],
        [found.first_line for found in addresses],
        credited,
        mail_domains,
        listed,
    )
    drafts = list(structured)
    unnamed: list[Draft] = []
    for found in addresses:
        branch = Draft(lines=(found.first_line, found.last_line))
        branch.set("address", found.address, "text", found.confidence)
        home = next((draft for draft in (*drafts, *unnamed) if _is_at(draft, branch)), None)
        if home is None:
            unnamed.append(branch)
        else:
            home.lines = home.lines or branch.lines
            home.set("address", found.address, "text", found.confidence)
    headings = _headings_of_a_list(document, unnamed) if not drafts else []
    for branch, heading in zip(unnamed, headings, strict=False):
        branch.set_name(heading, "layout", 0.6)
    main = next((draft for draft in drafts if draft.name), None)
    if main is None:
        main = drafts[0] if drafts else unnamed.pop(0) if unnamed else Draft()
        if main not in drafts:
            drafts.insert(0, main)
    elif main.address is None and unnamed:
        main.absorb(unnamed[0])
        main.lines = unnamed.pop(0).lines
    if name and not headings:
        known = main.provenance.get("display_name")
        source = known.source if known and name.source == "structured" else name.source
        main.set_name(name.text, source, name.confidence)
    for branch in unnamed if not headings else ():
        own = _name_above(document, branch)
        branch.set_name(own or main.name, "layout" if own else "page", 0.5)
    drafts.remove(main)
    return [main, *drafts, *unnamed]


def _is_at(draft: Draft, branch: Draft) -> bool:
    if draft.address is None or branch.address is None:
        return False
    ours, theirs = draft.address, branch.address
    if ours.postal_code and theirs.postal_code and fold(ours.postal_code) != fold(theirs.postal_code):
        return False
    have_codes = ours.postal_code and theirs.postal_code
    if not have_codes and ours.city and theirs.city and fold(ours.city) != fold(theirs.city):
        return False
    if ours.street and theirs.street:
        numbers = [set(re.findall(r"\d+", street)) for street in (ours.street, theirs.street)]
        return fold(ours.street)[:12] == fold(theirs.street)[:12] or bool(numbers[0] & numbers[1])
    return bool(ours.postal_code and theirs.postal_code)


def _name_above(document: Document, branch: Draft) -> str | None:
    """The heading right above a branch's address, where it names a business rather than a kind of office."""
    first = branch.lines[0] if branch.lines else 0
    for number in (first - 1, first - 2):
        if number < 0:
            break
        line = document.lines[number]
        if len(line.text) <= 80 and not any(char.isdigit() for char in line.text):
            name = tidy_name(line.text)
            is_name = name and ":" not in name and len(name.split()) <= 8 and not _KIND_OF_OFFICE.fullmatch(name)
            if name and is_name and not _names_the_place(name, branch):
                return name
    return None


def _headings_of_a_list(document: Document, branches: list[Draft]) -> list[str]:
    """The names of a list of businesses: each address has a heading or a link of its own above it, all different."""
    linked = {link.line for link in document.links}
    names: list[str] = []
    for branch in branches:
        name = _name_above(document, branch)
        first = branch.lines[0] if branch.lines else 0
        lines = [line for line in document.lines[max(0, first - 2) : first] if name and name in line.text]
        if name is None or not any(line.is_heading or line.number in linked for line in lines):
            return []
        names.append(name)
    return names if len(names) > 1 and len(set(names)) == len(names) else []


def _names_the_place(heading: str, branch: Draft) -> bool:
    """ "Office Fairfield" above an address in Fairfield says where the branch is, not what it is called."""
    place = branch.address
    return place is not None and bool(place.city) and fold(place.city or "") in fold(heading)


def _hand_out(drafts: list[Draft], phones: list[FoundPhone], emails: list[FoundEmail]) -> None:
    """Gives each finding to the draft that has it already, else to the nearest branch above it, else to the first."""
    placed = sorted((draft for draft in drafts if draft.lines), key=lambda draft: draft.lines or (0, 0))
    holders: dict[str, list[Draft]] = {}
    for draft in drafts:
        for phone in draft.phones:
            holders.setdefault(phone.normalized_e164 or phone.raw, []).append(draft)
        for email in draft.emails:
            holders.setdefault(email.address, []).append(draft)
    for found in phones:
        key = found.phone.normalized_e164 or found.phone.raw
        for draft in holders.get(key) or [_nearest(placed, found.line, drafts[0])]:
            draft.phones.append(found.phone)
    for each in emails:
        for draft in holders.get(each.email.address) or [_nearest(placed, each.line, drafts[0])]:
            draft.emails.append(each.email)


def _hand_out_hours(drafts: list[Draft], document: Document) -> None:
    placed = [draft for draft in drafts if draft.lines]
    found: dict[int, list[str]] = {}
    for line, text in find_hours(document.lines):
        owner = _nearest(placed, line, drafts[0])
        found.setdefault(drafts.index(owner), []).append(text[:200])
    for place, hours in found.items():
        drafts[place].set("opening_hours", list(dict.fromkeys(hours))[:30], "text", 0.5)


def _nearest(placed: list[Draft], line: int, fallback: Draft) -> Draft:
    if len(placed) <= 1:
        return fallback
    best, distance = fallback, _REACH_BELOW + 1
    for draft in placed:
        first, last = draft.lines or (0, 0)
        if line > last:
            gap = line - last
        elif line < first:
            gap = (first - line) + (_REACH_BELOW - _REACH_ABOVE)
        else:
            return draft
        if gap < distance:
            best, distance = draft, gap
    return best


def _add_page_facts(document: Document, main: Draft, credited: Credits, *, is_listing: bool) -> None:
    """What a page says about itself counts for its one business; of a listing, what it says of the business."""
    parts = urlsplit(document.url)
    if is_listing:
        main.set("categories", listed_categories(document) or None, "text", 0.5)
    elif parts.scheme in ("http", "https") and parts.netloc:
        main.set("website", f"{parts.scheme}://{parts.netloc}/", "page_url", 0.6)
    own = (link.url for link in document.links if not credited.cover_link(link, document.lines))
    linked = find_socials(url for url in own if not (is_listing and is_sites_profile(url, document)))
    written = find_socials(url for line in document.lines for url in profiles_in_text(credited.own_text(line)))
    if linked or written:
        held = main.values.get("socials", {})
        main.set("socials", {**written, **linked}, "link" if linked else "text", 0.8 if linked else 0.6)
        main.values["socials"] = {**written, **linked, **held}
    description = document.metas.get("og:description") or document.metas.get("description")
    main.set("description", description[:1_000] if description else None, "meta", 0.6)
    logo = document.metas.get("og:logo")
    if not is_listing:
        main.set("logo", document.resolve(logo) if logo else _logo(document), "image", 0.6)
    main.set("geo", page_geo(document), "map", 0.6)
    rating = page_rating(document)
    if rating and "rating" not in main.values:
        main.set("rating", rating[0], "text", 0.5)
        main.set("review_count", rating[1], "text", 0.5)


def _logo(document: Document) -> str | None:
    for image in document.root.iter("img"):
        marks = f"{image.get('class') or ''} {image.get('id') or ''} {image.get('alt') or ''} {image.get('src') or ''}"
        source = image.get("src") or ""
        if "logo" in marks[:600].lower() and source and not source.startswith("data:"):
            return document.resolve(source)
    return None
