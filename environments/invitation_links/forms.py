"""Forms of making an invitation link, and of the page that it opens."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.fields import RolesForm, UntilField
from web.fields import AddressField


class LinkForm(RolesForm):
    note = forms.CharField(
        label=_("For whom"),
        help_text=_("A note for the list of links. Whoever opens the link does not see it."),
        max_length=100,
        required=False,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    until = UntilField()

    field_order = ["note", "roles", "until"]


class MailboxForm(forms.Form):
    email = AddressField(
        label=_("Your e-mail address"),
        widget=forms.EmailInput({"autocomplete": "email", "autofocus": True}),
    )
