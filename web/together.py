"""Several small questions in one statement, for what every page asks the database."""

from typing import Any

from django.db import connection
from django.db.models import Case, F, Func, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import JSONObject

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
    return _over_all(rows, count_if())


def totalled(rows: QuerySet[Any], field: str) -> QuerySet[Any]:
    """Return the sum of a field, None without rows, as a question of ``fetch_together``."""
    return _over_all(rows, Func(F(field), function="SUM"))


def lowest(rows: QuerySet[Any], field: str) -> QuerySet[Any]:
    """Return the lowest value of a field, None without rows, as a question of ``fetch_together``."""
    return _over_all(rows, Func(F(field), function="MIN"))


def summed_up(rows: QuerySet[Any], /, **values: Any) -> QuerySet[Any]:
    """Return several values over all rows as one JSON text, as a question of ``fetch_together``."""
    return _over_all(rows, JSONObject(**values))


def count_if(condition: Q | None = None) -> Any:
    """Count rows, or those that meet the condition, as a value of ``summed_up``."""
    if condition is None:
        return Func(template="COUNT(*)", output_field=IntegerField())
    return Func(Case(When(condition, then=Value(1))), function="COUNT", output_field=IntegerField())


def _over_all(rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
    # No aggregate of Django's, which would group the rows.
    return rows.order_by().annotate(over_all=value).values_list("over_all")


def _compiled(question: QuerySet[Any] | Statement) -> Statement:
    return question if isinstance(question, tuple) else question.query.sql_with_params()
