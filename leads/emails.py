"""E-mail addresses: found in text, also where they are written to be read by people only, and normalised.

No regular expression here backtracks over more than a bounded window: addresses are found from their ``@``
(or the word that stands for it) outwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from email_validator import EmailNotValidError, validate_email

from leads.domains import has_known_suffix
from leads.model import Email

MAX_LOCAL = 64  # RFC 5321, 4.5.3.1.1
MAX_DOMAIN = 253  # RFC 1035: 255 octets on the wire

_LOCAL_TAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u00a1-\uffff]{1,64}\Z")
_DOMAIN_HEAD = re.compile(r"[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff.\-]{0,252}[A-Za-z0-9\u00a1-\uffff])?")
_CLOUDFLARE_LINK = "/cdn-cgi/l/email-protection#"
_GLUED_NUMBER = re.compile(r"\+\d{7,15}(?=[A-Za-z])")  # "+44 20…info@": a phone whose element touches the next
_NOT_LOCAL_EDGE = "!#$%&'*+/=?^`{|}~.-"

_AT_WORDS = (
    "at|ät|æt|et|æ|a|a t|arroba|chiocciola|malpa|małpa|apenstaartje|apestaartje|zavinac|zavináč|snabel-?a|"
    "alfakr(?:øll|oll)|klammeraffe|arobase|chez|собака|kukac|miukumauku|ättämerkki|@"
)
_DOT_WORDS = "dot|dott|d0t|punkt|punktum|punto|ponto|punt|point|kropka|tečka|tecka|bodka|bod|piste|nokta|точка|pont|\\."
# Brackets of any kind around a word for @, "[put the at sign here]", and "-at-".
_BRACKET_AT = re.compile(
    rf"[\s-]{{0,3}}(?:[\[({{<]\s{{0,2}}(?:{_AT_WORDS}|[\w ]{{0,20}}\bat[ -]sign\b[\w ]{{0,20}})\s{{0,2}}[\])}}>]|"
    rf"[-_]at[-_])[\s-]{{0,3}}",
    re.IGNORECASE,
)
_OPENERS = frozenset("[({<")
_HYPHENED_AT = re.compile(r"[-_][aA][tT][-_]")
_BRACKET_DOT = re.compile(rf"\s{{0,3}}[\[({{<]\s{{0,2}}(?:{_DOT_WORDS})\s{{0,2}}[\])}}>]\s{{0,3}}", re.IGNORECASE)
_SPOKEN_DOT = re.compile(
    r"\s{1,3}(?:dot|punkt|punktum|punto|ponto|point|punt|kropka|tečka|piste|nokta|точка)\s{1,3}|\s{0,2}[-_]dot[-_]\s{0,2}|"
    r"\s{0,2}[.•]\s{0,2}",
    re.IGNORECASE,
)
_SPOKEN_AT = re.compile(
    r"\s{1,3}(?:at|@|arroba|chiocciola|małpa|malpa|arobase|apenstaartje|zavináč|собака|kukac)\s{1,3}|\s@|@\s|@(?=[\w-]{1,63}(?:\s|[\[({]))",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:e-?mail|mail|contact|courriel|correo|posta|e-?post)\w{0,12}[\s:.\-]{0,5}(?:us)?[\s:.\-]{0,5}\Z", re.IGNORECASE
)

_ROLE_WORDS = frozenset(
    "info contact contacts contactus office mail email hello hi hallo sales support service services help helpdesk"
    " admin administration enquiries enquiry inquiries inquiry booking bookings reservations reservation reservas"
    " reception team marketing press media jobs careers career hr billing accounts accounting finance shop store"
    " orders order webmaster postmaster customerservice customercare customer care feedback general kontakt anfrage"
    " verkauf vertrieb buero praxis zentrale bewerbung rechnung contacto ventas atencion comercial administracion"
    " contatti informazioni commerciale amministrazione segreteria prenotazioni accueil commercial direction"
    " secretariat contato vendas atendimento biuro sekretariat sprzedaz klantenservice verkoop boekhouding"
    " kundservice order post firmapost myynti asiakaspalvelu newsletter events privacy legal noreply".split()
)
# What a page names as an example or a tracker, never a way to reach a business.
_PLACEHOLDER_DOMAINS = frozenset(
    "domain.com yourdomain.com mydomain.com email.com address.com sentry.io wixpress.com sentry-next.wixpress.com"
    " yourcompany.com yoursite.com yourwebsite.com yourbusiness.com mysite.com doe.com".split()
)
_PLACEHOLDER_STEMS = ("example.", "domain.", "your", "company.", "website.", "site.", "test.")
_CODE_HOSTS = frozenset("github.com gitlab.com bitbucket.org codeberg.org".split())  # "git@…" is a repository
# Suffixes that can be registered and yet end a file's name far more often than an address.
_FILE_SUFFIXES = (".zip", ".mov")
_PLACEHOLDER_LOCALS = frozenset(
    "you your yourname youremail name username user someone email email.address john jane john.doe jane.doe johndoe"
    " firstname.lastname first.last".split()
)


@dataclass(frozen=True, slots=True)
class EmailMatch:
    """An address in a text: where it stands and how certain the reading is."""

    start: int
    end: int
    address: str
    confidence: float


def normalise_email(raw: str) -> str | None:
    """``raw`` as a valid address in lower case, ``None`` if it is none: syntax and a registrable domain."""
    candidate = raw.strip().strip("<>\"'").strip()
    if "@" not in candidate or len(candidate) > MAX_LOCAL + 1 + MAX_DOMAIN:
        return None
    local, _, domain = candidate.rpartition("@")
    if len(local) > MAX_LOCAL or not has_known_suffix(domain) or "." not in domain or domain.endswith(_FILE_SUFFIXES):
        return None
    try:
        found = validate_email(candidate, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def email_detail(address: str, source: str, confidence: float) -> Email:
    """The model's value for an address that `normalise_email` gave."""
    return Email(address=address, kind=kind_of(address), confidence=confidence, source=source)


