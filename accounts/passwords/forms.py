"""Forms of setting and resetting a password."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.fields import PasswordField
from accounts.passwords.validators import RULE
from web.fields import KnownAddressField


class ResetForm(forms.Form):
    email = KnownAddressField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class NewPasswordForm(forms.Form):
    password = PasswordField(new=True, label=_("New password"), help_text=RULE, autofocus=True)
    again = PasswordField(new=True, label=_("New password again"))

    def clean(self) -> dict[str, str]:
        typed: dict[str, str] = super().clean() or {}
        if "password" in typed and "again" in typed and typed["password"] != typed["again"]:
            self.add_error("again", _("The two passwords differ."))
        return typed
