"""Forms of setting up and naming a factor."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.fields import CODE, MOST_TYPED, CodeField, CodeInput
from accounts.names import validate_name


class MailboxForm(forms.Form):
    mailcode = CodeField(label=_("Code from the e-mail"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class AppForm(forms.Form):
    name = forms.CharField(
        label=_("Name of this device"),
        max_length=64,
        initial=_("My phone"),
        help_text=_("To tell your devices apart."),
        validators=[validate_name],
    )
    appcode = CodeField(label=_("Code that the app shows"), max_length=MOST_TYPED, widget=CodeInput(attrs=CODE))


class SavedCodesForm(forms.Form):
    kept = forms.BooleanField(label=_("I have saved these codes in a safe place"))


class NameForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=64, validators=[validate_name])
