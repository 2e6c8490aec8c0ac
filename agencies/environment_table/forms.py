"""The filter and the order of the table of environments, in its query string."""

from collections.abc import Collection
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agencies.environment_table.choices import Age, Limit, Order, Seek
from environments.choices import Archival, MfaSetting, Permission
from environments.filters import FilterForm, SearchField

IN_EFFECT, OWN = _("In effect"), _("Own value")
MOST_CUSTOMERS = 50  # whose names are looked for


class EnvironmentFilterForm(FilterForm):
    """What to show and in which order; offers only what a viewer with these permissions can see."""

    q = SearchField(label=_("Environment or customer"))
    customers = forms.CharField(
        label=_("Customers"),
        required=False,
        max_length=500,
        widget=forms.TextInput({"placeholder": _("Several with commas")}),
    )
    show = forms.ChoiceField(label=_("Show"), required=False)
    mfa = forms.ChoiceField(
        label=_("MFA"),
        required=False,
        choices=[
            ("", _("Any")),
            (IN_EFFECT, [("required", _("Required")), ("not-required", _("Off"))]),
            (OWN, MfaSetting.choices),
        ],
    )
    archival = forms.ChoiceField(
        label=_("Archival"),
        required=False,
        choices=[("", _("Any")), (IN_EFFECT, Limit.choices), (OWN, Archival.choices)],
    )
    oldest = forms.ChoiceField(label=_("Oldest data"), required=False, choices=[("", _("Any")), *Age.choices])
    sort = forms.ChoiceField(label=_("Order"), required=False)

    def __init__(self, *args: Any, permissions: Collection[Permission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seen = [(each.value, each.label) for each in Seek if each.needs in permissions]
        orders = [(each.value, each.label) for each in Order if each.needs in permissions]
        self.fields["show"].choices = [("", _("All")), *seen]  # type: ignore[attr-defined]  # of a choice
        self.fields["sort"].choices = [("", _("As a tree")), *orders]  # type: ignore[attr-defined]  # of a choice

        if Permission.READ_AUDIT_LOG not in permissions:
            del self.fields["oldest"]

    def clean_customers(self) -> list[str]:
        """Return names of customers, or parts of names, or short names."""
        names = (each.strip() for each in self.cleaned_data["customers"].split(","))
        return [name for name in names if name][:MOST_CUSTOMERS]

    @property
    def narrows(self) -> bool:
        """Whether some environments are left out."""
        return any(value for name, value in self.asked.items() if name != "sort")

    @property
    def is_tree(self) -> bool:
        """Whether customers head their environments."""
        return not self.asked.get("sort")

    @property
    def sorts(self) -> bool:
        """Whether the order is another one than that of the tree."""
        return self.asked.get("sort") not in ("", None, Order.FLAT)
