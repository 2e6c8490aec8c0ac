"""The forms of a new domain and of the auto-invite roles."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.fields import RolesForm


class NewDomainForm(forms.Form):
    domain = forms.CharField(
        label=_("Domain"), max_length=253, widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"})
    )


class AutoInviteForm(RolesForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["roles"]
        field.required = False
        field.label = _("Auto-invite role(s)")
        field.help_text = _("Given to people who join by a verified domain. Without roles, nobody can join that way.")
