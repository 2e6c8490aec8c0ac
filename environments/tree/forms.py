"""Forms to find, create and rename organisations."""

from collections.abc import Iterable
from typing import Any

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


class NewOrganisationForm(forms.Form):
    """A new organisation below the current one."""

    name = forms.CharField(label=_("Display name"), max_length=255, validators=[validate_name])
    kind = forms.ChoiceField(label=_("Kind"))
    slug = forms.CharField(
        label=_("Short name"),
        max_length=63,
        required=False,
        help_text=_("Public: part of the address. Leave empty to make it from the name."),
    )

    def __init__(self, *args: Any, kinds: Iterable[Kind], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind.value, kind.label) for kind in kinds]  # type: ignore[attr-defined]
