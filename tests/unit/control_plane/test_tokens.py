"""Stream tokens: what was signed comes back, and nothing else verifies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_plane.tokens import Claims, sign, verify

SECRET = "s" * 32
CLAIMS = Claims("acme", "k" * 64, "tsk_1", frozenset({"events", "live"}), 1_000)


def test_a_token_is_what_was_signed_until_it_expires() -> None:
    token = sign(CLAIMS, SECRET)
    assert verify(token, SECRET, now=999) == CLAIMS
    assert verify(token, SECRET, now=1_000) is None
    assert verify(token, "t" * 32, now=0) is None


@given(st.integers(0, 300), st.characters(codec="ascii"))
def test_no_changed_token_verifies(position: int, character: str) -> None:
    token = sign(CLAIMS, SECRET)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    assert verify(changed, SECRET, now=0) == (CLAIMS if changed == token else None)


@given(st.text(max_size=2_000))
def test_garbage_is_refused_quietly(text: str) -> None:
    assert verify(text, SECRET, now=0) is None
