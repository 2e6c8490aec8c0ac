"""The form of a list of people to invite."""

from django import forms
from django.utils.translation import gettext_lazy as _


class ListForm(forms.Form):
    lines = forms.CharField(
        label=_("People to invite"),
        help_text=_(
            "One person a line: e-mail address, roles, and the last day of the membership if it ends. For example:"
            " nina@example.com,member+developer,2027-03-05. At most 500 lines."
        ),
        max_length=100_000,
        widget=forms.Textarea({"rows": 10, "spellcheck": "false"}),
        strip=False,
    )
