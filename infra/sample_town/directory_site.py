"""The town's business directory: listing pages with pagination, one detail page a business, and some noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.sample_town.cards import written
from infra.sample_town.model import Business, Look, PhoneFormat, Poison, Town, Trait, site_url
from infra.sample_town.places import COUNTRIES
from infra.sample_town.replies import Page, Reply, html, text
from infra.sample_town.templating import render
from infra.sample_town.words import CATEGORIES
from infra.sample_town.writing import city_line

PAGE_SIZE = 12

SPONSORED_FROM = 40
"""Position of the business that pays to stand on the first page too: one item that is listed twice."""

_LOOK = Look(layout="cards", hue=205, logo="tile")
_NEARBY = 3
_COUNTRY_NAMES = {country.code: country.name for country in COUNTRIES}


@dataclass(frozen=True, slots=True)
class DirectorySite:
    """Listing at ``/`` (``?page=n``) and ``/category/<name>``, details at ``/business/<label>``.

    It spans countries, so it writes numbers in international format and addresses with their country.
    """

    town: Town

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """The listing, detail or side page at ``path``; None past the last page and for unknown names."""
        match path.strip("/").split("/"):
            case [""]:
                return self._listing("/", "All businesses", self.town.businesses, query, sponsored=True)
            case ["category", category] if category in CATEGORIES:
                members = [business for business in self.town.businesses if business.category == category]
                return self._listing(path, _shown(category), members, query)
            case ["business", label]:
                return self._detail(label)
            case ["advertise"]:
                return self._advertise()
            case ["robots.txt"]:
                return text("User-agent: *\nDisallow: /*?sort=\n")
            case _:
                return None

    def _listing(
        self, path: str, title: str, members: Sequence[Business], query: Mapping[str, str], *, sponsored: bool = False
    ) -> Page | None:
        pages = max(1, -(-len(members) // PAGE_SIZE))
        try:
            number = int(query.get("page", "1"))
        except ValueError:
            return None
        if not 1 <= number <= pages:
            return None
        items = list(members[(number - 1) * PAGE_SIZE : number * PAGE_SIZE])
        advert = self.town.businesses[SPONSORED_FROM] if sponsored and number == 1 else None
        return self._page(
            "directory/listing.html",
            title=title if number == 1 else f"{title}, page {number}",
            path=path,
            items=items,
            advert=advert,
            number=number,
            pages=pages,
            total=len(members),
            categories=CATEGORIES,
        )

    def _detail(self, label: str) -> Page | None:
        businesses = self.town.businesses
        position = next((i for i, business in enumerate(businesses) if business.label == label), None)
        if position is None:
            return None
        business = businesses[position]
        host = f"www.{label}" if business.has(Trait.WWW_REDIRECT) else label
        return self._page(
            "directory/detail.html",
            title=business.name,
            business=business,
            phone=written(business.phones[0], PhoneFormat.INTERNATIONAL, "Phone"),
            street=business.address.street,
            city_line=city_line(business.address),
            country=_COUNTRY_NAMES[business.address.country],
            website=site_url(host),
            nearby=[businesses[(position + step) % len(businesses)] for step in range(1, _NEARBY + 1)],
        )

    def _advertise(self) -> Page:
        desk = _operator(self.town.poisons)
        phone = written(desk.phone, PhoneFormat.INTERNATIONAL, "Phone")
        return self._page("directory/advertise.html", title="Advertise", desk=desk, phone=phone)

    def _page(self, template: str, **context: Any) -> Page:
        return html(render(template, look=_LOOK, lang="en", shown=_shown, **context))


def _shown(category: str) -> str:
    return category.replace("_", " ").capitalize()


def _operator(poisons: Sequence[Poison]) -> Poison:
    return next(poison for poison in poisons if poison.reason == "directory_operator")
