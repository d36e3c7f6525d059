"""Opening hours in the layout of a page: lines that name days and say from when to when, or that it is closed.

They are kept as they are written. A day and a time alone are no hours ("Sun 12 to 14 degrees"): minutes, "am" or
"Uhr" must mark the times, or the line hold nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leads.extract.document import Line

MAX_DAYS = 60  # characters of a cell that holds days only
MAX_LINE = 160  # characters: a longer line is a sentence that mentions hours

_DAY = (
    r"(?:mon(?:days?)?|tues?(?:days?)?|wed(?:s|nesdays?)?|thu(?:rs?)?(?:days?)?|fri(?:days?)?|sat(?:urdays?)?|sun(?:days?)?|"
    r"mo|di|mi|do|fr|sa|so|montags?|dienstags?|mittwochs?|donnerstags?|freitags?|samstags?|sonnabends?|sonntags?|"
    r"lun(?:di|es|edì)?|mar(?:di|tes|tedì)?|mer(?:credi|coledì)?|jeu(?:di)?|ven(?:dredi|erdì)?|sam(?:edi)?|dim(?:anche)?|"
    r"mi[eé](?:rcoles)?|jue(?:ves)?|vie(?:rnes)?|s[áa]b(?:ado|ato)?|dom(?:ingo|enica)?|gio(?:vedì)?|"
    r"ma|wo|vr|za|zo|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag|"
    r"segunda|terça|quarta|quinta|sexta|måndag|tisdag|onsdag|torsdag|fredag|lördag|söndag|"
    r"mandag|tirsdag|lørdag|søndag|pon(?:iedziałek)?|wt(?:orek)?|śr(?:oda)?|czw(?:artek)?|piątek|sob(?:ota)?|niedziela|"
    r"weekdays?|weekends?|daily|every ?day|werktags|täglich|tous les jours|todos los días|tutti i giorni|dagelijks|"
    r"(?:public |bank )?holidays?|feiertags?)\.?"
)
_DAYS = rf"{_DAY}(?:\s?(?:-|–|—|,|/|&|\+|to|bis|till|through|thru|and|und|et|e|y|a|à|au|t/m|do|til)\s?{_DAY}){{0,6}}"
_MARK = r"(?:\s?(?:am|pm|a\.m\.?|p\.m\.?|uhr|hrs?|h|noon|midnight)\b)"
_MINUTES = r"(?:[:.h]\d{2})"
_TIME = rf"(?:(?:[01]?\d|2[0-4]){_MINUTES}?{_MARK}?|noon|midnight)"
_MARKED_TIME = rf"(?:(?:[01]?\d|2[0-4])(?:{_MINUTES}{_MARK}?|{_MARK})|noon|midnight)"
_SPAN = r"\s?(?:-|–|—|to|till|until|bis|à|a|alle|tot|às|do|til)\s?"
_RANGE = rf"(?:from |von |de |dalle |van |das )?(?:{_MARKED_TIME}{_SPAN}{_TIME}|{_TIME}{_SPAN}{_MARKED_TIME})"
_CLOSED = (
    r"(?:closed|geschlossen|ruhetag|fermé|cerrado|chiuso|gesloten|fechado|stängt|lukket|nieczynne|"
    r"by appointment(?: only)?|nach vereinbarung|sur rendez-vous)"
)
_DIGIT = re.compile(r"\d")
_CLOSED_ALONE = re.compile(_CLOSED)
_HOURS = re.compile(rf"(?<!\w){_DAYS}(?!\w)[^\d\n]{{0,25}}?(?:{_RANGE}|\b{_CLOSED}\b)", re.IGNORECASE)
_TIMES_FIRST = re.compile(rf"(?<![\d:.]){_RANGE}[^\w]{{1,4}}{_DAYS}(?!\w)", re.IGNORECASE)
# "mar" is March as well, so a bare "Mar 10-12" is no hours.
_BARE = re.compile(rf"(?!mar\b)(?:hours\s?:?\s)?{_DAYS}\s{{0,3}}:?\s{{0,3}}{_TIME}{_SPAN}{_TIME}\.?", re.IGNORECASE)
_ALWAYS = re.compile(
    r"(?:we are |we're )?open(?:ing hours)?:?\s24\s?(?:/\s?7|hours?(?: a day)?)\b.{0,30}", re.IGNORECASE
)
_DAYS_ALONE = re.compile(rf"{_DAYS}\s?:?", re.IGNORECASE)
_TIMES_ALONE = re.compile(rf"(?:{_RANGE}(?:\s?(?:,|/|&|and|und|et|y|e)\s?{_RANGE})?|{_CLOSED})\s?[.|]?", re.IGNORECASE)


def find_hours(lines: Sequence[Line]) -> Iterator[tuple[int, str]]:
    """(line number, hours as written); a cell of days and the cell of its times count as one line."""
    days: Line | None = None
    for line in lines:
        text = line.text
        if len(text) > MAX_LINE:
            days = None
            continue
        if days is not None and _TIMES_ALONE.fullmatch(text):
            yield days.number, f"{days.text.rstrip(': ')} {text}"
        elif tells_hours(text):
            yield line.number, text
        days = line if len(text) <= MAX_DAYS and _DAYS_ALONE.fullmatch(text) else None


def tells_hours(text: str) -> bool:
    """Whether a line says when a business is open."""
    if not _DIGIT.search(text) and not _CLOSED_ALONE.search(text.lower()):
        return False
    return any(
        found is not None
        for found in (_HOURS.search(text), _TIMES_FIRST.search(text), _BARE.fullmatch(text), _ALWAYS.fullmatch(text))
    )
