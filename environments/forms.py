"""Forms of this room: they check and shape, and write nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.names import validate_name
from environments.choices import Kind, Role
from web.addresses import key_of, readable
from web.fields import AddressField


class RolesForm(forms.Form):
    """Roles to give, out of those that the viewer may give."""

    roles = forms.MultipleChoiceField(label=_("Roles"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]


class InviteForm(RolesForm):
    email = AddressField(label=_("E-mail"), widget=forms.EmailInput({"autocomplete": "off"}))

    field_order = ["email", "roles"]


class AnswerForm(RolesForm):
    """An access request's answer; roles count only where it is accepted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].required = False


class JoinForm(forms.Form):
    """A new person's name and password, on the page of a mailed invitation."""

    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1024,
        strip=False,
        help_text=_("At least 8 characters, with an upper-case letter, a lower-case letter and a digit."),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )


class ResetFactorsForm(forms.Form):
    """The e-mail of whoever loses his factors, typed as a confirmation."""

    email = forms.CharField(
        label=_("Type the e-mail address to confirm"), max_length=254, widget=forms.TextInput({"autocomplete": "off"})
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = email
        self.fields["email"].help_text = readable(email)

    def clean_email(self) -> str:
        typed = key_of(self.cleaned_data["email"])
        if typed != key_of(self.expected):
            raise forms.ValidationError(_("That is not the address of this member."))
        return typed


class JoinByMailForm(forms.Form):
    email = AddressField(
        label=_("E-mail at your organisation"),
        widget=forms.EmailInput({"autocomplete": "email", "autofocus": True}),
    )


class NameForm(forms.Form):
    name = forms.CharField(
        label=_("Display name"), max_length=255, help_text=_("Shown in the switcher."), validators=[validate_name]
    )


class AutoInviteForm(RolesForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["roles"]
        field.required = False
        field.label = _("Auto-invite role(s)")
        field.help_text = _("What people get who join by a proven domain. None: they cannot join.")


class NewOrganisationForm(forms.Form):
    """A child of the organisation at hand."""

    name = forms.CharField(label=_("Display name"), max_length=255, validators=[validate_name])
    kind = forms.ChoiceField(label=_("Kind"))
    slug = forms.CharField(
        label=_("Short name"),
        max_length=63,
        required=False,
        help_text=_("Part of its address, and public. Empty: from the name."),
    )

    def __init__(self, *args: Any, kinds: Iterable[Kind], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind.value, kind.label) for kind in kinds]  # type: ignore[attr-defined]


KEY_LASTS = [("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("0", _("for ever"))]


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        label=_("What is it for?"),
        max_length=255,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    lasts = forms.ChoiceField(label=_("It works for"), choices=KEY_LASTS, initial="365")

    def expires_at(self, now: datetime) -> datetime | None:
        """Return when the key ends, of a form that is valid; None: never."""
        days = int(self.cleaned_data["lasts"])
        return now + timedelta(days=days) if days else None


class OrganisationKeyForm(RolesForm, ApiKeyForm):
    field_order = ["name", "roles", "lasts"]