def kind_of(address: str) -> str:
    """``"role"`` for a desk (info@, sales-uk@), ``"personal"`` for what looks like a person's mailbox."""
    local = address.split("@", 1)[0]
    words = [word.rstrip("0123456789") for word in re.split(r"[._+\-]", local)]
    return "role" if any(word in _ROLE_WORDS for word in words) else "personal"


def is_placeholder(address: str) -> bool:
    """Whether the address is an example or a tracker's key."""
    local, domain = address.split("@", 1)
    return (
        domain in _PLACEHOLDER_DOMAINS
        or (local in _PLACEHOLDER_LOCALS and domain.startswith(_PLACEHOLDER_STEMS))
        or (local == "git" and domain in _CODE_HOSTS)
        or (len(local) >= 32 and all(char in "0123456789abcdef" for char in local))
    )


def emails_in_href(href: str) -> list[str]:
    """Addresses of a ``mailto:`` link, its ``to=`` included, or of Cloudflare's; empty for every other link."""
    code = href.partition(_CLOUDFLARE_LINK)[2]
    if code:
        address = normalise_email(decode_cloudflare(code) or "")
        return [address] if address else []
    scheme, _, rest = href.strip().partition(":")
    if scheme.strip().lower() != "mailto":
        return []
    path, _, query = rest.lstrip("/").partition("?")
    fields = [unquote(path)]
    fields += [unquote(value) for key, _, value in (p.partition("=") for p in query.split("&")) if key.lower() == "to"]
    found = [normalise_email(_inside_brackets(part)) for text in fields for part in re.split(r"[,;]", text[:2_000])]
    return [address for address in found if address] or [match.address for match in find_emails(unquote(path)[:2_000])]


def decode_cloudflare(code: str) -> str | None:
    """The address behind Cloudflare's ``data-cfemail``: hexadecimal, the first byte is the XOR key."""
    try:
        data = bytes.fromhex(code[:400])
        return bytes(byte ^ data[0] for byte in data[1:]).decode("utf-8")
    except (ValueError, IndexError):
        return None


def find_emails(text: str) -> list[EmailMatch]:
    """Every address in ``text``, in order: plain, bracketed (``a [at] b [dot] c``), spoken, and reversed."""
    text = text.replace("＠", "@")
    matches: list[EmailMatch] = []
    for match in (*_plain(text), *_bracketed(text), *_spoken(text)):
        overlaps = any(match.start < other.end and other.start < match.end for other in matches)
        if not overlaps and not is_placeholder(match.address):
            matches.append(match)
    return sorted(matches, key=lambda match: match.start)


