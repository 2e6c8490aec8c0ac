"""The form that confirms the deletion of an organisation."""

from django import forms
from django.utils.translation import gettext as _

from archival.policy.forms import TypedNameForm


class DeletionForm(TypedNameForm):
    """Asks for the exact name of the organisation to delete."""

    def clean_typed_name(self) -> str:
        typed: str = self.cleaned_data["typed_name"]
        if typed != self.name.strip():
            raise forms.ValidationError(_("Type the name exactly as it is shown."), code="wrong_name")
        return typed
