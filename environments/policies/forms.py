"""Forms of the two settings; they check the form of values, services check everything else."""

from datetime import datetime
from typing import Any

from django import forms
from django.forms.utils import from_current_timezone
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting
from environments.filters import start_of


def read_start(form: forms.Form, name: str) -> datetime | None:
    """Return the instant of the fields ``<name>_date`` and ``<name>_time``, in the user's time zone; None: now.

    A date without a time starts with its day. Adds an error to the form for a time without a date, and for one that a
    change of the clock skips or repeats.
    """
    if f"{name}_date" in form.errors or f"{name}_time" in form.errors:
        return None
    date, time = form.cleaned_data[f"{name}_date"], form.cleaned_data[f"{name}_time"]
    if date and time is None:
        return start_of(date)
    if date:
        try:
            return from_current_timezone(datetime.combine(date, time))
        except forms.ValidationError as error:
            form.add_error(f"{name}_time", error)
    elif time is not None:
        form.add_error(f"{name}_date", _("Give a date too, or empty the time."))
    return None


def refuse_typed(form: forms.Form, name: str, *, choice: object, chosen: object) -> None:
    """Add an error to a field that goes with a choice, if something was typed into it and another is chosen.

    What the page showed in the field is not typed: browsers send that back with every choice.
    """
    bound = form[name]
    typed = str(bound.data or "").strip()
    form.errors.pop(name, None)
    if typed not in ("", str(bound.initial or "")):
        message = _(
            "“%(typed)s” goes with %(choice)s, but %(chosen)s is chosen. Choose %(choice)s, or empty this field."
        )
        form.add_error(name, message % {"typed": typed, "choice": choice, "chosen": chosen})


def date_field() -> forms.DateField:
    return forms.DateField(
        label=_("Date"), required=False, input_formats=["%Y-%m-%d"], widget=forms.TextInput({"type": "date"})
    )


def time_field() -> forms.TimeField:
    return forms.TimeField(
        label=_("Time"), required=False, input_formats=["%H:%M", "%H:%M:%S"], widget=forms.TextInput({"type": "time"})
    )


class SettingForm(forms.Form):
    def add_refusal(self, error: forms.ValidationError) -> None:
        """Add what a service refused, beside the fields that it names; its ``…_from`` is a date and a time here."""
        for name, errors in getattr(error, "error_dict", {None: error}).items():
            self.add_error(name and name.replace("_from", "_date"), errors)

    def label_of(self, name: str, chosen: str) -> str:
        """Return the label of a choice of the field."""
        return str(dict(self.fields[name].choices)[chosen])  # type: ignore[attr-defined]


class MfaForm(SettingForm):
    require_mfa = forms.ChoiceField(label=_("Own value"), choices=MfaSetting.choices)
    require_mfa_locked = forms.BooleanField(
        label=_("Lock: nothing below can turn it off. Only On can be locked."), required=False
    )
    require_mfa_date = date_field()
    require_mfa_time = time_field()

    def clean(self) -> dict[str, Any]:
        """Add ``starts_at``: when On takes effect; None: now.

        A date typed with another choice is an error; one that the page showed is dropped there, as browsers send it.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        cleaned["starts_at"] = None
        chosen = cleaned.get("require_mfa")
        if chosen == MfaSetting.ON:
            cleaned["starts_at"] = read_start(self, "require_mfa")
        elif chosen is not None:
            for name in ("require_mfa_date", "require_mfa_time"):
                refuse_typed(self, name, choice=MfaSetting.ON.label, chosen=self.label_of("require_mfa", chosen))
        return cleaned


class ArchivalForm(SettingForm):
    archival = forms.ChoiceField(label=_("Own value"), choices=Archival.choices)
    archive_after_days = forms.IntegerField(
        label=_("Number of days"), required=False, min_value=1, max_value=LONGEST_LIMIT_DAYS
    )
    archival_locked = forms.BooleanField(
        label=_("Lock: nothing below can keep data longer. Only a limit can be locked."), required=False
    )
    archival_date = date_field()
    archival_time = time_field()

    def clean(self) -> dict[str, Any]:
        """Add ``starts_at``: when the value takes effect; None: now.

        Days typed with another choice than a limit are an error; those that the page showed are dropped there, as
        browsers send them.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        if (chosen := cleaned.get("archival")) != Archival.LIMIT:
            cleaned["archive_after_days"] = None
            if chosen is not None:
                chosen_label = self.label_of("archival", chosen)
                refuse_typed(self, "archive_after_days", choice=Archival.LIMIT.label, chosen=chosen_label)
        elif not cleaned.get("archive_after_days") and "archive_after_days" not in self.errors:
            message = _("Give a whole number of days, 1 to %(most)s.") % {"most": LONGEST_LIMIT_DAYS}
            self.add_error("archive_after_days", message)
        cleaned["starts_at"] = read_start(self, "archival")
        return cleaned
