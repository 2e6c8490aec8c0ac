"""Forms of logging in and stepping up."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.fields import CODE, MOST_TYPED, CodeField, CodeInput, PasswordField
from web.fields import AddressField, KnownAddressField


class LoginForm(forms.Form):
    email = KnownAddressField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username webauthn", "autofocus": True}),
    )
    password = PasswordField(label=_("Password"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.initial.get("email"):
            del self.fields["email"].widget.attrs["autofocus"]
            self.fields["password"].widget.attrs["autofocus"] = True


class OrganisationForm(forms.Form):
    email = AddressField(
        label=_("E-mail at your organisation"),
        widget=forms.EmailInput({"autocomplete": "email", "autofocus": True}),
    )


class CodeForm(forms.Form):
    code = CodeField(label=_("6-digit code"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class RecoveryForm(forms.Form):
    code = CodeField(
        label=_("Recovery code"),
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True, "spellcheck": "false"}),
    )


class MailboxStepUpForm(forms.Form):
    password = PasswordField(label=_("Password"), autofocus=True)
    mailcode = CodeField(
        label=_("Code from the e-mail"),
        max_length=MOST_TYPED,
        widget=CodeInput(attrs={**CODE, "autofocus": False}),
    )
    field_order = ["password", "mailcode"]
