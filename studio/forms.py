"""Forms of the advanced settings; they check the shape, the services check the rest."""

from datetime import datetime
from typing import Any

from django import forms
from django.forms.utils import from_current_timezone
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting


class MfaForm(forms.Form):
    require_mfa = forms.ChoiceField(label=_("Own value"), choices=MfaSetting.choices)
    require_mfa_locked = forms.BooleanField(label=_("Lock"), required=False)
    require_mfa_date = forms.DateField(label=_("Date"), required=False, input_formats=["%Y-%m-%d"])
    require_mfa_time = forms.TimeField(label=_("Time"), required=False, input_formats=["%H:%M", "%H:%M:%S"])

    def clean(self) -> dict[str, Any]:
        """Add ``starts_at``: the instant from which On holds, read in the user's time zone; None: now.

        A date beside another choice than On is dropped: browsers send it too.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        cleaned["starts_at"] = None
        if cleaned.get("require_mfa") != MfaSetting.ON:
            for name in ("require_mfa_date", "require_mfa_time"):
                self.errors.pop(name, None)
            return cleaned
        date, time = cleaned.get("require_mfa_date"), cleaned.get("require_mfa_time")
        if date and time:
            try:
                cleaned["starts_at"] = from_current_timezone(datetime.combine(date, time))
            except forms.ValidationError as error:  # an hour that the clock leaves out, or has twice
                self.add_error("require_mfa_time", error)
        elif (date or time) and not self.errors:
            missing = "require_mfa_time" if date else "require_mfa_date"
            self.add_error(missing, _("Give a date and a time, or neither for now."))
        return cleaned


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
