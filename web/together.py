"""Several small questions in one statement, for what every page asks the database."""

from typing import Any

from django.db import connection
from django.db.models import F, Func, QuerySet

Statement = tuple[str, tuple[Any, ...]]  # SQL and its parameters


def fetch_together(**questions: QuerySet[Any] | Statement) -> dict[str, list[Any]]:
    """Return the only column of each question as a list, by name; one query, and none without questions."""
    if not questions:
        return {}
    asked = [_compiled(question) for question in questions.values()]
    columns = ", ".join(f"ARRAY({sql})" for sql, _params in asked)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}", [param for _sql, params in asked for param in params])
        return dict(zip(questions, cursor.fetchone(), strict=True))


def counted(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return how many rows there are, as a question of ``fetch_together``."""
    return _over_all(rows, "COUNT", "pk")


def totalled(rows: QuerySet[Any], field: str) -> QuerySet[Any]:
    """Return the sum of a field, None without rows, as a question of ``fetch_together``."""
    return _over_all(rows, "SUM", field)


def lowest(rows: QuerySet[Any], field: str) -> QuerySet[Any]:
    """Return the lowest value of a field, None without rows, as a question of ``fetch_together``."""
    return _over_all(rows, "MIN", field)


def _over_all(rows: QuerySet[Any], function: str, field: str) -> QuerySet[Any]:
    # No aggregate of Django's, which would group the rows.
    return rows.order_by().annotate(over_all=Func(F(field), function=function)).values_list("over_all")


def _compiled(question: QuerySet[Any] | Statement) -> Statement:
    return question if isinstance(question, tuple) else question.query.sql_with_params()
