"""The filter of the audit log."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.filters import PeriodFilterForm, SearchField

LARGEST_ID = 2**63 - 1
KINDS = {
    "settings": (_("Settings"), ["organisation", "mfa_requirement", "retention", "auto_invite", "domain"]),
    "members": (_("Members"), ["membership", "invitation", "access_request", "super_user"]),
    "keys": (_("API keys"), ["api_key"]),
    "log_ins": (_("Log-ins"), ["session", "sign_in", "code", "password"]),
    "accounts": (
        _("Accounts and second factors"),
        ["user", "email", "identity", "factor", "factors", "recovery_code", "recovery_codes"],
    ),
    "reading": (_("Reading and downloads"), ["conversation", "attachment", "audit_log", "receipts"]),
    "data": (_("Data and deletion"), ["conversations", "purge", "hold", "contact"]),
}


class AuditFilterForm(PeriodFilterForm):
    """The filter of events. ``kind`` is a kind of events, or, in a link, the name of a single action."""

    q = SearchField(label=_("Person, subject or value"))
    kind = forms.CharField(
        label=_("Kind"),
        required=False,
        max_length=80,
        widget=forms.Select(
            choices=[("", _("Every kind")), *((value, label) for value, (label, _nouns) in KINDS.items())]
        ),
    )
    scope = forms.ChoiceField(
        label=_("Where"), required=False, choices=[("", _("Here and below")), ("here", _("Only here"))]
    )
    person = forms.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, widget=forms.HiddenInput
    )  # the id of a user, in links
    field_order = ("q", "kind", "scope", "start", "end")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self["kind"].value()
        if kind and kind not in KINDS:  # else the page would say "Every kind", and the next search drop it
            self.fields["kind"].widget.choices += [(kind, kind)]
