"""The filters above the lists of conversations and contacts."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta

from django import forms
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from environments.filters import DayInput, SearchField

CHANNEL_CHARACTERS = 24


class ConversationFilterForm(forms.Form):
    """The filter of the list of conversations; days are those of UTC, both included."""

    q = SearchField(label=_("Contact, text or variable"))
    channel = forms.CharField(label=_("Channel"), required=False, max_length=255, strip=False, widget=forms.Select)
    since = forms.DateField(label=_("From"), required=False, widget=DayInput)
    until = forms.DateField(label=_("Until"), required=False, widget=DayInput)

    def offer_channels(self, channels: Iterable[str]) -> None:
        """Let people choose one of the channels, or all."""
        widget = self.fields["channel"].widget
        shown = [(channel, Truncator(channel).chars(CHANNEL_CHARACTERS)) for channel in channels]
        widget.choices = [("", _("All channels")), *shown]

    @property
    def starts_at(self) -> datetime | None:
        day = self.cleaned_data.get("since")
        return datetime.combine(day, time(), UTC) if day else None

    @property
    def ends_at(self) -> datetime | None:
        """The end of the last day; ``None`` without one, and for the last day of the calendar."""
        day = self.cleaned_data.get("until")
        try:
            return datetime.combine(day, time(), UTC) + timedelta(days=1) if day else None
        except OverflowError:
            return None


class ContactFilterForm(forms.Form):
    q = SearchField(label=_("Name or identifier"))
