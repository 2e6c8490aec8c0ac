"""Forms that create keys."""

from datetime import datetime, timedelta

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.fields import RolesForm

KEY_LIFETIMES = [("30", _("in 30 days")), ("90", _("in 90 days")), ("365", _("in 1 year")), ("0", _("never"))]


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        help_text=_("What uses the key."),
        max_length=255,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    lasts = forms.ChoiceField(label=_("Expires"), choices=KEY_LIFETIMES, initial="365")

    def expires_at(self, now: datetime) -> datetime | None:
        """Return when the key expires, by a valid form; None: never."""
        days = int(self.cleaned_data["lasts"])
        return now + timedelta(days=days) if days else None


class OrganisationKeyForm(RolesForm, ApiKeyForm):
    field_order = ["name", "roles", "lasts"]
