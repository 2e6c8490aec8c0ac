"""The form of a template; it checks the form of values, the services check the rest."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from agencies.organisation_templates.values import TemplateValues
from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting, Role
from environments.domains.forms import AutoInviteForm
from environments.invitation_lists.lines import read_lines
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention


class TemplateForm(AutoInviteForm):
    """``values`` are what a valid form asks for."""

    values: TemplateValues
    name = forms.CharField(label=_("Name"), max_length=100, validators=[validate_name])
    archival = forms.ChoiceField(
        label=_("Customize conversation archival"),
        choices=Archival.choices,
        widget=forms.RadioSelect,
        help_text=_("With a limit, older conversations are permanently deleted."),
    )
    archive_after_days = forms.IntegerField(
        label=_("Number of days"),
        required=False,
        min_value=1,
        max_value=LONGEST_LIMIT_DAYS,
        help_text=_("For a limit."),
    )
    archival_locked = forms.BooleanField(
        label=_("Lock: nothing below can keep data longer. Only a limit can be locked."), required=False
    )
    require_mfa = forms.ChoiceField(
        label=_("Require Multi-factor authentication"), choices=MfaSetting.choices, widget=forms.RadioSelect
    )
    require_mfa_locked = forms.BooleanField(
        label=_("Lock: nothing below can turn it off. Only On can be locked."), required=False
    )
    members = forms.CharField(
        label=_("People who get roles"),
        required=False,
        max_length=10_000,
        strip=False,
        widget=forms.Textarea({"rows": 4, "spellcheck": "false"}),
        help_text=_(
            "One person a line, who is a member here or below already: e-mail address, roles. For example:"
            " nina@example.com,member+developer."
        ),
    )
    field_order = (
        *("name", "archival", "archive_after_days", "archival_locked", "require_mfa", "require_mfa_locked"),
        *("roles", "members"),
    )

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, roles=roles, **kwargs)
        self.fields["archive_after_days"].widget.attrs["inputmode"] = "numeric"

    def clean_members(self) -> dict[str, list[str]]:
        """Return the roles of each person by address."""
        text = self.cleaned_data["members"]
        lines = read_lines(text) if text.strip() else []
        for line in lines:
            if line.why_not:
                raise ValidationError(f"{line.number}: {line.why_not}")
            if line.until is not None:
                raise ValidationError(_("Roles by a template have no end date."))
        return {line.typed: line.roles for line in lines}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.values = TemplateValues(
                cleaned["name"],
                Retention(cleaned["archival"], cleaned["archive_after_days"], cleaned["archival_locked"]),
                MfaRule(cleaned["require_mfa"], cleaned["require_mfa_locked"]),
                cleaned["roles"],
                cleaned["members"],
            )
        except ValidationError as error:
            self.add_error(None, error)
        return cleaned


def initial_of(values: TemplateValues) -> dict[str, Any]:
    """Return the values as the fields of the form."""
    return {
        "name": values.name,
        "archival": values.retention.archival,
        "archive_after_days": values.retention.days,
        "archival_locked": values.retention.locked,
        "require_mfa": values.mfa.value,
        "require_mfa_locked": values.mfa.locked,
        "roles": values.auto_invite_roles,
        "members": "\n".join(f"{email},{'+'.join(roles)}" for email, roles in values.members.items()),
    }
