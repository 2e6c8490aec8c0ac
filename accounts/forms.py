"""What people type in to come in, and about themselves."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.factors import without_separators
from accounts.names import validate_name
from accounts.validators import RULE
from web.fields import AddressField, KnownAddressField

MOST_TYPED = 20  # six digits, and what people and password managers put around and between them
CODE = {
    "class": "input--code",
    "inputmode": "numeric",
    "autocomplete": "one-time-code",
    "autofocus": True,
}


class CodeInput(forms.TextInput):
    """Six digits that are never shown again: a code that was refused is of no more use to anybody."""

    def format_value(self, value: object) -> None:
        return None


class CodeField(forms.CharField):
    """A code as people type or paste it: its spaces and dashes are gone before anything looks at it."""

    def to_python(self, value: object) -> str:
        return without_separators(super().to_python(value))


class LoginForm(forms.Form):
    email = KnownAddressField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username webauthn", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class CodeForm(forms.Form):
    code = CodeField(label=_("6-digit code"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class RecoveryForm(forms.Form):
    code = CodeField(
        label=_("Recovery code"),
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True, "spellcheck": "false"}),
    )


class MailboxForm(forms.Form):
    mailcode = CodeField(label=_("Code from the e-mail"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class AppForm(forms.Form):
    name = forms.CharField(
        label=_("Name of this device"),
        max_length=64,
        initial=_("My phone"),
        help_text=_("So that you tell it apart."),
        validators=[validate_name],
    )
    appcode = CodeField(label=_("Code that the app shows"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class MailboxStepUpForm(forms.Form):
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    mailcode = CodeField(
        label=_("Code from the e-mail"),
        max_length=MOST_TYPED,
        widget=CodeInput(attrs={**CODE, "autofocus": False}),
    )
    field_order = ["password", "mailcode"]


class ResetForm(forms.Form):
    email = KnownAddressField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class NewPasswordForm(forms.Form):
    password = forms.CharField(
        label=_("New password"),
        strip=False,
        max_length=1024,
        help_text=RULE,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
    )
    again = forms.CharField(
        label=_("New password again"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, str]:
        typed: dict[str, str] = super().clean() or {}
        if "password" in typed and "again" in typed and typed["password"] != typed["again"]:
            self.add_error("again", _("The two passwords differ."))
        return typed


class NameForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=64, validators=[validate_name])


class ProfileForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        required=False,
        validators=[validate_name],
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    language = forms.ChoiceField(
        label=_("Language"), required=False, help_text=_("Of pages and of mails. Mails have no browser to ask.")
    )
    time_zone = forms.ChoiceField(label=_("Time zone"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        languages = [("", _("As the browser asks")), *settings.LANGUAGES]
        zones = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
        self.fields["language"].choices = languages  # type: ignore[attr-defined]
        self.fields["time_zone"].choices = [(zone, zone.replace("_", " ")) for zone in zones]  # type: ignore[attr-defined]


class EmailForm(forms.Form):
    email = AddressField(
        label=_("New e-mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )
