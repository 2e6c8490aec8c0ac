"""The SSO providers that this installation trusts, as settings.OIDC_PROVIDERS lists them."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

Provider = dict[str, Any]  # README.md describes its keys


def named(backend_name: str) -> Provider:
    """Return the provider of a backend name such as "oidc-acme"; raises ``LookupError`` for any other."""
    for provider in settings.OIDC_PROVIDERS:
        if f"oidc-{provider['id']}" == backend_name:
            return provider
    raise LookupError(backend_name)


def trusted_backends() -> frozenset[str]:
    """Return the dotted paths of the backends whose sessions count as opened by SSO: an allow-list."""
    return frozenset(f"accounts.oidc.Oidc_{provider['id']}" for provider in settings.OIDC_PROVIDERS)


def buttons() -> list[dict[str, str]]:
    """Return what the log-in page offers: the backend's name and the provider's title."""
    return [
        {"backend": f"oidc-{provider['id']}", "id": provider["id"], "title": provider.get("title", provider["id"])}
        for provider in settings.OIDC_PROVIDERS
    ]


def form_targets() -> list[str]:
    """Return the origins that a log-in form may be redirected to, for the page's ``form-action``.

    Browsers apply ``form-action`` to every redirect after a POST. The origin is that of the issuer; a provider whose
    authorization page stands elsewhere says so in ``form_origins``.
    """
    origins: list[str] = []
    for provider in settings.OIDC_PROVIDERS:
        issuer = urlsplit(provider["endpoint"])
        origins += [f"{issuer.scheme}://{issuer.netloc}", *provider.get("form_origins", [])]
    return list(dict.fromkeys(origins))
