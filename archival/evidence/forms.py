"""The forms that filter the ledger, and that choose a limit for the chart of data by age."""

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS
from environments.filters import PeriodFilterForm


class LedgerFilterForm(PeriodFilterForm):
    only = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[
            ("", _("All states")),
            ("rows", _("With deletions")),
            ("failed", _("Failed")),
            ("paused", _("Paused")),
        ],
    )

    @property
    def days(self) -> dict[str, str]:
        """The chosen days, as query parameters of the downloads."""
        return {name: f"{day:%Y-%m-%d}" for name in ("start", "end") if (day := self.asked.get(name))}


class PreviewLimitForm(forms.Form):
    days = forms.IntegerField(label=_("Limit to preview"), min_value=1, max_value=LONGEST_LIMIT_DAYS)
