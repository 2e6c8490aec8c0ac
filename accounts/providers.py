"""The SSO providers that this installation trusts, as settings.OIDC_PROVIDERS lists them."""

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from accounts.choices import ProviderKind
from web.addresses import same_domain

Provider = dict[str, Any]  # docs/sso.md describes its keys, accounts/provider_checks.py holds them to it

GOOGLE_ISSUER: Final = "https://accounts.google.com"
ENTRA_AUTHORITY: Final = "https://login.microsoftonline.com"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_address(text: str) -> bool:
    """Tell whether somebody may be sent there: https://, or http:// on loopback."""
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK)


def named(backend_name: str) -> Provider:
    """Return the provider of a backend name such as "oidc-acme"; raises ``LookupError`` for any other."""
    for provider in settings.OIDC_PROVIDERS:
        if name_of(provider) == backend_name:
            return provider
    raise LookupError(backend_name)


def name_of(provider: Provider) -> str:
    """Return the backend's name, under which identities are kept."""
    return f"oidc-{provider['id']}"


def title_of(backend_name: str) -> str:
    """Return what people call the provider; a name whose provider is gone stands for itself."""
    try:
        provider = named(backend_name)
    except LookupError:
        return backend_name.removeprefix("oidc-")
    return str(provider.get("title", provider["id"]))


def kind_of(provider: Provider) -> ProviderKind:
    return ProviderKind(provider.get("kind", ProviderKind.OIDC))


def endpoint_of(provider: Provider) -> str:
    """Return the issuer below which ``/.well-known/openid-configuration`` stands; two kinds know their own."""
    if endpoint := provider.get("endpoint"):
        return str(endpoint).rstrip("/")
    if kind_of(provider) == ProviderKind.GOOGLE:
        return GOOGLE_ISSUER
    return f"{ENTRA_AUTHORITY}/{provider.get('tenant', 'organizations')}/v2.0"


def tenants_of(provider: Provider) -> frozenset[str]:
    """Return the Entra tenants whose people may come."""
    return frozenset(provider.get("tenants", [provider.get("tenant", "")]))


def domains_of(provider: Provider) -> list[str]:
    """Return the domains whose people may come by this provider, in their normal form."""
    return [same_domain(domain) for domain in provider.get("domains", [])]


def only_domains_of(provider: Provider) -> list[str]:
    """Return the domains for which alone the provider's word on an address counts, in their normal form."""
    return [same_domain(domain) for domain in provider.get("only_domains", [])]


def can_step_up(provider: Provider) -> bool:
    """Tell whether the provider logs people in afresh when asked to, and says when: Google does not."""
    return bool(provider.get("step_up", kind_of(provider) != ProviderKind.GOOGLE))


def backend_names() -> frozenset[str]:
    """Return the names of the backends whose identities somebody can come through."""
    return frozenset(name_of(provider) for provider in settings.OIDC_PROVIDERS)


def trusted_backends() -> frozenset[str]:
    """Return the dotted paths of the backends whose sessions count as opened by SSO: an allow-list."""
    return frozenset(path_of(provider) for provider in settings.OIDC_PROVIDERS)


def path_of(provider: Provider) -> str:
    """Return the dotted path of the provider's backend, which its sessions store."""
    return f"accounts.oidc.Oidc_{provider['id']}"


def buttons() -> list[dict[str, str]]:
    """Return what the log-in page offers: the backend's name and the provider's title."""
    return [_button(provider) for provider in settings.OIDC_PROVIDERS]


def _button(provider: Provider) -> dict[str, str]:
    name = name_of(provider)
    return {"backend": name, "id": provider["id"], "title": title_of(name)}


def name_at(path: str) -> str | None:
    """Return the name of the backend with this dotted path, if it is a provider's."""
    return next((name_of(one) for one in settings.OIDC_PROVIDERS if path_of(one) == path), None)


def step_up_button(path: str) -> dict[str, str] | None:
    """Return the button of the provider whose backend has this path, if it can confirm who somebody is."""
    found = [one for one in settings.OIDC_PROVIDERS if path_of(one) == path and can_step_up(one)]
    return _button(found[0]) if found else None


def form_targets() -> list[str]:
    """Return the origins that a log-in form may be redirected to, for the page's ``form-action``.

    Browsers apply ``form-action`` to every redirect after a POST. The origin is that of the issuer; a provider whose
    authorization page stands elsewhere says so in ``form_origins``.
    """
    origins: list[str] = []
    for provider in settings.OIDC_PROVIDERS:
        issuer = urlsplit(endpoint_of(provider))
        origins += [f"{issuer.scheme}://{issuer.netloc}", *provider.get("form_origins", [])]
    return list(dict.fromkeys(origins))
