"""The filter and the order of the list of users, in its query string."""

from django import forms
from django.utils.translation import gettext_lazy as _

from agencies.users.choices import Factor, LogIn, Order
from environments.choices import Role
from environments.filters import FilterForm, SearchField


class UserFilterForm(FilterForm):
    q = SearchField(label=_("Name or e-mail"))
    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("Every role")), *Role.choices])
    by = forms.ChoiceField(label=_("Logs in with"), required=False, choices=[("", _("Any")), *LogIn.choices])
    mfa = forms.ChoiceField(label=_("MFA state"), required=False, choices=[("", _("Any MFA state")), *Factor.choices])
    sort = forms.ChoiceField(label=_("Order"), required=False, choices=[("", _("By e-mail")), *Order.choices])

    @property
    def narrows(self) -> bool:
        """Whether some people are left out."""
        return any(value for name, value in self.asked.items() if name != "sort")
