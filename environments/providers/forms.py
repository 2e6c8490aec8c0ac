"""The forms of an identity provider."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.models import IdentityProvider, Organisation
from environments.providers.services import Connection

PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class NewProviderForm(forms.Form):
    title = forms.CharField(
        label=_("Name"),
        max_length=60,
        help_text=_("People read it where they log in, such as the name of your organisation."),
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class ProviderForm(NewProviderForm):
    """What a provider needs, from the registration of Studio there."""

    issuer = forms.CharField(
        label=_("Issuer"),
        max_length=255,
        help_text=_(
            "Google: https://accounts.google.com. Entra ID: https://login.microsoftonline.com/YOUR-TENANT-ID/v2.0. "
            "Okta: https://YOUR-NAME.okta.com. Others name it in their documentation as issuer or discovery URL."
        ),
        widget=forms.TextInput({**PLAIN, "inputmode": "url"}),
    )
    client_id = forms.CharField(label=_("Client ID"), max_length=255, widget=forms.TextInput(PLAIN))
    secret = forms.CharField(
        label=_("Client secret"),
        max_length=1000,
        strip=True,
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )
    domains = forms.MultipleChoiceField(
        label=_("Domains"),
        help_text=_("It logs in people of these domains only. Your organisation verifies domains under Settings."),
        widget=forms.CheckboxSelectMultiple,
    )
    email_is_trusted = forms.BooleanField(
        label=_("Trust its addresses, also those that it does not call verified"),
        required=False,
        help_text=_(
            "Entra ID needs this. Choose it only if nobody but your organisation assigns addresses of these domains "
            "there: whoever could enter an address of their own would be taken for its owner."
        ),
    )

    def __init__(self, *args: Any, organisation: Organisation, provider: IdentityProvider, **kwargs: Any) -> None:
        initial = {
            "title": provider.title,
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "domains": [str(pk) for pk in provider.domains.values_list("pk", flat=True)],
            "email_is_trusted": provider.email_is_trusted,
        }
        super().__init__(*args, **{"initial": initial, **kwargs})
        verified = organisation.domains.filter(verified_at__isnull=False).order_by("domain")
        self.fields["domains"].choices = [(str(each.pk), each.readable) for each in verified]  # type: ignore[attr-defined]  # of a choice
        if provider.secret:
            self.fields["secret"].required = False
            self.fields["secret"].help_text = _("Stored encrypted, and never shown. Leave it empty to keep it.")

    @property
    def connection(self) -> Connection:
        """What was typed, once the form is valid."""
        typed = self.cleaned_data
        return Connection(
            title=typed["title"],
            issuer=typed["issuer"],
            client_id=typed["client_id"],
            secret=typed["secret"],
            domains=frozenset(map(int, typed["domains"])),
            email_is_trusted=typed["email_is_trusted"],
        )


class DeleteProviderForm(forms.Form):
    """The provider's name, typed as a confirmation."""

    name = forms.CharField(max_length=60, widget=forms.TextInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, title: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = title
        self.fields["name"].label = _("Type %(name)s to confirm") % {"name": title}

    def clean_name(self) -> str:
        if self.cleaned_data["name"].split() != self.title.split():
            raise forms.ValidationError(_("Type the name exactly as it is shown."), code="wrong_name")
        return self.title
