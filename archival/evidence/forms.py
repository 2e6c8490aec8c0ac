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
            ("nothing", _("Nothing deleted")),
            ("failed", _("Failed")),
            ("paused", _("Paused")),
        ],
    )

    # The runs of a fold; a link of the ledger sets them, and the form has no controls for them.
    first = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    last = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    @property
    def is_folded(self) -> bool:
        """Whether the list shows neighbouring runs that deleted nothing as one row: nothing but days was chosen."""
        return not any(self.asked.get(name) for name in ("only", "first", "last"))

    @property
    def days(self) -> dict[str, str]:
        """The chosen days, as query parameters of the downloads."""
        return {name: f"{day:%Y-%m-%d}" for name in ("start", "end") if (day := self.asked.get(name))}


class PreviewLimitForm(forms.Form):
    days = forms.IntegerField(label=_("Limit to preview"), min_value=1, max_value=LONGEST_LIMIT_DAYS)
