"""The form in which people type a name to confirm."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _


class TypedNameForm(forms.Form):
    """Asks for a name, typed to confirm what deletes data for good."""

    typed_name = forms.CharField(max_length=255, strip=True)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["typed_name"].label = _("Type %(name)s to confirm") % {"name": name}

    def clean_typed_name(self) -> str:
        """Return the name itself if it was typed as a page shows it, where any white space is one space."""
        if self.cleaned_data["typed_name"].split() != self.name.split():
            raise forms.ValidationError(_("Type the name exactly as it is shown."), code="wrong_name")
        return self.name
