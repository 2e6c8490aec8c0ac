"""The SSO providers: names, issuers, domains and what they prove.

Those of ``settings.OIDC_PROVIDERS`` are the operator's. An organisation's own are rows of the room above, which it
returns as entries of the same shape, by the functions that ``OWN_PROVIDER``, ``OWN_PROVIDER_OF_DOMAIN`` and
``OWN_PROVIDER_IS_TRUSTED`` name. Such an entry also has the id of its ``organisation``, its ``sealed`` secret, and
whether it ``is_on``.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils.module_loading import import_string

from accounts.choices import ProviderKind
from web.addresses import same_domain

Provider = dict[str, Any]  # docs/sso.md describes its keys, accounts/sso/provider_checks.py holds them to it

GOOGLE_ISSUER: Final = "https://accounts.google.com"
ENTRA_AUTHORITY: Final = "https://login.microsoftonline.com"
SHARED_TENANTS: Final = frozenset({"common", "organizations", "consumers"})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OWN: Final = "own-"  # the backend names of organisations' own providers begin with it
OWN_PATHS: Final = {kind: f"accounts.oidc.Own_{kind}" for kind in ProviderKind}


def is_address(text: str) -> bool:
    """Return whether people can be redirected there: https://, or http:// on loopback."""
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK)


def is_own_address(text: str) -> bool:
    """Return whether an organisation's own provider can have this address: https://, and no name and password in it."""
    if settings.OWN_PROVIDERS_ON_LOOPBACK and is_address(text):
        return True
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme == "https" and bool(address.hostname) and "@" not in address.netloc


def is_own(backend_name: str) -> bool:
    """Return whether a backend name is that of an organisation's own provider."""
    return backend_name.startswith(OWN)


def known(backend_name: str) -> Provider:
    """Return the provider of a backend name such as "oidc-acme", turned on or not. Raises ``LookupError``.

    One query for an organisation's own.
    """
    if is_own(backend_name):
        found: Provider | None = import_string(settings.OWN_PROVIDER)(backend_name.removeprefix(OWN))
        if found is not None:
            return found
        raise LookupError(backend_name)
    for provider in settings.OIDC_PROVIDERS:
        if name_of(provider) == backend_name:
            return provider
    raise LookupError(backend_name)


def named(backend_name: str) -> Provider:
    """Return the provider of a backend name. Raises ``LookupError`` if it is unknown, or is not turned on."""
    provider = known(backend_name)
    if not is_on(provider):
        raise LookupError(backend_name)
    return provider


def is_on(provider: Provider) -> bool:
    """Return whether people can log in through the provider; those of the settings always are."""
    return bool(provider.get("is_on", True))


def own_provider_of(domain: str) -> Provider | None:
    """Return the provider of the organisation that has verified this domain, if it is turned on for it, or None."""
    found: Provider | None = import_string(settings.OWN_PROVIDER_OF_DOMAIN)(same_domain(domain))
    return found


def name_of(provider: Provider) -> str:
    """Return the backend's name, under which identities are kept."""
    return f"{OWN if 'organisation' in provider else 'oidc-'}{provider['id']}"


def lets_in(provider: Provider, user: Any) -> bool:
    """Return whether the provider can log this user in.

    An organisation's own logs in people of its domains alone, and no super users.
    """
    if "organisation" not in provider:
        return True
    return not user.is_superuser and domain_of(user.email) in domains_of(provider)


def is_trusted_with(provider: Provider, user_id: int) -> bool:
    """Return whether a log-in of this user through the provider takes the place of a second factor.

    Through an organisation's own, only for people who have access to nothing outside that organisation.
    """
    if "organisation" not in provider:
        return True
    return bool(import_string(settings.OWN_PROVIDER_IS_TRUSTED)(user_id, provider["id"]))


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


def title_of(backend_name: str) -> str:
    """Return the provider's title, or the backend's name where the provider was removed."""
    try:
        provider = known(backend_name)
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


def can_log_in(user: Any, backend_name: str) -> bool:
    """Return whether this user can log in through the provider of an identity now."""
    try:
        return lets_in(named(backend_name), user)
    except LookupError:
        return False


def trusted_backends() -> frozenset[str]:
    """Return the dotted paths of the backends whose sessions count as opened by SSO: an allow-list."""
    return frozenset([*map(path_of, settings.OIDC_PROVIDERS), *OWN_PATHS.values()])


def basis_of(provider: Provider, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the basis of a log-in through the provider: its issuer, and the strength that the claims prove.

    ``amr`` is a list and ``acr`` a text (OpenID Connect Core 1.0, section 2); in any other shape they prove nothing.
    """
    methods, strength = claims.get("amr"), claims.get("acr")
    own = {"provider": name_of(provider)} if "organisation" in provider else {}
    return own | {
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


def behind(path: str, basis: Mapping[str, Any] | None) -> Provider | None:
    """Return the provider that opened a session with this backend path and basis, if it is still turned on."""
    if path in OWN_PATHS.values():
        try:
            return named(str((basis or {}).get("provider", "")))
        except LookupError:
            return None
    return next((one for one in settings.OIDC_PROVIDERS if path_of(one) == path), None)


def opened_through(backend_name: str) -> Q:
    """Return the condition on ``SessionRecord`` for the sessions that a provider opened, whether it still exists."""
    if is_own(backend_name):
        return Q(backend__in=OWN_PATHS.values(), basis__provider=backend_name)
    return Q(backend=f"accounts.oidc.Oidc_{backend_name.removeprefix('oidc-')}")


def still_holds(path: str, basis: Mapping[str, Any] | None, *, is_proof: bool, user: Any = None) -> bool:
    """Return whether a session that this backend opened would be opened today: same issuer, enough proof.

    For a session of an older release only ``is_proof`` is known: that the provider had to prove MFA then. With ``user``
    it must also still be able to log them in.
    """
    provider = behind(path, basis)
    if provider is None or (user is not None and not lets_in(provider, user)):
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
    """Return the dotted path of the provider's backend, which its sessions store; own providers of a kind share it."""
    return OWN_PATHS[kind_of(provider)] if "organisation" in provider else f"accounts.oidc.Oidc_{provider['id']}"


def buttons() -> list[dict[str, str]]:
    """Return the buttons of the log-in page: backend name and title of each provider."""
    return [_button(provider) for provider in settings.OIDC_PROVIDERS]


def buttons_to_link(email: str) -> list[dict[str, str]]:
    """Return the buttons of the providers through which a user with this address could log in."""
    own = own_provider_of(domain_of(email))
    return [*buttons(), *([_button(own)] if own else [])]


def _button(provider: Provider) -> dict[str, str]:
    title = str(provider.get("title", provider["id"]))
    return {"backend": name_of(provider), "id": provider["id"], "title": title}


def step_up_button(path: str, basis: Mapping[str, Any] | None, user_id: int) -> dict[str, str] | None:
    """Return the button of the provider that opened this user's session, or None if it cannot step them up."""
    provider = behind(path, basis)
    return _button(provider) if provider is not None and can_confirm(provider, user_id) else None


def can_confirm(provider: Provider, user_id: int) -> bool:
    """Return whether a fresh log-in of this user through the provider confirms their identity."""
    return can_step_up(provider) and is_trusted_with(provider, user_id)


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
