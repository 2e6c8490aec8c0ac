"""The form in which people type a name to confirm."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _


class TypedNameForm(forms.Form):
    """Asks for a name, typed to confirm; the caller compares it with ``name``."""

    typed_name = forms.CharField(max_length=255, strip=True)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["typed_name"].label = _("Type %(name)s to confirm") % {"name": name}
