"""The form that confirms a reset of second factors."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from web.addresses import key_of, readable


class ResetFactorsForm(forms.Form):
    """The member's e-mail address, typed as a confirmation."""

    email = forms.CharField(
        label=_("Type the e-mail address to confirm"), max_length=254, widget=forms.TextInput({"autocomplete": "off"})
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = email
        self.fields["email"].help_text = readable(email)

    def clean_email(self) -> str:
        typed = key_of(self.cleaned_data["email"])
        if typed != key_of(self.expected):
            raise forms.ValidationError(_("This is not the address of the member. Type it as shown below."))
        return typed
