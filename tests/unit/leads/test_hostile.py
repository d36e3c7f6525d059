"""Pages that want to hang the reader: hundreds of kilobytes each, where anything quadratic would take hours.

In a process of its own, because a runaway pattern cannot be interrupted from within. The limit is far above what
linear work takes on a slow machine and far below what quadratic work would.
"""

from __future__ import annotations

import subprocess
import sys

from tests.support import REPOSITORY

LIMIT_S = 180

SIZE = 200_000  # characters: times itself, 4e10 steps are many minutes in any one pattern
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
}


PROGRAM = """
from leads.extract import extract
N = {size}
for name, text in {pages!r}.items():
    print(name, flush=True)
    extract(eval(text), "https://example.de/")
print("done")
"""


def test_hostile_pages_are_read_in_linear_time() -> None:
    program = PROGRAM.format(size=SIZE, pages=PAGES)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        try:
            said, failed = reader.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            reader.kill()
            said, failed = reader.communicate()
    assert said.split("\n")[-2] == "done", f"stopped in {said.splitlines()[-1]}: {failed[-2_000:]}"
