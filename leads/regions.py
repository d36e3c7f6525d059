"""What tells the country of a page, a line or a number: top-level domain, language, currency, country names.

Regions are ISO 3166-1 alpha-2 codes in upper case. The tables hold the countries whose business pages we
meet; a name that is missing costs evidence, never correctness, because evidence only *ranks* the regions
that libphonenumber and the postal formats are then asked about.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

SUPPORTED_REGIONS: frozenset[str] = frozenset(phonenumbers.SUPPORTED_REGIONS)

# Country-code domains that are sold as generic names all over the world say nothing about a country.
_GENERIC_TLDS = frozenset(
    "ac ad ag ai am as bz cc cd co dj eu fm gg gl gs im io is la li ly"
    " me ms mu nu pw sc sh st su tk to tv vc vu ws".split()
)

_LANGUAGE_REGION = {
    "az": "AZ", "be": "BY", "bg": "BG", "ca": "ES", "cs": "CZ", "da": "DK", "de": "DE", "el": "GR", "es": "ES",
    "et": "EE", "eu": "ES", "fi": "FI", "fr": "FR", "he": "IL", "hi": "IN", "hr": "HR", "hu": "HU", "id": "ID",
    "it": "IT", "ja": "JP", "ko": "KR", "lt": "LT", "lv": "LV", "nb": "NO", "nl": "NL", "no": "NO", "pl": "PL",
    "pt": "PT", "ro": "RO", "ru": "RU", "sk": "SK", "sl": "SI", "sr": "RS", "sv": "SE", "th": "TH", "tr": "TR",
    "uk": "UA", "vi": "VN", "zh": "CN",
}  # fmt: skip

CURRENCY_REGION = {
    "£": "GB", "GBP": "GB", "₹": "IN", "INR": "IN", "Rs.": "IN", "zł": "PL", "PLN": "PL", "CHF": "CH", "AUD": "AU",
    "A$": "AU", "NZD": "NZ", "CAD": "CA", "R$": "BR", "₽": "RU", "руб": "RU", "₺": "TR", "₪": "IL", "₩": "KR",
    "¥": "JP", "Kč": "CZ", "SEK": "SE", "DKK": "DK", "NOK": "NO", "ZAR": "ZA", "USD": "US", "US$": "US",
}  # fmt: skip

# ISO code: the names by which pages call the country, in its own and the common foreign languages.
_COUNTRY_NAMES = {
    "AE": "united arab emirates|uae|u.a.e.|dubai|abu dhabi", "AR": "argentina", "AT": "austria|österreich|autriche",
    "AU": "australia|australien|australie", "AZ": "azerbaijan|azərbaycan", "BD": "bangladesh",
    "BE": "belgium|belgië|belgique|belgien", "BG": "bulgaria|българия", "BH": "bahrain",
    "BR": "brazil|brasil|brésil|brasilien", "BS": "bahamas|the bahamas", "BY": "belarus|беларусь",
    "CA": "canada|kanada", "CH": "switzerland|schweiz|suisse|svizzera", "CL": "chile",
    "CN": "china|p.r. china|prc|中国", "CO": "colombia", "CR": "costa rica", "CY": "cyprus",
    "CZ": "czech republic|czechia|česká republika|tschechien",
    "DE": "germany|deutschland|allemagne|alemania|germania|duitsland", "DK": "denmark|danmark|dänemark",
    "DO": "dominican republic|república dominicana", "EC": "ecuador", "EE": "estonia|eesti", "EG": "egypt",
    "ES": "spain|españa|spanien|espagne|spagna", "FI": "finland|suomi|finnland", "FJ": "fiji",
    "FR": "france|frankreich|francia|frankrijk|francja",
    "GB": "united kingdom|great britain|england|scotland|wales|northern ireland|uk|u.k.|großbritannien|royaume-uni",
    "GH": "ghana", "GR": "greece|ελλάδα|griechenland", "GT": "guatemala", "HK": "hong kong|香港",
    "HR": "croatia|hrvatska|kroatien", "HU": "hungary|magyarország|ungarn", "ID": "indonesia",
    "IE": "ireland|éire|irland", "IL": "israel", "IN": "india|indien|inde", "IS": "iceland|ísland",
    "IT": "italy|italia|italien|italie", "JM": "jamaica", "JP": "japan|日本", "KE": "kenya",
    "KR": "south korea|korea|republic of korea|한국", "KW": "kuwait", "LK": "sri lanka", "LT": "lithuania|lietuva",
    "LU": "luxembourg|luxemburg", "LV": "latvia|latvija", "MA": "morocco|maroc", "MT": "malta",
    "MX": "mexico|méxico|mexiko", "MY": "malaysia", "NG": "nigeria",
    "NL": "netherlands|the netherlands|nederland|holland|niederlande|pays-bas", "NO": "norway|norge|norwegen",
    "NP": "nepal", "NZ": "new zealand|aotearoa", "OM": "oman", "PA": "panama|panamá", "PE": "peru|perú",
    "PH": "philippines", "PK": "pakistan", "PL": "poland|polska|polen|pologne", "PT": "portugal", "QA": "qatar",
    "RO": "romania|românia|rumänien", "RS": "serbia|srbija", "RU": "russia|россия|russland|russian federation",
    "SA": "saudi arabia", "SE": "sweden|sverige|schweden|suède", "SG": "singapore|singapur",
    "SI": "slovenia|slovenija", "SK": "slovakia|slovensko|slowakei", "TH": "thailand", "TN": "tunisia|tunisie",
    "TR": "turkey|türkiye|türkei", "TW": "taiwan", "UA": "ukraine|україна", "UG": "uganda",
    "US": "united states|united states of america|usa|u.s.a.|u.s.|vereinigte staaten|états-unis|estados unidos",
    "UY": "uruguay", "VE": "venezuela", "VN": "vietnam|viet nam", "ZA": "south africa|südafrika", "ZW": "zimbabwe",
}  # fmt: skip

NAME_REGION: dict[str, str] = {name: region for region, names in _COUNTRY_NAMES.items() for name in names.split("|")}

US_STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas",
    "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts",
    "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri", "MT": "Montana",
    "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico",
    "NY": "New York", "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma",
    "OR": "Oregon", "PA": "Pennsylvania", "PR": "Puerto Rico", "RI": "Rhode Island", "SC": "South Carolina",
    "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia",
    "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
}  # fmt: skip

CANADIAN_PROVINCES = {
    "AB": "Alberta", "BC": "British Columbia", "MB": "Manitoba", "NB": "New Brunswick",
    "NL": "Newfoundland and Labrador", "NS": "Nova Scotia", "NT": "Northwest Territories", "NU": "Nunavut",
    "ON": "Ontario", "PE": "Prince Edward Island", "QC": "Quebec", "SK": "Saskatchewan", "YT": "Yukon",
}  # fmt: skip

AUSTRALIAN_STATES = {
    "NSW": "New South Wales", "QLD": "Queensland", "VIC": "Victoria", "SA": "South Australia",
    "WA": "Western Australia", "TAS": "Tasmania", "ACT": "Australian Capital Territory",
    "NT": "Northern Territory",
}  # fmt: skip

# Searched in lower case: without IGNORECASE the engine skips to the letters that open a name.
_COUNTRY_RE = re.compile(
    r"(?<![\w@.-])(?:" + "|".join(sorted(map(re.escape, NAME_REGION), key=len, reverse=True)) + r")(?![\w@-]|\.\w)"
)
_LETTERS_DOTS = re.compile(r"[^\w. ]")


@lru_cache(maxsize=4096)
def region_of_name(name: str) -> str | None:
    """The region a country field names: ``"Deutschland"``, ``"de"``, ``"USA"``; ``None`` if it is unknown."""
    text = _LETTERS_DOTS.sub(" ", name).strip().casefold()
    if text in NAME_REGION:
        return NAME_REGION[text]
    code = text.upper().replace(".", "")
    code = {"UK": "GB", "USA": "US"}.get(code, code)
    if len(code) == 3:
        return _ALPHA3.get(code)
    return code if code in SUPPORTED_REGIONS else None


def region_of_host(host: str) -> str | None:
    """The country of a country-code top-level domain, ``None`` for generic ones."""
    tld = host.rsplit(".", 1)[-1].lower()
    if tld == "uk":
        return "GB"
    code = tld.upper()
    return code if len(tld) == 2 and tld not in _GENERIC_TLDS and code in SUPPORTED_REGIONS else None


def region_of_language(tag: str) -> tuple[str, float] | None:
    """``("AT", 2.0)`` for ``de-AT``, ``("DE", 1.0)`` for ``de``: region and how much that weighs."""
    parts = tag.replace("_", "-").split("-")
    for part in parts[1:]:
        code = "GB" if part.upper() == "UK" else part.upper()
        # en-US is what site builders write by default, whatever the country.
        if code in SUPPORTED_REGIONS:
            return code, 0.5 if tag.lower().startswith("en") and code == "US" else 2.0
    region = _LANGUAGE_REGION.get(parts[0].lower())
    return (region, 1.0) if region else None


def countries_in(text: str) -> list[str]:
    """The regions whose names stand in ``text``, in order; "uk" counts in capitals only."""
    found = _COUNTRY_RE.findall(text.lower())
    return [NAME_REGION[name] for name in found if name != "uk" or "UK" in text]


_ALPHA3 = {
    "AUS": "AU", "AUT": "AT", "BEL": "BE", "BRA": "BR", "CAN": "CA", "CHE": "CH", "CHN": "CN", "CZE": "CZ",
    "DEU": "DE", "DNK": "DK", "ESP": "ES", "FIN": "FI", "FRA": "FR", "GBR": "GB", "IND": "IN", "IRL": "IE",
    "ITA": "IT", "JPN": "JP", "MEX": "MX", "NLD": "NL", "NOR": "NO", "NZL": "NZ", "POL": "PL", "PRT": "PT",
    "SWE": "SE", "USA": "US", "ZAF": "ZA", "UAE": "AE", "PRC": "CN",
}  # fmt: skip
