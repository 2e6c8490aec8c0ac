"""Forms of the pages of members."""

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import Role
from environments.fields import UntilField
from environments.filters import FilterForm, SearchField


class MemberFilterForm(FilterForm):
    q = SearchField(label=_("Name or e-mail"))
    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("Every role")), *Role.choices])
    mfa = forms.ChoiceField(
        label=_("MFA state"), required=False, choices=[("", _("Any MFA state")), ("without", _("Without a factor"))]
    )


class EndForm(forms.Form):
    """When a membership ends."""

    until = UntilField()
