"""What people may ask of the lists."""

from datetime import UTC, datetime, time, timedelta

from django import forms
from django.utils.translation import gettext_lazy as _


class DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__({"class": "input"}, format="%Y-%m-%d")


class ConversationFilterForm(forms.Form):
    """Narrow the list of conversations; days are those of UTC, both included."""

    q = forms.CharField(label=_("Contact, text or variable"), required=False, max_length=200, strip=True)
    channel = forms.CharField(label=_("Channel"), required=False, max_length=255, strip=False)
    since = forms.DateField(label=_("From"), required=False, widget=DayInput)
    until = forms.DateField(label=_("Until"), required=False, widget=DayInput)

    @property
    def starts_at(self) -> datetime | None:
        day = self.cleaned_data.get("since")
        return datetime.combine(day, time(), UTC) if day else None

    @property
    def ends_at(self) -> datetime | None:
        """The instant after the last day; None where there is none, as after the last day of all."""
        day = self.cleaned_data.get("until")
        try:
            return datetime.combine(day, time(), UTC) + timedelta(days=1) if day else None
        except OverflowError:
            return None


class ContactFilterForm(forms.Form):
    q = forms.CharField(label=_("Name or identifier"), required=False, max_length=200, strip=True)
