"""The form that confirms a pending change."""

from django import forms
from django.utils.translation import gettext_lazy as _


class ApplyForm(forms.Form):
    typed_name = forms.CharField(label=_("Type the name to confirm"), max_length=255, strip=True)
