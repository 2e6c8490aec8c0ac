"""Check what people ask of retention; nothing is written here."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from conversations.models import Contact, Conversation
from environments.choices import LONGEST_LIMIT_DAYS
from environments.filters import PeriodFilterForm, start_of
from environments.models import Organisation


class HoldForm(forms.Form):
    """A hold on the environment, or on the contact or conversation with the id that was given."""

    covers = forms.ChoiceField(
        label=_("What it covers"),
        choices=[
            ("environment", _("The whole environment")),
            ("contact", _("One contact and all its conversations")),
            ("conversation", _("One conversation")),
        ],
    )
    external_id = forms.CharField(label=_("Id of the contact or conversation"), max_length=255, required=False)
    reason = forms.CharField(label=_("Reason"), max_length=500)
    until = forms.DateField(
        label=_("Until and including"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )

    def __init__(self, *args: Any, environment: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.environment = environment

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        found: dict[str, Any] = {"contact": None, "conversation": None}
        models = {"contact": Contact, "conversation": Conversation}
        if (kind := values.get("covers")) in models:
            manager: Any = models[kind]._default_manager
            found[kind] = manager.filter(
                environment=self.environment, external_id=values.get("external_id", "")
            ).first()
            if found[kind] is None:
                self.add_error("external_id", _("There is nothing with this id here."))
        return values | found | {"until": self.end_of(values.get("until"))}

    def end_of(self, day: date | None) -> datetime | None:
        """Return the end of the day in the user's time zone; one at the edge of the calendar has none."""
        if day is None:
            return None
        try:
            return start_of(day + timedelta(days=1)).astimezone(UTC)
        except OverflowError:
            self.add_error("until", _("Choose an earlier day, or none."))
            return None


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


class ApplyForm(forms.Form):
    typed_name = forms.CharField(label=_("Type the name to confirm"), max_length=255, strip=True)


class DeletionForm(forms.Form):
    """The name of what is to be deleted, typed exactly."""

    typed_name = forms.CharField(label=_("Type the name to confirm"), max_length=255, strip=True)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_typed_name(self) -> str:
        typed: str = self.cleaned_data["typed_name"]
        if typed != self.name.strip():
            raise forms.ValidationError(_("Type the name exactly as it is shown."), code="wrong_name")
        return typed
