"""Forms of the advanced settings; they check the shape, the services check the rest."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting


class MfaForm(forms.Form):
    require_mfa = forms.ChoiceField(label=_("Own value"), choices=MfaSetting.choices)
    require_mfa_locked = forms.BooleanField(label=_("Lock"), required=False)


class ArchivalForm(forms.Form):
    archival = forms.ChoiceField(label=_("Own value"), choices=Archival.choices)
    archive_after_days = forms.IntegerField(
        label=_("Number of days"), required=False, min_value=1, max_value=LONGEST_LIMIT_DAYS
    )
    archival_locked = forms.BooleanField(label=_("Lock"), required=False)

    def clean(self) -> dict[str, Any]:
        """Drop the days of another choice: browsers send a field beside an unchosen radio too."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("archival") != Archival.LIMIT:
            cleaned["archive_after_days"] = None
            self.errors.pop("archive_after_days", None)
        elif not cleaned.get("archive_after_days") and "archive_after_days" not in self.errors:
            message = _("Give a whole number of days, 1 to %(most)s.") % {"most": LONGEST_LIMIT_DAYS}
            self.add_error("archive_after_days", message)
        return cleaned
