"""The form for a link to join."""

from django import forms
from django.utils.translation import gettext_lazy as _

from web.fields import AddressField


class JoinByMailForm(forms.Form):
    email = AddressField(
        label=_("E-mail at your organisation"),
        widget=forms.EmailInput({"autocomplete": "email", "autofocus": True}),
    )
