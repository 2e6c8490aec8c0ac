"""The SSO providers of settings.OIDC_PROVIDERS: names, issuers, domains and what they prove."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from accounts.choices import ProviderKind
from web.addresses import same_domain

Provider = dict[str, Any]  # docs/sso.md describes its keys, accounts/sso/provider_checks.py holds them to it

GOOGLE_ISSUER: Final = "https://accounts.google.com"
ENTRA_AUTHORITY: Final = "https://login.microsoftonline.com"
SHARED_TENANTS: Final = frozenset({"common", "organizations", "consumers"})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_address(text: str) -> bool:
    """Return whether people can be redirected there: https://, or http:// on loopback."""
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK)


def named(backend_name: str) -> Provider:
    """Return the provider of a backend name such as "oidc-acme". Raises ``LookupError`` for an unknown one."""
    for provider in settings.OIDC_PROVIDERS:
        if name_of(provider) == backend_name:
            return provider
    raise LookupError(backend_name)


def name_of(provider: Provider) -> str:
    """Return the backend's name, under which identities are kept."""
    return f"oidc-{provider['id']}"


def title_of(backend_name: str) -> str:
    """Return the provider's title, or the backend's name where the provider was removed."""
    try:
        provider = named(backend_name)
    except LookupError:
        return backend_name.removeprefix("oidc-")
    return str(provider.get("title", provider["id"]))


def kind_of(provider: Provider) -> ProviderKind:
    return ProviderKind(provider.get("kind", ProviderKind.OIDC))


def endpoint_of(provider: Provider) -> str:
    """Return the issuer below which ``/.well-known/openid-configuration`` is; Google's and Entra's are known."""
    if endpoint := provider.get("endpoint"):
        return str(endpoint).rstrip("/")
    if kind_of(provider) == ProviderKind.GOOGLE:
        return GOOGLE_ISSUER
    return f"{ENTRA_AUTHORITY}/{provider.get('tenant', 'organizations')}/v2.0"


def issuers_of(provider: Provider) -> frozenset[str]:
    """Return the issuers that discovery can name, without a trailing slash: the endpoint of the entry.

    The endpoint that all Entra tenants share names a template, or the one tenant behind it.
    """
    endpoint = endpoint_of(provider)
    if kind_of(provider) != ProviderKind.ENTRA:
        return frozenset([endpoint])
    parts, own = endpoint.split("/"), str(provider.get("issuer") or endpoint).removesuffix("/")
    tenants = ["{tenantid}", *tenants_of(provider)]
    shared = {"/".join(one if part in SHARED_TENANTS else part for part in parts) for one in tenants}
    return frozenset({endpoint, *shared, *(own.replace("{tenantid}", one) for one in tenants)})


def tenants_of(provider: Provider) -> frozenset[str]:
    """Return the Entra tenants whose people can log in."""
    return frozenset(provider.get("tenants", [provider.get("tenant", "")]))


def domains_of(provider: Provider) -> list[str]:
    """Return the domains whose people can log in through this provider, in normal form."""
    return [same_domain(domain) for domain in provider.get("domains", [])]


def only_domains_of(provider: Provider) -> list[str]:
    """Return the only domains whose addresses the provider can vouch for, in normal form."""
    return [same_domain(domain) for domain in provider.get("only_domains", [])]


def can_step_up(provider: Provider) -> bool:
    """Return whether the provider can log people in again on request and says when; Google cannot."""
    return bool(provider.get("step_up", kind_of(provider) != ProviderKind.GOOGLE))


def backend_names() -> frozenset[str]:
    """Return the names of the backends that people can log in through."""
    return frozenset(name_of(provider) for provider in settings.OIDC_PROVIDERS)


def trusted_backends() -> frozenset[str]:
    """Return the dotted paths of the backends whose sessions count as opened by SSO: an allow-list."""
    return frozenset(path_of(provider) for provider in settings.OIDC_PROVIDERS)


def basis_of(provider: Provider, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the basis of a log-in through the provider: its issuer, and the strength that the claims prove.

    ``amr`` is a list and ``acr`` a text (OpenID Connect Core 1.0, section 2); in any other shape they prove nothing.
    """
    methods, strength = claims.get("amr"), claims.get("acr")
    return {
        "endpoint": endpoint_of(provider),
        "client_id": str(provider.get("client_id", "")),
        "tenant": str(claims.get("tid", "")) if kind_of(provider) == ProviderKind.ENTRA else "",
        "amr": sorted({one for one in methods if _is_plain(one)}) if isinstance(methods, list) else [],
        "acr": strength if _is_plain(strength) else "",
    }


def _is_plain(claim: object) -> bool:
    return isinstance(claim, str) and claim.isprintable() and len(claim) <= 200


def lacks(provider: Provider, basis: Mapping[str, Any]) -> str | None:
    """Return the claim that the provider's entry requires and the basis lacks, "acr" or "amr", or None."""
    if provider.get("acr") and basis["acr"] not in provider["acr"]:
        return "acr"
    if provider.get("amr") and not set(basis["amr"]) & set(provider["amr"]):
        return "amr"
    return None


def still_holds(path: str, basis: Mapping[str, Any] | None, *, is_proof: bool) -> bool:
    """Return whether a session that this backend opened would be opened today: same issuer, enough proof.

    For a session of an older release only ``is_proof`` is known: that the provider had to prove MFA then.
    """
    provider = next((one for one in settings.OIDC_PROVIDERS if path_of(one) == path), None)
    if provider is None:
        return False
    if basis is None:
        return is_proof or not (provider.get("acr") or provider.get("amr"))
    today = basis_of(provider, {})
    if (basis["endpoint"], basis["client_id"]) != (today["endpoint"], today["client_id"]):
        return False
    if basis["tenant"] and basis["tenant"] not in tenants_of(provider):
        return False
    return lacks(provider, basis) is None


def path_of(provider: Provider) -> str:
    """Return the dotted path of the provider's backend, which its sessions store."""
    return path_of_name(name_of(provider))


def path_of_name(backend_name: str) -> str:
    """Return the same for a backend's name, whether or not the provider still exists."""
    return f"accounts.oidc.Oidc_{backend_name.removeprefix('oidc-')}"


def buttons() -> list[dict[str, str]]:
    """Return the buttons of the log-in page: backend name and title of each provider."""
    return [_button(provider) for provider in settings.OIDC_PROVIDERS]


def _button(provider: Provider) -> dict[str, str]:
    name = name_of(provider)
    return {"backend": name, "id": provider["id"], "title": title_of(name)}


def name_at(path: str) -> str | None:
    """Return the name of the backend with this dotted path, if it is a provider's."""
    return next((name_of(one) for one in settings.OIDC_PROVIDERS if path_of(one) == path), None)


def step_up_button(path: str) -> dict[str, str] | None:
    """Return the button of the provider with this backend path, or None if it cannot step up."""
    found = [one for one in settings.OIDC_PROVIDERS if path_of(one) == path and can_step_up(one)]
    return _button(found[0]) if found else None


def form_targets() -> list[str]:
    """Return the origins that a log-in form can be redirected to, for the page's ``form-action``.

    Browsers apply ``form-action`` to every redirect after a POST. The origin is that of the issuer; a provider whose
    authorization page is elsewhere lists that in ``form_origins``.
    """
    origins: list[str] = []
    for provider in settings.OIDC_PROVIDERS:
        issuer = urlsplit(endpoint_of(provider))
        origins += [f"{issuer.scheme}://{issuer.netloc}", *provider.get("form_origins", [])]
    return list(dict.fromkeys(origins))
