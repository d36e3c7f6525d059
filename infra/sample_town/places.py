"""Where the businesses are: countries, cities, streets and the telephone numbers they may use.

Numbers come from the ranges that regulators keep for drama and fiction:

* US, Canada: 555-0100 to 555-0199 in any area code (NANPA)
* United Kingdom: Ofcom's drama numbers, by city, and 0808 157 0xxx for freephone
* Germany: Bundesnetzagentur's numbers for the media, by city, and 0171 39200xx for mobiles
* France: ARCEP's numbers for audiovisual works, one range a zone
* Australia: ACMA's numbers for creative works, 5550 xxxx in each region
* Sweden: PTS's numbers for books and films

The British 01632 and 07700 900, French 06 39 98 and Irish 020 91 ranges are reserved too, but libphonenumber calls
them invalid, so they are not used. The Netherlands, India, Spain and Italy reserve nothing: there the numbers are
the lowest of an area (``020 000 00xx``), which libphonenumber takes for valid and no subscriber is expected to have.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.sample_town.model import PhoneFormat


@dataclass(frozen=True, slots=True)
class PhoneRange:
    """Numbers ``prefix`` + ``digits`` digits from ``first`` on; ``prefix`` is E.164 and begins with ``+``."""

    prefix: str
    digits: int
    first: int = 0

    def number(self, index: int) -> str:
        """The E.164 number at ``index``; IndexError past the end of the range."""
        value = self.first + index
        if not index >= 0 or value >= 10**self.digits:
            raise IndexError(f"{self.prefix}: the range has no number {index}")
        return f"{self.prefix}{value:0{self.digits}d}"


@dataclass(frozen=True, slots=True)
class City:
    """A city; ``region`` is the state or province where addresses carry one."""

    name: str
    region: str | None
    postal_codes: tuple[str, ...]
    phones: PhoneRange


@dataclass(frozen=True, slots=True)
class Country:
    """A country by its English name; ``count`` is how many businesses of the town are there.

    ``street`` is how a house number goes with a street; ``mobile`` serves second lines.
    """

    code: str
    name: str
    language: str
    count: int
    street: str
    streets: tuple[str, ...]
    cities: tuple[City, ...]
    formats: tuple[PhoneFormat, ...]
    mobile: PhoneRange | None = None


_BOTH = (PhoneFormat.NATIONAL, PhoneFormat.INTERNATIONAL)
_NORTH_AMERICAN = (*_BOTH, PhoneFormat.DOTTED, PhoneFormat.DASHED)

COUNTRIES = (
    Country(
        code="US",
        name="United States",
        language="en",
        count=12,
        street="{number} {street}",
        streets=(
            "Maple Avenue",
            "Orchard Street",
            "Mill Road",
            "Harbor Drive",
            "Juniper Lane",
            "Canal Street",
        ),
        cities=(
            City("Portland", "OR", ("97205", "97214"), PhoneRange("+150355501", 2)),
            City("Austin", "TX", ("78701", "78704"), PhoneRange("+151255501", 2)),
            City("Seattle", "WA", ("98101", "98103"), PhoneRange("+120655501", 2)),
            City("Denver", "CO", ("80202", "80205"), PhoneRange("+130355501", 2)),
            City("Boston", "MA", ("02116", "02118"), PhoneRange("+161755501", 2)),
            City("Chicago", "IL", ("60607", "60614"), PhoneRange("+131255501", 2)),
        ),
        formats=_NORTH_AMERICAN,
    ),
    Country(
        code="CA",
        name="Canada",
        language="en",
        count=4,
        street="{number} {street}",
        streets=("Birch Street", "Lakeshore Road", "Granite Avenue"),
        cities=(
            City("Ottawa", "ON", ("K1P 5M7",), PhoneRange("+161355501", 2)),
            City("Halifax", "NS", ("B3J 1S9",), PhoneRange("+190255501", 2)),
            City("Vancouver", "BC", ("V6B 1A1",), PhoneRange("+160455501", 2)),
        ),
        formats=_NORTH_AMERICAN,
    ),
    Country(
        code="GB",
        name="United Kingdom",
        language="en",
        count=12,
        street="{number} {street}",
        streets=(
            "Chapel Lane",
            "Station Road",
            "Wharf Street",
            "Castle Gate",
            "Saddler's Row",
            "Priory Close",
        ),
        cities=(
            City("London", None, ("SE1 4AB", "N1 7QP"), PhoneRange("+442079460", 3)),
            City("Manchester", None, ("M4 1HQ", "M1 2JB"), PhoneRange("+441614960", 3)),
            City("Leeds", None, ("LS1 4DY", "LS2 7EW"), PhoneRange("+441134960", 3)),
            City("Bristol", None, ("BS1 5TR",), PhoneRange("+441174960", 3)),
            City("Edinburgh", None, ("EH1 2NG",), PhoneRange("+441314960", 3)),
            City("Cardiff", None, ("CF10 1BH",), PhoneRange("+442920180", 3)),
        ),
        formats=(*_BOTH, PhoneFormat.TRUNK_ZERO),
        mobile=PhoneRange("+448081570", 3),
    ),
    Country(
        code="DE",
        name="Germany",
        language="de",
        count=12,
        street="{street} {number}",
        streets=(
            "Lindenstraße",
            "Mühlenweg",
            "Am Alten Hafen",
            "Gartenstraße",
            "Kastanienallee",
            "Brunnengasse",
        ),
        cities=(
            City("Berlin", None, ("10437", "10999"), PhoneRange("+493023125", 3)),
            City("Hamburg", None, ("20357", "22765"), PhoneRange("+494066969", 3)),
            City("Köln", None, ("50672",), PhoneRange("+492214710", 3)),
            City("Frankfurt am Main", None, ("60316",), PhoneRange("+496990009", 3)),
            City("München", None, ("80469",), PhoneRange("+498999998", 3)),
        ),
        formats=(*_BOTH, PhoneFormat.SLASHED, PhoneFormat.TRUNK_ZERO),
        mobile=PhoneRange("+4917139200", 2),
    ),
    Country(
        code="FR",
        name="France",
        language="fr",
        count=9,
        street="{number} {street}",
        streets=("rue des Tilleuls", "avenue du Moulin", "place de la Fontaine", "quai des Tanneurs"),
        cities=(
            City("Paris", None, ("75011", "75018"), PhoneRange("+3319900", 4)),
            City("Rennes", None, ("35000",), PhoneRange("+3326191", 4)),
            City("Lille", None, ("59000",), PhoneRange("+3335301", 4)),
            City("Lyon", None, ("69002",), PhoneRange("+3346571", 4)),
            City("Bordeaux", None, ("33000",), PhoneRange("+3353649", 4)),
        ),
        formats=(*_BOTH, PhoneFormat.DOTTED),
    ),
    Country(
        code="AU",
        name="Australia",
        language="en",
        count=7,
        street="{number} {street}",
        streets=("Wattle Street", "Bluegum Road", "Jetty Parade", "Banksia Avenue"),
        cities=(
            City("Sydney", "NSW", ("2010",), PhoneRange("+6125550", 4)),
            City("Melbourne", "VIC", ("3065",), PhoneRange("+6135550", 4)),
            City("Brisbane", "QLD", ("4101",), PhoneRange("+6175550", 4)),
            City("Perth", "WA", ("6000",), PhoneRange("+6185550", 4)),
        ),
        formats=_BOTH,
        mobile=PhoneRange("+6149157015", 1, first=6),
    ),
    Country(
        code="NL",
        name="Netherlands",
        language="nl",
        count=4,
        street="{street} {number}",
        streets=("Molenstraat", "Oude Gracht", "Tulpenlaan"),
        cities=(
            City("Amsterdam", None, ("1016 GX",), PhoneRange("+312000000", 2, first=10)),
            City("Rotterdam", None, ("3011 AD",), PhoneRange("+311000000", 2, first=10)),
            City("Utrecht", None, ("3511 LX",), PhoneRange("+313000000", 2, first=10)),
        ),
        formats=_BOTH,
    ),
    Country(
        code="IN",
        name="India",
        language="en",
        count=3,
        street="{number}, {street}",
        streets=("Lotus Road", "Temple View Street", "Banyan Marg"),
        cities=(
            City("Mumbai", "Maharashtra", ("400001",), PhoneRange("+9122200000", 2, first=10)),
            City("Bengaluru", "Karnataka", ("560001",), PhoneRange("+9180200000", 2, first=10)),
        ),
        formats=_BOTH,
    ),
    Country(
        code="ES",
        name="Spain",
        language="es",
        count=3,
        street="Calle {street}, {number}",
        streets=("del Olivo", "de los Molinos", "de la Fuente"),
        cities=(
            City("Madrid", None, ("28012",), PhoneRange("+349100000", 2, first=10)),
            City("Valencia", None, ("46003",), PhoneRange("+349600000", 2, first=10)),
        ),
        formats=_BOTH,
    ),
    Country(
        code="IT",
        name="Italy",
        language="it",
        count=3,
        street="Via {street}, {number}",
        streets=("dei Tigli", "del Mulino", "della Fontana"),
        cities=(
            City("Roma", "RM", ("00153",), PhoneRange("+3906000000", 2, first=10)),
            City("Milano", "MI", ("20121",), PhoneRange("+3902000000", 2, first=10)),
        ),
        formats=_BOTH,
    ),
    Country(
        code="SE",
        name="Sweden",
        language="sv",
        count=3,
        street="{street} {number}",
        streets=("Lindgatan", "Kvarnvägen", "Hamngatan"),
        cities=(
            City("Göteborg", None, ("411 05",), PhoneRange("+463139006", 2)),
            City("Malmö", None, ("211 34",), PhoneRange("+464062804", 2)),
            City("Stockholm", None, ("111 29",), PhoneRange("+468465004", 2)),
        ),
        formats=_BOTH,
        mobile=PhoneRange("+467017406", 2, first=5),
    ),
)

BENCH_AREA_CODES = ("212", "313", "404", "505", "614", "702", "804", "916")
"""Area codes of the bench site's endless businesses; no city above has one of them."""
