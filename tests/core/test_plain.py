"""Text of strangers on a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_supervisor.core.plain import plain_line, plain_text

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("evil", "plain"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1bP1$r\x1b\\dcs", "dcs"),
        ("\x9b31mred", "red"),
        ("10%\r20%", "10%\u240d20%"),
        ("bell\x07", "bell\u2407"),
        ("back\x08space\x7f", "back\u2408space\u2421"),
        ("\x1b", "\u241b"),
        ("\u202etxt.exe", "\ufffdtxt.exe"),
        ("tab\tstays", "tab\tstays"),
        ("naïve 日本 👩‍👩‍👧", "naïve 日本 👩‍👩‍👧"),
    ],
)
def test_sequences_go_and_controls_show(evil: str, plain: str) -> None:
    assert plain_line(evil) == plain


def test_a_line_stays_one_line_and_a_text_keeps_its_lines() -> None:
    assert plain_line("a\nb") == "a\u240ab"
    assert plain_text("a\nb") == "a\nb"


@given(st.text(st.characters(codec=None)))
def test_nothing_unsafe_is_ever_left(text: str) -> None:
    assert not UNSAFE.search(plain_line(text))
    assert "\n" not in plain_line(text)
    plain_line(text).encode()


@given(st.text())
def test_it_is_idempotent(text: str) -> None:
    assert plain_text(plain_text(text)) == plain_text(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert plain_line(text) == text


def test_a_long_line_of_escapes_takes_no_quadratic_time() -> None:
    """Finishes at all within the test's limit: one unfinished OSC must not be scanned for ever."""
    assert plain_line("\x1b]" * 500_000).count("\u241b") == 500_000
