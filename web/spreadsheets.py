"""CSV files: written so that a spreadsheet runs no cell as a formula, and read as spreadsheets save them."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

BYTE_ORDER_MARK: Final = "\ufeff"  # tells spreadsheets that the file is UTF-8

# Where a cell can begin: at its own start, or behind what separates cells or rows elsewhere, such as ";" where a comma
# is the sign of decimals. Blanks and quotes can come first; the wide signs are formulas too, says OWASP.
FORMULA: Final = re.compile(r"""(^|[;\t\r\n\v\f\x85\u2028\u2029])(?=[ "\u00a0\u3000]*[=+\-@＝＋－＠])""")
DELIMITERS: Final = re.compile(r"[\t;,]")  # of what is read
CONTROLS: Final = ("\t", "\r", "\n")  # at the start of a cell, says OWASP


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the rows as lines of a CSV file (RFC 4180) that begins with a byte-order mark; text is ``harmless``."""
    mark = BYTE_ORDER_MARK
    for cells in rows:
        buffer = io.StringIO()
        csv.writer(buffer).writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
        yield mark + buffer.getvalue()
        mark = ""


def csv_file(rows: Iterable[Iterable[object]], *, name: str) -> StreamingHttpResponse:
    """Answer with the rows as a file to download, sent while they are read."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(csv_lines(rows), content_type="text/csv; charset=utf-8", headers=headers)


def harmless(cell: str) -> str:
    """Return the cell with an apostrophe before anything that a spreadsheet would run as a formula."""
    guarded = FORMULA.sub(r"\1'", cell)
    return f"'{guarded}" if cell.lstrip(" ").startswith(CONTROLS) else guarded


def read_rows(text: str, *, heads: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line of a pasted list or a CSV file that has any, stripped, and its number from 1.

    Separators are commas, semicolons or tabs, by the first line. A first line that begins with one of ``heads``, in
    lower case, is left out. Raises ``ValidationError`` for what is no CSV.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    delimiter = DELIMITERS.search(text.strip().partition("\n")[0])
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter[0] if delimiter else ",", skipinitialspace=True, strict=True
    )
    is_first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (is_first and cells[0].lower() in heads):
                yield reader.line_num, cells
            is_first = is_first and not any(cells)
    except csv.Error:
        raise ValidationError(_("This list cannot be read as CSV.")) from None
