"""Forms of inviting and of accepting an invitation."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.fields import RolesForm
from web.fields import AddressField


class InviteForm(RolesForm):
    email = AddressField(label=_("E-mail"), widget=forms.EmailInput({"autocomplete": "off"}))

    field_order = ["email", "roles"]


class JoinForm(forms.Form):
    """A new person's name and password, on the page of a mailed invitation."""

    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1024,
        strip=False,
        help_text=_("At least 8 characters, with an upper-case letter, a lower-case letter and a digit."),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
