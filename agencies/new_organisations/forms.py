"""Forms of new organisations: of one, and of a list."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from agencies.models import OrganisationTemplate
from environments.choices import Kind


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
    template = forms.TypedChoiceField(
        label=_("Template"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=_("What it starts with. Changing the template later changes nothing here."),
    )

    def __init__(
        self, *args: Any, kinds: Iterable[Kind], templates: Iterable[OrganisationTemplate] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind.value, kind.label) for kind in kinds]  # type: ignore[attr-defined]  # of a choice
        self.templates = {template.pk: template for template in templates}
        names = [(pk, f"{template.name} ({template.organisation.name})") for pk, template in self.templates.items()]
        self.fields["template"].choices = [("", _("None")), *names]  # type: ignore[attr-defined]  # of a choice
        if not names:
            self.fields["template"].widget = forms.HiddenInput()  # one that was deleted meanwhile is refused

    def clean_template(self) -> OrganisationTemplate | None:
        return self.templates.get(self.cleaned_data["template"])


class ListForm(forms.Form):
    lines = forms.CharField(
        label=_("Organisations to create"),
        help_text=_(
            "One organisation a line: kind, name, short name, the short name of the organisation above, and the name"
            " of a template. For example: customer,Bakker,bakker and environment,Bakker shop,,bakker. At most 1,000"
            " lines, 100 of them with a template."
        ),
        max_length=150_000,
        widget=forms.Textarea({"rows": 10, "spellcheck": "false"}),
        strip=False,
    )
