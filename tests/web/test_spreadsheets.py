"""What people wrote is shown by a spreadsheet, and never run, whatever the spreadsheet takes for the end of a cell."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.spreadsheets import csv_lines, harmless

SIGNS = "=+-@＝＋－＠"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "  ="])
def test_a_formula_becomes_text(start):
    assert harmless(f"{start}1+1") == f"'{start}1+1"


def test_an_ordinary_text_stays():
    for text in ("2 - 1 = 1", "a; b", "one, -5", "mail ada@acme.test; or write", ""):
        assert harmless(text) == text


def test_a_formula_behind_what_ends_a_cell_elsewhere_becomes_text():
    assert harmless("x;=cmd|' /C calc'!A0") == "x;'=cmd|' /C calc'!A0"
    assert harmless('x; "@SUM(1)\n-1') == "x;' \"@SUM(1)\n'-1"


def test_a_file_begins_with_the_mark_guards_texts_and_leaves_numbers():
    lines = list(csv_lines([["name", "n"], ["=1+1", 'a "b", c', -1, None]]))
    assert lines == ["\ufeffname,n\r\n", '\'=1+1,"a ""b"", c",-1,\r\n']


@given(st.lists(st.text(alphabet=f"{SIGNS}; ,\"'\t\n\rx1", max_size=12), min_size=1, max_size=4))
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_reader_sees_a_formula(separator, cells):
    file = "".join(csv_lines([["a"], cells])).removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(file, newline=""), delimiter=separator))
    assert len(rows) >= 2
    assert not [cell for row in rows for cell in row if cell.lstrip(' "')[:1] in tuple(SIGNS)]
