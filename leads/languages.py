"""Which language a page is written in, by the little words and letters that one language has and others do not.

Pages declare a language their template came with; what they are written in says more about where they are.
English is counted so that it can win, and tells no country.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

# Function words, two letters and longer, that few other languages share; a handful decides a paragraph.
_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and of to for with our you we your is are this that from or by at",
        "de": "und der die das für mit von auf ist wir sie uns unsere ihre nicht auch zum zur bei oder eine dem den",
        "fr": "et les des du pour avec dans est nous vous notre votre sur une aux au par ou nos vos",
        "es": "los las del para con una por nuestro nuestra usted es en el sus más como nuestros",
        "it": "di il per con del della dei gli una nostri nostra è sono alla delle nel che più",
        "pt": "os as para com uma dos das não nossa nosso você em ao pela são mais seu",
        "nl": "het een van voor met op wij onze uw niet ook zijn bij naar wordt ons maar",
        "sv": "och att för på är med av till om vår från eller inte ett våra hos",
        "da": "og at til af på er med fra ikke eller vores din der hos et",
        "nb": "og til av på er med fra ikke eller våre vår din som hos et",
        "fi": "ja on ei tai sekä meidän kanssa joka ovat myös kun",
        "pl": "na do się nie jest oraz dla od przez lub nas ul jak",
        "cs": "na je se pro od nebo jsou naše vás při také ve",
        "hu": "és az egy nem vagy hogy meg csak is",
        "ro": "și în la cu pentru din este sau sunt prin",
        "tr": "ve bir için ile bu da olarak daha",
    }.items()
}
# How often letters that only one language of the web writes must stand there. A whole alphabet asks for more than a
# rare letter, because menus of languages show a word of each ("Ελληνικά"). Japanese writes Chinese letters as well.
_LETTERS: dict[str, tuple[re.Pattern[str], int]] = {
    language: (re.compile(f"[{letters}]"), least)
    for language, letters, least in (
        ("ru", "ыэ", 4), ("uk", "їєґ", 4), ("be", "ў", 4), ("az", "əƏ", 4),
        ("el", "α-ω", 15), ("he", "א-ת", 15), ("th", "ก-ฮ", 15), ("ja", "ぁ-ゟァ-ヺ", 15), ("ko", "가-힣", 15),
        ("zh", "一-鿿", 15),
    )
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,10}")

MAX_CHARS = 20_000  # a few pages of a book: more would not change the verdict
MIN_WORDS = 6
MIN_DIFFERENT = 3  # one word again and again may be a name or a foreign loan
MIN_LEAD = 1.3  # neighbours such as Danish and Norwegian share most of their little words


def language_of(lines: Iterable[str]) -> str | None:
    """The ISO 639-1 language that ``lines`` are written in, ``None`` if too little tells or two are as likely."""
    text = _head(lines)
    if not text.isascii():
        for language, (letters, least) in _LETTERS.items():
            if len(list(islice(letters.finditer(text), least))) == least:
                return language
    counts = Counter(_WORD.findall(text.lower()))
    found = {language: sum(counts[word] for word in words) for language, words in _WORDS.items()}
    (first, most), (_, next_most) = Counter(found).most_common(2)
    is_sure = most >= MIN_WORDS and most >= MIN_LEAD * next_most
    return first if is_sure and len(counts.keys() & _WORDS[first]) >= MIN_DIFFERENT else None


def _head(lines: Iterable[str]) -> str:
    parts: list[str] = []
    size = 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size >= MAX_CHARS:
            break
    return "\n".join(parts)[:MAX_CHARS]
