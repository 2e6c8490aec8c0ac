"""The form that confirms the deletion of an organisation."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class DeletionForm(forms.Form):
    """The name of what is to be deleted, typed exactly."""

    typed_name = forms.CharField(label=_("Type the name to confirm"), max_length=255, strip=True)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_typed_name(self) -> str:
        typed: str = self.cleaned_data["typed_name"]
        if typed != self.name.strip():
            raise forms.ValidationError(_("Type the name exactly as it is shown."), code="wrong_name")
        return typed
