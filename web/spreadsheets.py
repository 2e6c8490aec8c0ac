"""CSV files whose cells a spreadsheet does not run as formulas."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Final

from django.http import StreamingHttpResponse

BYTE_ORDER_MARK: Final = "\ufeff"  # tells spreadsheets that the file is UTF-8

# Where a cell can begin: at its own start, or behind what separates cells or rows elsewhere, such as ";" where a comma
# is the sign of decimals. Blanks and quotes can come first; the wide signs are formulas too, says OWASP.
FORMULA: Final = re.compile(r"""(^|[;\t\r\n\v\f\x85\u2028\u2029])(?=[ "\u00a0\u3000]*[=+\-@＝＋－＠])""")
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
