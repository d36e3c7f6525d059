"""The words by which pages with contacts are found, in the languages of the sites we meet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


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
        "contact page",
        10,
        r"conta[ck]t|kontak|contatt|contato|get in touch|reach us|yhteystie|ota yhteyt|kapcsolat|επικοινων|iletişim|iletisim"
        r"|контакт|связаться|зв.яз|お問い合わせ|联系|聯絡|문의|liên hệ|nous joindre|nous écrire|hafðu samband|neem contact|escr[ií]benos"
        r"|schreiben sie uns|so erreichen sie|hafa samband|samband",
    ),
    _kind(
        "imprint",
        20,
        r"impressum|imprint|legal[-_ ]?notice|mentions?[-_ ]l[eé]gales|aviso[-_ ]legal|note[-_ ]legali|colofon|colophon|impresum"
        r"|anbieterkennzeichnung|informations? l[eé]gales|dati societari|offenlegung|aviz legal|yritystiedot|legal\b",
    ),
    _kind(
        "locations page",
        30,
        r"locations?\b|branch(?:es)?\b|offices?\b|stores?\b|shops\b|find[-_ ]us|where[-_ ](?:to[-_ ]find|we[-_ ]are)|standorte?"
        r"|filiale|niederlassung|anfahrt|nos (?:agences|magasins|boutiques|adresses)|agences\b|adresses\b|sucursal|tiendas|nuestras sedes"
        r"|sedi\b|dove siamo|dove trovarci|vestiging|locaties|filialer|butikker|butiker|oddzia[lł]y|pobo[cč]ky|lojas|directions?\b|how-to-find",
    ),
    _kind(
        "about page",
        40,
        r"about|über[-_ ]uns|ueber[-_ ]uns|wir über uns|unternehmen|qui[-_ ]sommes|[aà][-_ ]propos|sobre|qui[eé]nes|acerca|chi[-_ ]siamo"
        r"|over[-_ ]ons|om[-_ ]oss|om[-_ ]os|o[-_ ]nas|meistä|tietoa|rólunk|hakkımızda|quem somos|empresa|azienda|company|о нас|о компании"
        r"|会社概要|关于|despre|σχετικά",
    ),
    _kind("team page", 50, r"team|staff\b|people\b|équipe|equipe|equipo|mitarbeiter|ansprechpartner|medewerkers|people"),
    _kind("service page", 60, r"customer service|kundenservice|service client|support\b|help\b|hilfe|aide\b|ayuda"),
)

# Pages that carry such words and never a business's contact.
_NEVER = re.compile(
    r"/(?:login|signin|register|cart|checkout|basket|wp-(?:admin|login)|account|calendar|tag|search|feed)(?:/|\.|\Z)"
    r"|privacy|datenschutz|cookie|\bterms|\bagb\b",
    re.IGNORECASE,
)


def kind_of(url: str, text: str) -> PageKind | None:
    """What kind of contact page a link leads to, by its text or its path; None for all other pages."""
    path = re.sub(r"[/_\-.+]+", " ", unquote(urlsplit(url).path))
    if _NEVER.search(urlsplit(url).path) or _NEVER.search(text):
        return None
    return next((kind for kind in PAGE_KINDS if kind.words.search(text) or kind.words.search(path)), None)
