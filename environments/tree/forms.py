"""Forms to find and rename organisations."""

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.choices import Kind
from environments.filters import FilterForm, SearchField


class OrganisationFilterForm(FilterForm):
    q = SearchField(label=_("Name or short name"))
    kind = forms.ChoiceField(
        label=_("Kind"),
        required=False,
        choices=[("", _("Every kind")), *((kind.value, capfirst(kind.label)) for kind in Kind)],
    )


class FindOrganisationForm(FilterForm):
    q = SearchField(label=_("Find an organisation"))


class NameForm(forms.Form):
    name = forms.CharField(
        label=_("Display name"), max_length=255, help_text=_("Shown in the switcher."), validators=[validate_name]
    )


class SlugForm(forms.Form):
    slug = forms.CharField(
        label=_("Short name"), max_length=63, help_text=_("Part of the address: a-z, 0-9 and single hyphens.")
    )
