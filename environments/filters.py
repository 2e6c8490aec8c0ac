"""Forms for the filters of a list in its query string; a value that does not parse filters nothing."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SANE_DATES = [
    MinValueValidator(date(2000, 1, 1)),
    MaxValueValidator(date(2999, 12, 31)),
]  # adding a day does not overflow


class DayInput(forms.DateInput):
    """A date input in the format of browsers, in every language of the page."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class FilterForm(forms.Form):
    """A form in the query string. ``asked`` has the valid values, also when the whole form is not valid."""

    @property
    def asked(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    @property
    def is_understood(self) -> bool:
        """Whether every parameter is known and valid. What acts on all that match asks this: ``asked`` drops others."""
        return self.is_valid() and not self.data.keys() - {*self.fields, "page"}

    @property
    def is_used(self) -> bool:
        return any(self.asked.values())


class SearchField(forms.CharField):
    """The words to search a list for; the label says where."""

    widget = forms.SearchInput

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=200, **kwargs)


def start_of(day: date) -> datetime:
    """Return the first instant of the day in the current time zone."""
    return datetime.combine(day, time(), timezone.get_current_timezone())


def last_day_before(end: datetime) -> date:
    """Return the last day, in the current time zone, of something that ends at this instant."""
    return timezone.localtime(end - timedelta(microseconds=1)).date()


class LastDayField(forms.DateField):
    """The last day of something, in the current time zone; its value is the end of that day in UTC."""

    widget = DayInput

    def clean(self, value: Any) -> datetime | None:
        day = super().clean(value)
        try:
            return start_of(day + timedelta(days=1)).astimezone(UTC) if day else None
        except OverflowError:
            raise ValidationError(_("Choose an earlier day, or leave it empty.")) from None

    def prepare_value(self, value: Any) -> Any:
        return last_day_before(value) if isinstance(value, datetime) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether another day was chosen: the same one leaves an end that was set in another time zone."""
        return super().has_changed(self.prepare_value(initial), data)


class PeriodFilterForm(FilterForm):
    """Two days in the current time zone, both included; each is optional."""

    start = forms.DateField(label=_("From"), required=False, validators=SANE_DATES, widget=DayInput)
    end = forms.DateField(label=_("Until"), required=False, validators=SANE_DATES, widget=DayInput)

    @property
    def since(self) -> datetime | None:
        """The first instant of the period."""
        day = self.asked.get("start")
        return start_of(day) if day else None

    @property
    def until(self) -> datetime | None:
        """The first instant after the period."""
        day = self.asked.get("end")
        return start_of(day + timedelta(days=1)) if day else None
