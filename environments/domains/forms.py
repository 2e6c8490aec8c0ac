"""The form of the auto-invite roles."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from environments.fields import RolesForm


class AutoInviteForm(RolesForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["roles"]
        field.required = False
        field.label = _("Auto-invite role(s)")
        field.help_text = _("Given to people who join by a verified domain. Without roles, nobody can join that way.")