def _inside_brackets(text: str) -> str:
    """``"a@b.com"`` of ``"Ann <a@b.com>"``."""
    start, end = text.find("<"), text.rfind(">")
    return text[start + 1 : end] if 0 <= start < end else text


def _plain(text: str) -> Iterator[EmailMatch]:
    at = text.find("@")
    while at != -1:
        local = _LOCAL_TAIL.search(text, max(0, at - MAX_LOCAL), at)
        domain = _DOMAIN_HEAD.match(text, at + 1)
        if local and domain:
            glued = _GLUED_NUMBER.search(local.group())
            kept = local.group()[glued.end() :] if glued else local.group()
            word = kept.lstrip(_NOT_LOCAL_EDGE).rstrip(".")
            start = local.end() - len(kept.lstrip(_NOT_LOCAL_EDGE))
            address = _shortest_valid(word, domain.group())
            if address:
                yield EmailMatch(start, domain.end(), address, 0.9)
            else:
                backwards = normalise_email(f"{word}@{domain.group()}"[::-1])
                if backwards:
                    yield EmailMatch(start, domain.end(), backwards, 0.7)
        at = text.find("@", at + 1)


def _shortest_valid(local: str, domain: str) -> str | None:
    """The address, its domain cut back where text was glued to it (``a@b.com.Tel``, ``a@b.com-Fax``)."""
    address = normalise_email(f"{local}@{domain}")
    for glue in "-.":
        if address is None and "." in domain.rpartition(glue)[0]:
            address = normalise_email(f"{local}@{domain.rpartition(glue)[0]}")
    return address


def _bracketed(text: str) -> Iterator[EmailMatch]:
    if _OPENERS.isdisjoint(text) and not _HYPHENED_AT.search(text):
        return
    for at in _BRACKET_AT.finditer(text):
        local = _LOCAL_TAIL.search(text, max(0, at.start() - MAX_LOCAL), at.start())
        if not local:
            continue
        domain, end = _spelled_domain(text, at.end(), (_BRACKET_DOT, _SPOKEN_DOT))
        address = normalise_email(f"{local.group().lstrip(_NOT_LOCAL_EDGE)}@{domain}") if domain else None
        if address:
            yield EmailMatch(local.start(), end, address, 0.85)


def _spoken(text: str) -> Iterator[EmailMatch]:
    """``mayor at town dot org``; ``info at town.org`` only where a label or a role word vouches for it."""
    for at in _SPOKEN_AT.finditer(text):
        local = _LOCAL_TAIL.search(text, max(0, at.start() - MAX_LOCAL), at.start())
        if not local:
            continue
        word = local.group().lstrip(_NOT_LOCAL_EDGE)
        domain, end = _spelled_domain(text, at.end(), (_SPOKEN_DOT, _BRACKET_DOT))
        if not domain or not word:
            continue
        is_spoken = " " in text[at.end() : end].strip()
        before = text[max(0, local.start() - 30) : local.start()]
        vouched = word.lower() in _ROLE_WORDS or _LABEL.search(before) is not None
        address = normalise_email(f"{word}@{domain}") if is_spoken or vouched else None
        if address:
            yield EmailMatch(local.start(), end, address, 0.75 if is_spoken else 0.6)


_DOMAIN_LABEL = re.compile(r"[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff\-]{0,61}[A-Za-z0-9\u00a1-\uffff])?")


def _spelled_domain(text: str, start: int, dots: tuple[re.Pattern[str], ...]) -> tuple[str | None, int]:
    """Labels joined by dots or the words for them, from ``start``: the longest that ends in a known suffix."""
    labels: list[str] = []
    best: tuple[str | None, int] = (None, start)
    position = start
    while len(labels) < 8:
        label = _DOMAIN_LABEL.match(text, position)
        if not label:
            break
        labels.append(label.group())
        if len(labels) >= 2 and has_known_suffix(".".join(labels)):
            best = (".".join(labels), label.end())
        dot = next((found for pattern in dots if (found := pattern.match(text, label.end()))), None)
        if not dot:
            break
        position = dot.end()
    return best
