"""How the countries write a postal code and its town: the anchors by which addresses are recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leads.regions import AUSTRALIAN_STATES, CANADIAN_PROVINCES, US_STATES


@dataclass(frozen=True, slots=True)
class Anchor:
    """How one family of countries writes postal code and town.

    ``regions`` are the countries that write so. An ``explicit`` anchor tells its country by itself; the others
    need evidence for one of them or a street beside it. A ``distinct`` one is written by nobody else, so that a
    street and a town beside it are evidence enough; a ``trailing`` one is bare digits at the end of a line. The
    town is a group of the pattern, or, where there is none, stands before the match.
    """

    pattern: re.Pattern[str]
    regions: tuple[str, ...]
    explicit: bool
    distinct: bool = False
    trailing: bool = False


def _states(names: dict[str, str], *, codes: bool = True) -> str:
    words = [*(names if codes else ()), *names.values()]
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_TOWN = r"(?P<city>[^\W\d_][^\d\n,;|•·:@()]{1,48}(?:\d(?!\d)[^\d\n,;|•·:@()]{0,20})?)"

_GAP = r"(?:,?\s{1,3}|\s?[-–]\s?)"  # between a code and its town

ANCHORS: tuple[Anchor, ...] = (
    Anchor(
        re.compile(
            rf"(?<![A-Za-z])(?P<state>{'|'.join(US_STATES)}|(?i:{_states(US_STATES, codes=False)})|D\.C\.|"
            rf"[A-Z][a-z]\.?)?[.,]?\s{{0,3}}[-–]?\s{{0,2}}"
            r"(?<![\d-])(?P<code>\d{5}(?:\s?[-–]\s?\d{4})?)(?![\d-]|[.,]\d|\s[-–]\s?\d)"
        ),
        ("US",),
        True,
    ),
    Anchor(
        re.compile(
            rf"(?:(?<![A-Za-z])(?P<state>{_states(CANADIAN_PROVINCES)})[.,]?\s{{0,3}})?"
            r"\b(?P<code>[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]?\d[ABCEGHJ-NPRSTV-Z]\d)\b",
            re.IGNORECASE,
        ),
        ("CA",),
        True,
    ),
    Anchor(
        re.compile(
            r"\b(?P<code>(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPS-UW]|"
            r"[A-HK-Y]\d[ABEHMNPRV-Y]) {0,2}\d[ABD-HJLNP-UW-Z]{2}))\b"
        ),
        ("GB",),
        True,
    ),
    Anchor(
        # Eircodes leave out the letters that look like digits.
        re.compile(r"\b(?P<code>(?:[ACDEFHKNPRTV-Y]\d{2}|D6W) ?(?=[AC-FHKNPRTV-Y0-9]{0,3}\d)[AC-FHKNPRTV-Y0-9]{4})\b"),
        ("IE",),
        True,
    ),
    Anchor(
        re.compile(
            rf"(?<![A-Za-z])(?P<state>{_states(AUSTRALIAN_STATES)})[.,]?\s{{0,3}}(?:Australia,?\s)?(?P<code>\d{{4}})(?!\d)"
        ),
        ("AU",),
        True,
    ),
    Anchor(
        re.compile(
            rf"(?<![\w-])(?:NL-)?(?P<code>[1-9]\d{{3}}\s?(?![AP]M)[A-Z]{{2}})(?![A-Za-z0-9])[,\s]{{1,3}}{_TOWN}"
        ),
        ("NL",),  # letters AM and PM exist, but "1030 AM Sunday" is commoner
        False,
        distinct=True,
    ),
    Anchor(
        re.compile(
            rf"(?<![\w-])(?P<prefix>D|F|I|E|A|B|CH|DK|S|SE|FI|N|L|PL|CZ|DE|FR|IT|ES|AT|BE)[- "
            rf"–]\s?(?P<code>\d{{3}} ?\d{{1,2}})(?!\d),?\s{{1,3}}{_TOWN}"
        ),
        ("DE", "FR", "IT", "ES", "AT", "BE", "CH", "DK", "SE", "FI", "NO", "LU", "PL", "CZ"),
        True,
    ),
    Anchor(re.compile(r"(?:(?i:cep)[\s:.]{1,3})?(?<![\w-])(?P<code>\d{5}-\d{3})(?![\d-])"), ("BR",), True),
    Anchor(re.compile(rf"(?<![\w-])(?P<code>\d{{4}}-\d{{3}})(?![\d-]){_GAP}{_TOWN}"), ("PT",), False, distinct=True),
    Anchor(re.compile(rf"(?<![\w-])(?P<code>\d{{2}}-\d{{3}})(?![\d-]){_GAP}{_TOWN}"), ("PL",), False, distinct=True),
    Anchor(re.compile(r"(?<![\w-])〒?(?P<code>\d{3}-\d{4})(?![\d-])"), ("JP",), False),
    Anchor(re.compile(r"(?<=[a-z])[,.]?\s{1,3}(?P<code>\d{3}-\d{3})(?![\d-])"), ("KR",), False),  # until 2015
    Anchor(
        re.compile(
            r"(?:[-–,.:]|PIN(?:\s?Code)?\s?[:\-]?|\s)\s{0,2}(?<![\d-])(?P<code>[1-9]\d{2}\s?\d{3})(?![\d-]|[.,]\d)"
        ),
        ("IN", "CN", "SG", "RU"),
        False,
    ),
    Anchor(
        re.compile(rf"(?<![\w-])(?P<code>\d{{3}} \d{{2}})(?!\d),?\s{{1,3}}{_TOWN}"), ("SE", "CZ", "SK", "GR"), False
    ),
    Anchor(
        re.compile(rf"(?<![\w.-])(?<!\d,)(?P<code>\d{{5}})(?![\d-]|[.,]\d){_GAP}{_TOWN}"),
        ("DE", "FR", "IT", "ES", "FI", "SE", "GR", "MX", "TR", "HR", "RS", "EE", "LT", "UA", "MY", "KR", "TH"),
        False,
    ),
    Anchor(
        re.compile(rf"(?<![\w,.-])(?P<code>[1-9]\d{{3}})(?![\d-]|[.,]\d),?\s{{1,3}}{_TOWN}"),
        ("AT", "BE", "CH", "DK", "NO", "HU", "LU", "SI", "BG", "LV", "CY"),
        False,
    ),
    Anchor(re.compile(r"(?<=[a-z])[\s,](?P<code>\d{3})\s{0,3}$"), ("TW",), False, trailing=True),  # until 2020
    Anchor(
        re.compile(r"[\s,-](?<![\d-])(?P<code>\d{4})(?![\d-]|[.,]\d)\s{0,3}$"),
        ("NZ", "ZA", "AU", "PH"),
        False,
        trailing=True,
    ),
    Anchor(
        re.compile(r"[\s,(-](?<![\d-])(?P<code>\d{5})(?![\d-]|[.,]\d)(?=\s{0,3}(?:$|[,)]|[A-Z]))"),
        ("MX", "PK", "MY", "TH", "SA", "ID", "KR", "TR", "CN", "TW"),
        False,
    ),
)
