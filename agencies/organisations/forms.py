"""The form to choose where an organisation is moved."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext_lazy as _

from environments.access import reach
from environments.caller import Caller
from environments.choices import ROOT_KINDS, Permission
from environments.models import Organisation


class MoveForm(forms.Form):
    """``place`` is the organisation with the typed short name, once the form is valid; None is the root."""

    place: Organisation | None
    to = forms.CharField(
        label=_("Short name of the new organisation above"),
        max_length=63,
        widget=forms.TextInput({"list": "places", "autocomplete": "off"}),
        required=False,
    )
    to_root = forms.BooleanField(label=_("To the top of the tree, below no other organisation"), required=False)

    def __init__(self, *args: object, caller: Caller, kind: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.caller = caller
        if not caller.is_superuser or kind not in ROOT_KINDS:
            del self.fields["to_root"]
            self.fields["to"].required = True

    def clean(self) -> dict[str, Any]:
        """Set ``place``; only one of both can be chosen."""
        cleaned: dict[str, Any] = super().clean() or {}
        slug, to_root = cleaned.get("to", ""), cleaned.get("to_root", False)
        if (slug and to_root) or (not slug and not to_root and "to" not in self.errors):
            self.add_error("to", _("Give a short name, or choose the top of the tree."))
        elif to_root:
            self.place = None
        return cleaned

    def clean_to(self) -> str:
        slug: str = self.cleaned_data["to"].strip()
        if not slug:
            return slug
        try:
            self.place = reach(self.caller, slug, requires=Permission.CREATE).organisation
        except (Http404, PermissionDenied):
            message = _("There is no organisation with this short name in which you can create organisations.")
            raise forms.ValidationError(message) from None
        return slug
