"""What is different about the backend of an organisation's own provider: nobody but that organisation chose it."""

from typing import Any, Self

from social_core.exceptions import AuthResponseError

from accounts.choices import SsoPurpose
from accounts.providers import Provider, is_own_address, name_of
from accounts.sso.oidc import StudioOidc
from web.addresses import Address
from web.sealing import unseal


class OwnProvider(StudioOidc):
    """Its calls are guarded (``accounts.sso.exchange``), and it vouches for addresses at its own domains alone."""

    is_guarded = True
    entry: Provider

    @classmethod
    def of(cls, entry: Provider, strategy: Any, redirect_uri: str | None) -> Self:
        """Return the backend of one provider; all of a kind share the class."""
        backend = cls(strategy, redirect_uri=redirect_uri)
        backend.name, backend.entry = name_of(entry), entry
        return backend

    @property
    def provider(self) -> Provider:
        return self.entry

    def setting(self, name: str, default: Any = None) -> Any:
        if name == "SECRET":
            sealed = unseal(self.entry["sealed"])
            if sealed["provider"] != self.entry["id"]:
                raise ValueError("The secret is of another provider.")
            return sealed["secret"]
        return super().setting(name, default)

    def start(self) -> Any:
        """Send the visitor to the provider; for a trial, ask for the discovery document anew."""
        if getattr(self._request(), "sso_purpose", None) == SsoPurpose.TRY:
            self.get_openid_configuration.invalidate(self, self.oidc_config_url())
        return super().start()

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pipeline on the backend of the round trip; Django asks each class, which has no provider."""
        backend = kwargs.get("backend")
        return backend.run_authentication(*args, **kwargs) if type(backend) is type(self) else None

    def authorization_url(self) -> str:
        """Return where people are sent. Raises ``AuthResponseError`` if it is not encrypted."""
        address = super().authorization_url()
        if not is_own_address(address):
            raise AuthResponseError(self, code="forbidden_address", stage="begin")
        return address

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        """Return the request's parameters, with the address that was typed to find the provider."""
        params = super().auth_params(state)
        if hint := getattr(self._request(), "sso_login_hint", ""):
            params["login_hint"] = hint
        return params

    def vouches_for(self, address: Address) -> bool:
        return self.is_pinned_to(address) and super().vouches_for(address)

    def _is_known(self) -> bool:
        """Return whether the identity is known; not for a trial, which shows what the provider says of an address."""
        return self.purpose != SsoPurpose.TRY and super()._is_known()

    def says_verified(self) -> bool:
        """Return whether the provider itself calls the address verified."""
        return self._address_claims().get("email_verified") is True
