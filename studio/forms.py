"""Forms of the pages of this room, and the message that nothing was changed."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from environments.filters import FilterForm, SearchField
from environments.policies.forms import ArchivalForm


def nothing_changed(starts_at: datetime | None) -> str:
    """Return the message after saving the value that is set already; a date beside it has no effect."""
    if starts_at is None:
        return gettext("Nothing was changed.")
    return gettext("Nothing was changed: this value is set here already, so a date has no effect.")


class FindEnvironmentForm(FilterForm):
    q = SearchField(label=_("Environment, organisation, person or id"))


class ConfirmedArchivalForm(ArchivalForm):
    """The setting on its own page, which asks for a name where a change deletes data without a wait."""

    typed_name = forms.CharField(max_length=255, required=False)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["typed_name"].label = gettext("Type %(name)s to confirm") % {"name": name}
        if not self.is_bound:
            del self.fields["typed_name"]  # it is asked for beside what would be deleted, and never before

    def ask_for_name(self) -> None:
        """Show ``typed_name`` as required."""
        self.fields["typed_name"].required = True
