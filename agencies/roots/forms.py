"""The forms to find and create organisations at the top."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.choices import ROOT_KINDS, Kind
from environments.filters import FilterForm, SearchField


class FindRootForm(FilterForm):
    q = SearchField(label=_("Name or short name"))


class NewRootForm(forms.Form):
    name = forms.CharField(label=_("Display name"), max_length=255, validators=[validate_name])
    kind = forms.ChoiceField(
        label=_("Kind"), choices=[(kind.value, kind.label) for kind in Kind if kind in ROOT_KINDS], initial=Kind.AGENCY
    )
    slug = forms.CharField(
        label=_("Short name"),
        max_length=63,
        required=False,
        help_text=_("Public: part of the address. Leave empty to make it from the name."),
    )
