"""The filter of the page of usage, in its query string."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agencies.usage.choices import Period
from environments.filters import FilterForm


class UsageFilterForm(FilterForm):
    period = forms.ChoiceField(label=_("Period"), required=False, choices=Period.choices)
    channel = forms.ChoiceField(label=_("Channel"), required=False)

    def __init__(self, *args: Any, channels: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["channel"].choices = [("", _("All channels")), *((each, each) for each in channels)]  # type: ignore[attr-defined]

    @property
    def chosen(self) -> Period:
        return Period(self.asked.get("period") or Period.DAYS_30)
