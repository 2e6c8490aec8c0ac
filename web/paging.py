"""Numbered pages of a queryset, in one query with the count of all its rows."""

from typing import Any, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Count, IntegerField, Model, QuerySet, Subquery, Window

from web.typed import whole_number

Row = TypeVar("Row", bound=Model)


class CountOf(Subquery):
    """The number of rows of a queryset, as a column of another query."""

    template = "(SELECT count(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any]) -> None:
        super().__init__(rows.order_by())


def page_of(rows: QuerySet[Row], number: str | None, *, size: int, reads_all: bool = False) -> Page[Row]:
    """Return a page of ``rows`` as Django's paginator does: the last one for a number that is too high.

    One query; two for a number that is too high. Each row has ``count_of_all``. With ``reads_all`` rows are counted as
    they are read: for an order that no index has, for which all of them are read anyway.
    """
    paginator = Paginator(rows, size)
    wanted = max(1, whole_number(number or "") or 1)
    count = Window(Count("pk")) if reads_all else CountOf(rows.values("pk"))
    found: list[Any] = list(rows.annotate(count_of_all=count)[(wanted - 1) * size : wanted * size])
    if not found and wanted > 1:
        return paginator.get_page(number)
    vars(paginator)["count"] = found[0].count_of_all if found else 0  # it is cached, and asks for it no more
    return Page(found, wanted, paginator)
