"""The condition that a value is among those of a query, which PostgreSQL runs once and before all else."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Func, QuerySet


class Among(Func):
    """``field = ANY (ARRAY (rows))``: like ``field IN (rows)``, but never a join.

    PostgreSQL turns ``IN`` and ``EXISTS`` into joins and nests them where its statistics say that tables are empty, as
    they do soon after the first rows are stored: a list of fifty rows then takes minutes. Use it for a few rows that do
    not depend on the row of the outer query, such as the organisations below another one.
    """

    template = "(%(expressions)s))"
    arg_joiner = " = ANY ("
    output_field = BooleanField()

    def __init__(self, field: str, rows: QuerySet[Any], **extra: Any) -> None:
        """``rows`` has one column; without ``values()`` it is the primary key."""
        super().__init__(field, ArraySubquery(rows), **extra)
