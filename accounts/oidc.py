"""One OpenID Connect backend a provider of settings.OIDC_PROVIDERS, each importable: sessions store its path."""

from typing import Any

import jwt
from django.conf import settings
from social_core.backends.open_id_connect import OpenIdConnectAuth

from accounts.choices import ProviderKind, SsoPurpose
from accounts.providers import Provider, endpoint_of, named, tenants_of

GOOGLES_OWN_MAIL = frozenset({"gmail.com", "googlemail.com"})


class StudioOidc(OpenIdConnectAuth):
    """OpenID Connect with PKCE; keeps no tokens, and a fresh log-in at the provider can be demanded."""

    name = "oidc-base"
    DEFAULT_SCOPE = ["openid", "email", "profile"]
    DEFAULT_USE_PKCE = True
    EXTRA_DATA = [("sub", "id")]
    KEYS = {
        "KEY": "client_id",
        "SECRET": "secret",
        "SCOPE": "scope",
        "TOKEN_ENDPOINT_AUTH_METHOD": "token_auth",
    }

    @property
    def provider(self) -> Provider:
        return named(self.name)

    @property
    def purpose(self) -> SsoPurpose:
        """Return what the round trip that came back was begun for, as kept beside its own ``state``."""
        return SsoPurpose((self._oauth2_transaction or {}).get("purpose", SsoPurpose.LOG_IN))

    def setting(self, name: str, default: Any = None) -> Any:
        if name == "OIDC_ENDPOINT":
            return endpoint_of(self.provider)
        key = self.KEYS.get(name)
        return self.provider[key] if key in self.provider else super().setting(name, default)

    def extra_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        kept = super().extra_data(*args, **kwargs)
        for token in ("id_token", "access_token", "refresh_token"):
            kept.pop(token, None)
        # Shown in the profile, so that people tell their identities apart; nothing is ever decided by it.
        kept["email"] = str((self.id_token or {}).get("email", ""))[:254]
        return kept

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        """Ask for what the answer is held to: the strength of log-in, and a fresh one where it is to step up."""
        params = super().auth_params(state)  # type: ignore[no-untyped-call]
        purpose = getattr(self._request(), "sso_purpose", SsoPurpose.LOG_IN)
        key = self.transaction_key(state or "")
        self.strategy.session_set(key, {**self.strategy.session_get(key), "purpose": purpose})
        if acr := self.provider.get("acr"):
            params["acr_values"] = " ".join(acr)
        if purpose == SsoPurpose.STEP_UP:
            params.update(max_age=0, prompt="login")
        return params

    def _request(self) -> Any:
        strategy: Any = self.strategy  # Django's, which carries the request
        return strategy.request

    def vouches_for(self, email: str) -> bool:
        """Tell whether the signed claims say that this address, in lower case, is its owner's."""
        is_verified = (self.id_token or {}).get("email_verified") is True
        only = self.provider.get("only_domains")
        return (is_verified or self.provider.get("email_is_trusted") is True) and (not only or domain_of(email) in only)

    def refusal(self) -> str | None:
        """Return the code of why the signed claims are not enough to tell who somebody is."""
        return None


class Google(StudioOidc):
    """Google: only for its own mailboxes and for the domains that it manages (``hd``) is its word on an e-mail good."""

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        params = super().auth_params(state)
        only = self.provider.get("only_domains", [])
        if only:
            params["hd"] = only[0] if len(only) == 1 else "*"  # spares a wrong choice; the claim is what counts
        return params

    def vouches_for(self, email: str) -> bool:
        managed_by, only = (self.id_token or {}).get("hd"), self.provider.get("only_domains")
        if only:
            return super().vouches_for(email) and managed_by in only
        return super().vouches_for(email) and (bool(managed_by) or domain_of(email) in GOOGLES_OWN_MAIL)


class EntraId(StudioOidc):
    """Microsoft Entra ID: people are keyed on tenant and object, which never change, never on an e-mail address."""

    ID_KEY = "oid"

    def get_user_id(self, details: Any, response: Any) -> str | None:
        claims = self.id_token or {}
        return f"{claims.get('tid')}.{claims.get('oid')}"

    def refusal(self) -> str | None:
        claims = self.id_token or {}
        if not all(isinstance(claims.get(name), str) and claims[name] for name in ("tid", "oid")):
            return "nobody"
        return None if claims["tid"] in tenants_of(self.provider) else "tenant"

    def vouches_for(self, email: str) -> bool:
        """Believe an address only where the entry says so: what a token says of it, a tenant may have made up."""
        return self.provider.get("email_is_trusted") is True and super().vouches_for(email)

    def decode_and_validate_id_token(self, id_token: str, access_token: str) -> Any:
        """Check the token against the issuer of its own tenant: for several there is a template of issuers."""
        try:
            claimed = jwt.decode(id_token, options={"verify_signature": False})
        except jwt.PyJWTError:
            claimed = {}
        self._tenant = str(claimed.get("tid", ""))
        return super().decode_and_validate_id_token(id_token, access_token)  # type: ignore[no-untyped-call]

    def id_token_issuer(self) -> str:
        issuer = self.provider.get("issuer") or super().id_token_issuer()
        return str(issuer).replace("{tenantid}", self._tenant)


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


BACKENDS: dict[str, type[StudioOidc]] = {
    ProviderKind.OIDC: StudioOidc,
    ProviderKind.GOOGLE: Google,
    ProviderKind.ENTRA: EntraId,
}

for _id, _kind in ((_entry.get("id"), _entry.get("kind")) for _entry in settings.OIDC_PROVIDERS):
    # What is wrong with an entry is told by the system checks, which need this module to load.
    _base = BACKENDS.get(str(_kind), StudioOidc)
    globals()[f"Oidc_{_id}"] = type(f"Oidc_{_id}", (_base,), {"name": f"oidc-{_id}", "__module__": __name__})
