"""Forms of requesting access, and of answering a request."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.choices import Role
from environments.fields import RolesForm, UntilField


class AccessRequestForm(forms.Form):
    """A request for access, on the 404 page."""

    message = forms.CharField(label=_("Why do you need access?"), required=False, max_length=500, widget=forms.Textarea)


class AnswerForm(RolesForm):
    """The answer to an access request; roles are used only if it is accepted, and without any they become Member."""

    until = UntilField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].required = False
        self.fields["roles"].help_text = _("If you choose none, they get the role Member.")

    def clean_roles(self) -> list[str]:
        return self.cleaned_data["roles"] or [Role.MEMBER]
