"""What the chart of usage shows, and its periods."""

from datetime import date, timedelta

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Measure(models.TextChoices):
    """What the bars of the chart count."""

    CONVERSATIONS = "conversations", _("Conversations")
    MESSAGES = "messages", _("Messages")
    CONTACTS = "contacts", _("New contacts")

    @property
    def a_day(self) -> Promise:
        return {
            Measure.CONVERSATIONS: _("Conversations a day"),
            Measure.MESSAGES: _("Messages a day"),
            Measure.CONTACTS: _("New contacts a day"),
        }[self]

    @property
    def a_month(self) -> Promise:
        return {
            Measure.CONVERSATIONS: _("Conversations a month"),
            Measure.MESSAGES: _("Messages a month"),
            Measure.CONTACTS: _("New contacts a month"),
        }[self]


class Period(models.TextChoices):
    """How far back usage is shown: days, or months where days would be too many. All are in UTC."""

    DAYS_30 = "30-days", _("The last 30 days")
    DAYS_90 = "90-days", _("The last 90 days")
    MONTHS_12 = "12-months", _("The last 12 months")
    EVERYTHING = "everything", _("All time")

    @property
    def is_in_months(self) -> bool:
        return self in {Period.MONTHS_12, Period.EVERYTHING}

    def starts(self, *, today: date, beginning: date) -> list[date]:
        """Return the first day of each of its days or months, today's last; ``beginning`` is the first day of all."""
        days = {Period.DAYS_30: 30, Period.DAYS_90: 90}.get(self)
        if days:
            return [today - timedelta(days=ago) for ago in reversed(range(days))]
        first = month_of(min(beginning, today)) if self == Period.EVERYTHING else _months_before(today, 11)
        months = [first]
        while months[-1] < month_of(today):
            months.append(month_of(months[-1] + timedelta(days=31)))
        return months


def month_of(day: date) -> date:
    return day.replace(day=1)


def _months_before(day: date, count: int) -> date:
    months = day.year * 12 + day.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)
