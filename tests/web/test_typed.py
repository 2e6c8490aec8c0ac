"""What people type: numbers in ASCII digits, words without NUL."""

import pytest

from web.typed import typed_words, whole_number


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1.5", "1e3", " 1", "1_0", "٣", "²", "１", "9" * 19, "9" * 9_999]
)
def test_anything_but_up_to_eighteen_ascii_digits_is_no_number(text):
    assert whole_number(text) is None


def test_a_number_is_read_up_to_the_digits_that_are_asked_for():
    assert [whole_number(text) for text in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]
    assert [whole_number(text, most_digits=2) for text in ("99", "100")] == [99, None]


def test_words_lose_nul_and_the_blanks_around_them_and_are_cut():
    assert typed_words(" \0a b\0 ") == "a b"
    assert typed_words("x" * 300) == "x" * 200
