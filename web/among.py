"""What a query has, in a condition or as a value of another query: PostgreSQL runs it once, and never as a join."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Func, QuerySet, Subquery, TextField


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


class AmongMany(Func):
    """``(field IN (rows)) IS TRUE``: for thousands of rows, which PostgreSQL looks up in a hash table.

    Use it beside a condition that finds rows by an index: ``Among`` would compare each of them with every value.
    """

    template = "(%(expressions)s) IS TRUE"
    arg_joiner = " IN "
    output_field = BooleanField()

    def __init__(self, field: str, rows: QuerySet[Any], **extra: Any) -> None:
        """``rows`` has one column; without ``values()`` it is the primary key."""
        super().__init__(field, Subquery(rows), **extra)


class AnyAmong(Func):
    """The condition that one of several values is among those of a query, as ``AmongMany`` looks them up.

    Several conditions would run the query once for each.
    """

    template = "EXISTS (SELECT FROM %(expressions)s) IS TRUE)"
    arg_joiner = " AS one (value) WHERE (one.value IN "
    output_field = BooleanField()

    def __init__(self, *values: Any, rows: QuerySet[Any]) -> None:
        lines = Func(
            *(Func(each, template="(%(expressions)s)") for each in values), template="(VALUES %(expressions)s)"
        )
        super().__init__(lines, Subquery(rows))


class LookedUp(Func):
    """The text that a query has for a key, null if it has none: it runs once, not again for each row."""

    template = "((SELECT jsonb_object_agg(key, value) FROM %(expressions)s)::text)"
    arg_joiner = " AS found (key, value)) ->> ("
    output_field = TextField()

    def __init__(self, key: str, rows: QuerySet[Any]) -> None:
        """``rows`` has two columns, the key and its value."""
        super().__init__(Subquery(rows), key)
