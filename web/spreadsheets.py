"""Lines of CSV that a spreadsheet shows and does not calculate."""

import csv
import io
from collections.abc import Iterable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones too, says OWASP


def csv_line(cells: Iterable[object]) -> str:
    """Return the cells as a line of CSV (RFC 4180), its end included; text is made ``harmless``."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue()


def harmless(cell: str) -> str:
    """Keep a spreadsheet from running a cell as a formula: an apostrophe makes it text."""
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA_STARTS) else cell
