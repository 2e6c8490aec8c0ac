"""The filter of the page of usage, in its query string."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agencies.usage.choices import Measure, Period
from environments.filters import FilterForm


class UsageFilterForm(FilterForm):
    period = forms.ChoiceField(label=_("Period"), required=False, choices=Period.choices)
    channel = forms.ChoiceField(label=_("Channel"), required=False)
    show = forms.ChoiceField(label=_("Chart"), required=False, choices=Measure.choices)

    def __init__(self, *args: Any, channels: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["channel"].choices = [("", _("All channels")), *((each, each) for each in channels)]  # type: ignore[attr-defined]

    @property
    def chosen(self) -> Period:
        return Period(self.asked.get("period") or Period.DAYS_30)

    @property
    def title_of_chart(self) -> Promise:
        return self.measure.a_month if self.chosen.is_in_months else self.measure.a_day

    @property
    def measure(self) -> Measure:
        return Measure(self.asked.get("show") or Measure.CONVERSATIONS)
