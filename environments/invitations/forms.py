"""Forms of inviting and of accepting an invitation."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.fields import PasswordField
from accounts.names import validate_name
from accounts.passwords.validators import RULE
from environments.fields import RolesForm, UntilField
from web.fields import AddressField


class InviteForm(RolesForm):
    email = AddressField(label=_("E-mail"), widget=forms.EmailInput({"autocomplete": "off"}))
    until = UntilField()

    field_order = ["email", "roles", "until"]


class JoinForm(forms.Form):
    """A new person's name and password, on the page of a mailed invitation."""

    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    password = PasswordField(new=True, label=_("Password"), help_text=RULE)
