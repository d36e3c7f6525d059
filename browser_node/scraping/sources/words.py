"""The words by which pages with contacts are found, in the languages of the sites we meet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

CONTACT_PAGE = "contact page"


@dataclass(frozen=True, slots=True)
class PageKind:
    """A kind of page worth a visit: lower ``priority`` first; ``label`` is for people."""

    label: str
    priority: int
    words: re.Pattern[str]


def _kind(label: str, priority: int, words: str) -> PageKind:
    return PageKind(label, priority, re.compile(rf"(?<![^\W\d_])(?:{words})", re.IGNORECASE))


# Matched at the start of a word, in the link's text and in its path; so "kontakt" also finds "Kontaktformular".
PAGE_KINDS = (
    _kind(
        CONTACT_PAGE,
        10,
        r"conta[ck]t|kontak|contatt|contato|get in touch|reach us|yhteystie|ota yhteyt|kapcsolat"
        r"|επικοινων|iletişim|iletisim|контакт|связаться|зв.яз|お問い合わせ|联系|聯絡|문의|liên hệ|nous joindre"
        r"|nous écrire|hafðu samband|neem contact|escr[ií]benos|schreiben sie uns|so erreichen sie"
        r"|hafa samband|samband",
    ),
    _kind(
        "imprint",
        20,
        r"impressum|imprint|legal[-_ ]?notice|mentions?[-_ ]l[eé]gales|aviso[-_ ]legal|note[-_ ]legali"
        r"|colofon|colophon|impresum|anbieterkennzeichnung|informations? l[eé]gales|dati societari"
        r"|offenlegung|aviz legal|yritystiedot|legal\b",
    ),
    _kind(
        "locations page",
        30,
        r"locations?\b|branch(?:es)?\b|offices?\b|stores?\b|shops\b|find[-_ ]us"
        r"|where[-_ ](?:to[-_ ]find|we[-_ ]are)|standorte?|filiale|niederlassung|anfahrt"
        r"|nos (?:agences|magasins|boutiques|adresses)|agences\b|adresses\b|sucursal|tiendas"
        r"|nuestras sedes|sedi\b|dove siamo|dove trovarci|vestiging|locaties|filialer|butikker|butiker"
        r"|oddzia[lł]y|pobo[cč]ky|lojas|directions?\b|how-to-find",
    ),
    _kind(
        "about page",
        40,
        r"about|über[-_ ]uns|ueber[-_ ]uns|wir über uns|unternehmen|qui[-_ ]sommes|[aà][-_ ]propos"
        r"|sobre|qui[eé]nes|acerca|chi[-_ ]siamo|over[-_ ]ons|om[-_ ]oss|om[-_ ]os|o[-_ ]nas|meistä"
        r"|tietoa|rólunk|hakkımızda|quem somos|empresa|azienda|company|о нас|о компании|会社概要|关于|despre"
        r"|σχετικά",
    ),
    _kind(
        "team page", 50, r"team|staff\b|people\b|équipe|equipe|equipo|mitarbeiter|ansprechpartner|medewerkers|people"
    ),
    _kind("service page", 60, r"customer service|kundenservice|service client|support\b|help\b|hilfe|aide\b|ayuda"),
)

# Pages that carry such words and never a business's contact.
_NEVER = re.compile(
    r"/(?:login|signin|register|cart|checkout|basket|wp-(?:admin|login)|account|calendar|tag"
    r"|search|feed)(?:/|\.|\Z)|privacy|datenschutz|cookie|\bterms|\bagb\b",
    re.IGNORECASE,
)


def kind_of(url: str, text: str) -> PageKind | None:
    """What kind of contact page a link leads to, by its text or its path; None for all other pages."""
    path = re.sub(r"[/_\-.+]+", " ", unquote(urlsplit(url).path))
    if _NEVER.search(urlsplit(url).path) or _NEVER.search(text):
        return None
    return next((kind for kind in PAGE_KINDS if kind.words.search(text) or kind.words.search(path)), None)
