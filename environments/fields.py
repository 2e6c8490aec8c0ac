"""The form with roles that several subjects extend."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import Role
from environments.filters import LastDayField


class RoleCheckboxes(forms.CheckboxSelectMultiple):
    """A checkbox for each role; the tag ``field`` shows below it what the role allows, its option's ``explanation``."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["explanation"] = Role(value).allows
        option["attrs"]["aria-describedby"] = f"{option['attrs']['id']}_explanation"
        return option


class RolesForm(forms.Form):
    """A choice of roles, out of those that the viewer can give."""

    roles = forms.MultipleChoiceField(label=_("Roles"), widget=RoleCheckboxes)

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]


class UntilField(LastDayField):
    """The last day of a membership, or nothing for one without an end."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Last day"),
            required=False,
            help_text=_(
                "The membership ends at the end of this day in your time zone. Leave it empty for no end date."
            ),
        )
