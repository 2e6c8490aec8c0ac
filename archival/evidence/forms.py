"""Forms of the ledger and of the chart of data by age."""

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS
from environments.filters import PeriodFilterForm


class LedgerFilterForm(PeriodFilterForm):
    only = forms.ChoiceField(
        required=False,
        choices=[("rows", _("That deleted something")), ("failed", _("Failed")), ("paused", _("Paused"))],
    )

    @property
    def days(self) -> dict[str, str]:
        """Return the days alone, as the downloads take them."""
        return {name: f"{day:%Y-%m-%d}" for name in ("start", "end") if (day := self.asked.get(name))}


class CutForm(forms.Form):
    days = forms.IntegerField(label=_("Days"), min_value=1, max_value=LONGEST_LIMIT_DAYS, required=False)
