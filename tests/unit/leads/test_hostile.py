"""Pages that want to hang the reader: a megabyte each, where anything quadratic would take hours.

Three nets: a megabyte of every shape is read before an alarm that only a runaway reaches, in a process of its own,
because a runaway pattern cannot be interrupted from within; twice the page costs about twice the steps of our own code,
counted and not timed; and no pattern of the package may repeat without a bound inside a repeat, or without a bound at
all unless it stands in the list below with its reason.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]  # the only reader of patterns there is
from typing import Any

import pytest

import leads
from leads.extract import extract
from tests.support import REPOSITORY

LIMIT_S = 500  # some 25 s of work for each process on a free core
PROCESSES = 2

SIZE = 1_000_000  # characters: times itself, 1e12 steps are hours in any one pattern
PAGES = {
    "at signs": "'@' * N",
    "one word": "'a' * N",
    "digits": "'1' * N",
    "digit groups": "'123 ' * (N // 4)",
    "plus signs": "'+1 ' * (N // 3)",
    "almost e-mails": "'a.' * (N // 4) + '@' + 'a.' * (N // 4)",
    "spoken e-mails": "'a at a dot ' * (N // 11)",
    "brackets": "'[at] ' * (N // 5)",
    "vanity": "'800-AAAAAAA' * (N // 11)",
    "postal codes": "'Main St 1, 12345 Town, ' * (N // 23)",
    "postal code lines": "'<p>12345 A</p>' * (N // 14)",
    "capital letters": "'SW1A 1A ' * (N // 8)",
    "copyright": "'© 2012 ' * (N // 7)",
    "titles": "'<title>' + ' - ' * (N // 3) + '</title>'",
    "hours": "'mon 1 ' * (N // 6)",
    "open tags": "'<div>' * (N // 5)",
    "open links": "'<a href=x>' * (N // 10)",
    "open items": "'<p itemscope itemprop=a>' * (N // 24)",
    "cards": "'<p class=\"vcard tel\">1' * (N // 22)",
    "broken json": "'<script type=\"application/ld+json\">' + '{\"a\":[' * (N // 6) + '</script>'",
    "json comments": "'<script type=\"application/ld+json\">' + '/*' * (N // 2) + '</script>'",
    "json quotes": "'<script type=\"application/ld+json\">' + '\"\\\\' * (N // 2) + '</script>'",
    "entities": "'&amp;' * (N // 5)",
    "style": "'<style>bidi-override' + '.a{' * (N // 3) + '</style>'",
    "credits": "'<p>Website design and design by ' * (N // 32)",
    "credit words": "'web design, ' * (N // 12)",
    "headings": "'<h1>Oak ' * (N // 8)",
    "menus": "'<a href=/x>Oak</a>' * (N // 18)",
    "spelled domains": "'exa mple ' * (N // 9)",
    "profiles": "'facebook.com/' * (N // 13)",
    "profile words": "'www.' * (N // 4) + 'x.com/a'",
    "streets": "'12 Oak Street Road Lane ' * (N // 24)",
    "named streets": "'<p>' + 'Oak ' * 20 + 'Road</p><p>12345 Town</p>' * (N // 30)",
    "brackets of codes": "'(213) 555 0100 ' * (N // 15)",
    "little words": "'und der die das ' * (N // 16)",
    "hidden styles": "'<b style=\"display:' + ' ' * N + '\">'",
    "blanks": "' ' * N + '@' + ' ' * N",
    "opening hours": "'<p>mo, di, mi, do 9 - mo, di, mi - 9 uhr' * (N // 40)",
    "countries": "'<p>12 Oak Street, Co. Clare, Ireland, France' * (N // 43)",
    "states": "'<p>1 Oak Rd, TX, ' * (N // 16)",
    "extensions": "'212-555-0142 ext. 12, 13, 14 ' * (N // 29)",
    "shared tails": "'212-555-0142' + '/43' * (N // 3)",
    "Mexican trunks": "'+52 1 55 01 (55) 044 ' * (N // 21)",
    "ratings": "'<p>4.5 out of 5 stars, 4 / 5, 12 reviews' * (N // 41)",
    "attributes": '\'<a title="+1 212" onclick="tel:1 mailto:">x</a>\' * (N // 45)',
    "rules": "'<style>' + '.a #b em{unicode-bidi:bidi-override}' * (N // 36) + '</style>' + '<em>x</em>' * (N // 9)",
    "overrides": "'<bdo dir=rtl>x' * (N // 14)",
    "drawings": "'<svg><text>1' * (N // 12)",
    "vanity abroad": "'1300 A-A-A-' * (N // 11)",
    "cloudflare": "'<a href=/cdn-cgi/l/email-protection#00>' * (N // 39)",
    "ratings of cards": "'<p class=\"hreview-aggregate vcard\"><b class=average>1' * (N // 54)",
}


PROGRAM = """
from leads.extract import extract
N = {size}
for name, text in {pages!r}.items():
    print(name, flush=True)
    extract(eval(text), "https://example.de/")
