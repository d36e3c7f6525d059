"""Languages: told by little words and letters, and not at all from too little."""

from __future__ import annotations

import pytest

from leads.languages import MAX_CHARS, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("We are a family of bakers and our shop is in the old mill. Come to us for the best of bread.", "en"),
        ("Wir sind eine Familie von Bäckern und unsere Backstube ist auch für Gäste da, nicht nur die Nachbarn.", "de"),
        ("Nous sommes une famille de boulangers et notre boutique est dans le vieux moulin pour vous.", "fr"),
        ("Somos una familia de panaderos y nuestra tienda es para los vecinos del molino, en el centro.", "es"),
        ("Siamo una famiglia di fornai e il nostro negozio è alla fine della strada, per gli ospiti.", "it"),
        ("Wij zijn een familie van bakkers en onze winkel is ook op zondag open voor het hele dorp met koffie.", "nl"),
        ("Vi är en familj och vår butik ligger vid ån, inte långt från torget. Vi bakar till och med för dig.", "sv"),
        ("Jesteśmy rodziną i nie tylko dla sąsiadów pieczemy, jak się da, na miejscu oraz do domu.", "pl"),
        ("Мы печём хлеб, и вы можете купить его у нас каждый день, мы открыты с утра до вечера, выбирайте сами.", "ru"),
        ("私たちは小さなパン屋です。毎日おいしいパンを焼いています。", "ja"),
        ("우리는 작은 빵집입니다. 매일 맛있는 빵을 굽습니다.", "ko"),
        ("我們是一家小麵包店，每天都為您烤新鮮的麵包。", "zh"),
        ("Deutsch Français Ελληνικά Русский 日本語 한국어", None),
        ("Home\nMenu\nContact\nBakery", None),
        ("the the the the the the the the", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_language_is_told_by_its_little_words(text: str, language: str | None) -> None:
    assert language_of(text.split("\n")) == language


def test_only_the_head_of_a_long_page_is_read() -> None:
    english, german = "and the of to for with our we " * 100, "und der die das für mit von auf " * 100
    assert language_of([english] * (MAX_CHARS // len(english) + 1) + [german] * 1_000) == "en"
