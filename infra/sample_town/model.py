"""What the sample town is made of: businesses, where they are, and how their sites show it.

All of it is fiction. These values are the truth; the sites (``sites``) are only ways to hide it in HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SITE_SUFFIX = "town.test"
"""Every host of the town ends with this. ``.test`` (RFC 2606) can never be a real host."""

MAIL_SUFFIX = "example.com"
"""E-mail domains are below this: reserved by RFC 2606 as ``.test`` is, but with a public suffix, which is what e-mail
readers ask for."""

DIRECTORY_LABEL = "directory"
DIRECTORY_URL = f"http://{DIRECTORY_LABEL}.{SITE_SUFFIX}/"


def site_url(label: str, path: str = "/") -> str:
    """The address of ``path`` on the site with this host label (``"bench"``, ``"www.oakleaf-bakery"`` …)."""
    return f"http://{label}.{SITE_SUFFIX}{path}"


class ContactStyle(StrEnum):
    """How a site marks up its name, phone and address."""

    JSON_LD = "json_ld"
    JSON_LD_GRAPH = "json_ld_graph"
    MICRODATA = "microdata"
    H_CARD = "h_card"
    PLAIN_TEXT = "plain_text"
    TABLE = "table"
    DEFINITION_LIST = "definition_list"
    TEL_LINK = "tel_link"
    SPLIT_NUMBER = "split_number"
    SCRIPT_AFTER_DELAY = "script_after_delay"
    SCRIPT_FETCH = "script_fetch"
    IFRAME = "iframe"
    BEHIND_COOKIE_BANNER = "behind_cookie_banner"
    FOOTER = "footer"


class EmailStyle(StrEnum):
    """How a site shows its e-mail address."""

    MAILTO = "mailto"
    TEXT = "text"
    ENTITIES = "entities"
    AT_DOT = "at_dot"
    CIPHERED_ATTRIBUTE = "ciphered_attribute"
    JOINED_BY_SCRIPT = "joined_by_script"


class Placement(StrEnum):
    """The page that holds the contact block."""

    CONTACT = "contact"
    LEGAL = "legal"
    HOME = "home"


class PhoneFormat(StrEnum):
    """How a number is written out; each of them is read back by libphonenumber."""

    NATIONAL = "national"
    INTERNATIONAL = "international"
    DOTTED = "dotted"
    DASHED = "dashed"
    SLASHED = "slashed"
    TRUNK_ZERO = "trunk_zero"


class Trait(StrEnum):
    """Something that makes a site harder, or livelier, than its contact style alone."""

    BRANCHES = "branches"
    SECOND_SITE = "second_site"
    WWW_REDIRECT = "www_redirect"
    SITEMAP_ONLY = "sitemap_only"
    SITEMAP = "sitemap"
    ROBOTS = "robots"
    NOFOLLOW = "nofollow"
    SECOND_LINE = "second_line"
    FAX = "fax"
    AGENCY_FOOTER = "agency_footer"
    ANIMATED = "animated"
    NEWSLETTER_POPUP = "newsletter_popup"
    ALERT = "alert"
    BROKEN_LINKS = "broken_links"
    REDIRECT_LOOP = "redirect_loop"
    CALENDAR = "calendar"
    HANGING_PAGE = "hanging_page"
    HANGING_IMAGE = "hanging_image"
    HUGE_PAGE = "huge_page"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; ``country`` is ISO 3166-1 alpha-2, ``region`` a state where the country writes one."""

    street: str
    city: str
    postal_code: str
    region: str | None
    country: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One shop of a business that has several; ``phone`` is E.164."""

    name: str
    phone: str
    address: Address


@dataclass(frozen=True, slots=True)
class Look:
    """How a site looks; nothing of it is data."""

    layout: str
    hue: int
    logo: str


@dataclass(frozen=True, slots=True)
class Business:
    """One business. ``phones`` and ``faxes`` are E.164, the main number first; ``labels`` are its hosts.

    ``labels[0]`` is the site that the directory links to; further labels are sites with the same contact.
    """

    id: str
    name: str
    language: str
    category: str
    labels: tuple[str, ...]
    address: Address
    phones: tuple[str, ...]
    faxes: tuple[str, ...]
    emails: tuple[str, ...]
    branches: tuple[Branch, ...]
    contact_style: ContactStyle
    email_style: EmailStyle
    placement: Placement
    phone_format: PhoneFormat
    traits: frozenset[Trait]
    look: Look

    @property
    def locale(self) -> str:
        """Language and country as an HTML ``lang`` has them: ``"en-GB"``."""
        return f"{self.language}-{self.address.country}"

    @property
    def label(self) -> str:
        """The host label of its main site."""
        return self.labels[0]

    @property
    def url(self) -> str:
        """The address of its main site."""
        return site_url(self.label)

    def has(self, trait: Trait) -> bool:
        """Whether its site has this trait."""
        return trait in self.traits


@dataclass(frozen=True, slots=True)
class Poison:
    """A contact that must never be reported, on ``url``, because of ``reason``. ``phone`` is E.164."""

    reason: str
    name: str
    phone: str
    email: str
    url: str


@dataclass(frozen=True, slots=True)
class Town:
    """The whole truth: who is there, and what must never be reported."""

    businesses: tuple[Business, ...]
    poisons: tuple[Poison, ...]