print("done")
"""


@pytest.mark.soak
def test_a_megabyte_of_every_shape_is_read() -> None:
    """Half a minute; that work grows with the page and no faster is counted below, every time."""
    shapes = list(PAGES.items())
    readers = [reader_of(dict(shapes[start::PROCESSES])) for start in range(PROCESSES)]
    try:
        for reader in readers:
            try:
                said, failed = reader.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                reader.kill()
                said, failed = reader.communicate()
            assert said.split("\n")[-2:] == ["done", ""], f"stopped in {said.splitlines()[-1:]}: {failed[-2_000:]}"
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def reader_of(pages: dict[str, str]) -> subprocess.Popen[str]:
    program = PROGRAM.format(size=SIZE, pages=pages)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, text=True, **pipes)


def steps_of(page: str) -> int:
    """How many calls reading a page makes, of our functions and of the interpreter's."""
    count = 0

    def profile(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        extract(page, "https://example.de/")
    finally:
        sys.setprofile(before)
    return count


def shape(program: str, size: int) -> str:
    return str(eval(program, {"N": size}))  # the table above, no input


@pytest.mark.parametrize("program", PAGES.values(), ids=PAGES)
def test_twice_the_page_is_about_twice_the_work(program: str) -> None:
    steps_of(shape(program, 200))  # what is read or compiled once is not counted
    once, twice = steps_of(shape(program, 12_000)), steps_of(shape(program, 24_000))
    assert twice <= 2.4 * once + 500


# Patterns with a repeat that has no bound, and what bounds the work instead.
UNBOUNDED = {
    "answers._HOST": "asked of a sentence of 300 characters",
    "contacts._NO_PHONE": "asked of the few words before a number",
    "credits._WORD": "one class, asked of 60 characters",
    "document._SPACES": "one class and nothing behind it",
    "identity._WORDS": "one class and nothing behind it",
    "json_ld._BETWEEN": "one class and nothing behind it",
    "json_ld._IN_STRING": "matched from where the last match ended",
    "json_ld._TOKENS": "matched from where the last match ended",
    "names._COPYRIGHT_END": "asked of a name of 100 characters",
    "names._GENERIC": "asked of a name of 400 characters",
    "names._NOISE_PREFIX": "asked of a name of 400 characters",
    "names._TITLE_SEPARATORS": "asked of a title of 500 characters",
    "phones._GROUP_OF_DIGITS": "one class and nothing behind it",
    "rules._LETTERS": "one class and nothing behind it",
    "rules._SENTENCE": "one class and nothing behind it",
    "subject._CONTROL": "one class and nothing behind it",
    "phones._SIX_DIGITS": "two classes without a character in common, matched once a line",
}
NESTED = {"answers._HOST", "phones._SIX_DIGITS"}
MAX_PRODUCT = 600  # of the bounds of nested repeats


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 4 and isinstance(value, tuple | list | frozenset):
        yield from (found for each in value for found in patterns_in(each, depth + 1))
    elif depth < 4 and isinstance(value, dict):
        yield from patterns_in(tuple(value.values()), depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from patterns_in(tuple(getattr(value, each.name) for each in dataclasses.fields(value)), depth + 1)


def repeats_in(tree: Any, around: int = 1) -> Iterator[tuple[int, int]]:
    """(the most times, the product of the bounds around it) of every repeat of a parsed pattern."""
    for operator, argument in tree:
        if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            _, most, inner = argument
            yield most, around
            yield from repeats_in(inner, around * max(1, int(most)))
        elif operator is _constants.SUBPATTERN:
            yield from repeats_in(argument[3], around)
        elif operator is _constants.BRANCH:
            yield from (found for branch in argument[1] for found in repeats_in(branch, around))
        elif operator in (_constants.ASSERT, _constants.ASSERT_NOT):
            yield from repeats_in(argument[1], around)
        elif operator is _constants.ATOMIC_GROUP:
            yield from repeats_in(argument, around)


def test_no_pattern_can_blow_up() -> None:
    unbounded, nested, checked = set(), set(), 0
    for module in pkgutil.walk_packages(leads.__path__, "leads."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for pattern in patterns_in(value):
                place = f"{module.name.rpartition('.')[2]}.{name}"
                checked += 1
                for most, around in repeats_in(_parser.parse(pattern.pattern, pattern.flags)):
                    if most == _constants.MAXREPEAT:
                        unbounded.add(place)
                    if around > 1 and int(most) * around > MAX_PRODUCT:
                        nested.add(place)
    assert checked > 150
    assert unbounded == set(UNBOUNDED)
    assert nested == NESTED
