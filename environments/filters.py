"""What the query string of a list may ask; whatever does not parse filters nothing."""

from datetime import date
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from environments.choices import Kind

SANE_DATES = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))]  # a day more is no overflow


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
    start = forms.DateField(required=False, validators=SANE_DATES)
    end = forms.DateField(required=False, validators=SANE_DATES)


class OrganisationFilterForm(FilterForm):
    q = forms.CharField(required=False, max_length=200)
    kind = forms.ChoiceField(required=False, choices=Kind.choices)
