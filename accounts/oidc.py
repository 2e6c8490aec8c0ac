"""One OpenID Connect backend a provider of settings.OIDC_PROVIDERS, each importable: sessions store its path."""

from typing import Any

from django.conf import settings
from social_core.backends.open_id_connect import OpenIdConnectAuth

from accounts.providers import Provider, named

PURPOSE = "studio_sso_purpose"
MAX_AGE = "studio_sso_max_age"


class StudioOidc(OpenIdConnectAuth):
    """OpenID Connect with PKCE; keeps no tokens, and a fresh log-in at the provider can be demanded."""

    name = "oidc-base"
    DEFAULT_SCOPE = ["openid", "email", "profile"]
    DEFAULT_USE_PKCE = True
    EXTRA_DATA = [("sub", "id")]
    KEYS = {
        "OIDC_ENDPOINT": "endpoint",
        "KEY": "client_id",
        "SECRET": "secret",
        "SCOPE": "scope",
        "TOKEN_ENDPOINT_AUTH_METHOD": "token_auth",
    }

    @property
    def provider(self) -> Provider:
        return named(self.name)

    def setting(self, name: str, default: Any = None) -> Any:
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
        params = super().auth_params(state)  # type: ignore[no-untyped-call]
        max_age = self.strategy.session_get(MAX_AGE)
        if max_age is not None:
            params.update(max_age=max_age, prompt="login")
        return params


class EntraId(StudioOidc):
    """Microsoft Entra ID: people are keyed on tenant and object, which never change, never on an e-mail address."""

    def get_user_id(self, details: Any, response: Any) -> str | None:
        claims = self.id_token or {}
        tenant, person = claims.get("tid"), claims.get("oid")
        return f"{tenant}.{person}" if tenant and person else None


for _provider in settings.OIDC_PROVIDERS:
    _name = f"Oidc_{_provider['id']}"
    _base = EntraId if _provider.get("kind") == "entra" else StudioOidc
    globals()[_name] = type(_name, (_base,), {"name": f"oidc-{_provider['id']}", "__module__": __name__})
