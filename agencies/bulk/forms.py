"""The forms of a bulk change: what is to be set. They check the form of values, services check the rest."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agencies.bulk.wanted import Wanted
from environments.choices import Archival, MfaSetting
from environments.policies.forms import ArchivalForm, MfaForm
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention

LEAVE = ("", _("Leave as it is"))


class WantedMfaForm(MfaForm):
    """The own value of Require MFA for many environments, or none; locks stay as they are."""

    require_mfa = forms.ChoiceField(
        label=_("Own value"), choices=[LEAVE, *MfaSetting.choices], required=False, initial=""
    )
    require_mfa_locked = None  # type: ignore[assignment]  # environments have nothing below them


class WantedArchivalForm(ArchivalForm):
    """The own limit of many environments, or none; locks stay as they are."""

    archival = forms.ChoiceField(label=_("Own value"), choices=[LEAVE, *Archival.choices], required=False, initial="")
    archival_locked = None  # type: ignore[assignment]

    def clean(self) -> dict[str, Any]:
        """Refuse a date without a value."""
        cleaned = super().clean()
        if cleaned.get("archival") == "" and cleaned["starts_at"] is not None:
            self.add_error("archival", _("Choose a value for this date, or empty the date."))
        return cleaned


def wanted_of(mfa: WantedMfaForm, archival: WantedArchivalForm) -> Wanted | None:
    """Return what two valid forms ask for; None, with an error in the form, if one is not valid."""
    if not (mfa.is_valid() & archival.is_valid()):
        return None
    limit, rule = archival.cleaned_data, mfa.cleaned_data
    return Wanted(
        retention=Retention(limit["archival"], limit["archive_after_days"]) if limit["archival"] else None,
        retention_from=limit["starts_at"] if limit["archival"] else None,
        mfa=MfaRule(rule["require_mfa"]) if rule["require_mfa"] else None,
        mfa_from=rule["starts_at"],
    )
