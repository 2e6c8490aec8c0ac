"""What the query string of a list may ask; whatever does not parse filters nothing."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import Kind


class FilterForm(forms.Form):
    """A form in the query string. ``asked`` holds what counts, whether or not the whole form is valid."""

    @property
    def asked(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    @property
    def is_used(self) -> bool:
        return any(self.asked.values())


class AuditFilterForm(FilterForm):
    q = forms.CharField(required=False, max_length=200)
    kind = forms.CharField(required=False, max_length=80)
    scope = forms.ChoiceField(required=False, choices=[("here", _("Only here"))])
    start = forms.DateField(required=False)
    end = forms.DateField(required=False)


class OrganisationFilterForm(FilterForm):
    q = forms.CharField(required=False, max_length=200)
    kind = forms.ChoiceField(required=False, choices=Kind.choices)
