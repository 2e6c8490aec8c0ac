"""What people wrote is shown by a spreadsheet, and never run."""

import pytest

from web.spreadsheets import csv_line, harmless


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "  ="])
def test_a_formula_becomes_text(start):
    assert harmless(f"{start}1+1") == f"'{start}1+1"


def test_an_ordinary_text_stays():
    assert harmless("2 - 1 = 1") == "2 - 1 = 1"


def test_a_line_guards_its_texts_and_leaves_its_numbers():
    assert csv_line(["=1+1", 'a "b", c', -1, None]) == '\'=1+1,"a ""b"", c",-1,\r\n'
