"""The form to choose where an organisation is moved."""

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext_lazy as _

from environments.access import reach
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation


class MoveForm(forms.Form):
    """``place`` is the organisation with the typed short name, once the form is valid."""

    place: Organisation
    to = forms.CharField(
        label=_("Short name of the new organisation above"),
        max_length=63,
        widget=forms.TextInput({"list": "places", "autocomplete": "off"}),
    )

    def __init__(self, *args: object, caller: Caller, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.caller = caller

    def clean_to(self) -> str:
        slug: str = self.cleaned_data["to"].strip()
        try:
            self.place = reach(self.caller, slug, requires=Permission.CREATE).organisation
        except (Http404, PermissionDenied):
            message = _("There is no organisation with this short name in which you can create organisations.")
            raise forms.ValidationError(message) from None
        return slug
