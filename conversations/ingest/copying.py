"""Write rows with COPY, the fastest way into PostgreSQL."""

import io
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.backends.utils import CursorWrapper

CHUNK = 1 << 18  # bytes handed to the driver at a time


def escape(text: str) -> str:
    """Return a value in COPY's text format."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text or "\t" in text or "\r" in text:
        text = text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text


def copy(cursor: CursorWrapper, model: type[models.Model], columns: str, rows: Iterable[str]) -> None:
    """Insert ``rows`` into the table of ``model``; each is a line of COPY's text format, without end-of-line."""
    text = "\n".join(rows)
    if text:
        raw: Any = cursor.cursor  # the driver's cursor: Django has no COPY
        statement = f"COPY {model._meta.db_table} ({columns}) FROM STDIN"
        raw.copy_expert(statement, io.BytesIO(text.encode()), CHUNK)
