"""Checks of the entries in OIDC_PROVIDERS; each fault is one line that names the entry."""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from accounts.choices import ProviderKind
from accounts.providers import SHARED_TENANTS, Provider, domains_of, endpoint_of, is_address, only_domains_of
from web.addresses import to_ascii

TEXTS: Final = frozenset({"id", "title", "endpoint", "issuer", "client_id", "secret", "tenant", "kind", "token_auth"})
LISTS: Final = frozenset({"scope", "amr", "acr", "domains", "only_domains", "form_origins", "tenants"})
SWITCHES: Final = frozenset({"email_is_trusted", "step_up"})
NEEDED: Final = ("id", "client_id", "secret")
GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKEN_AUTH: Final = frozenset({"client_secret_basic", "client_secret_post"})


def faults(provider: Provider) -> Iterator[str]:
    """Yield the faults of an entry, each as the end of a sentence that starts with its name."""
    shape = [*_missing(provider), *_misshapen(provider)]
    yield from shape
    if shape:
        return  # what follows reads the values
    if not re.fullmatch("[a-z0-9_]+", provider["id"]):
        yield "has an id that is not [a-z0-9_]+."
    if provider.get("token_auth", "client_secret_basic") not in TOKEN_AUTH:
        yield f"has a token_auth that is none of {', '.join(sorted(TOKEN_AUTH))}."
    yield from _about_endpoint(provider)
    yield from _about_domains(provider)
    if provider.get("kind") == ProviderKind.ENTRA:
        yield from _about_tenants(provider)
    elif stray := {"tenant", "tenants"} & provider.keys():
        yield f'has {", ".join(sorted(stray))}, which go with "kind": "entra" alone.'


def _missing(provider: Provider) -> Iterator[str]:
    needed = [*NEEDED, *(["endpoint"] if provider.get("kind", ProviderKind.OIDC) == ProviderKind.OIDC else [])]
    if missing := [key for key in needed if key not in provider]:
        yield f"lacks {', '.join(missing)}."
    if unknown := sorted(provider.keys() - TEXTS - LISTS - SWITCHES):
        yield f"has {', '.join(unknown)}, which nothing reads."


def _misshapen(provider: Provider) -> Iterator[str]:
    for key, value in provider.items():
        if key in TEXTS and not (isinstance(value, str) and value):
            yield f"has a {key} that is no text."
        if key in LISTS and not _is_list_of_texts(value):
            yield f"has {key}, which must be a list of texts with at least one."
        if key in SWITCHES and not isinstance(value, bool):
            yield f"has {key}, which must be true or false."
    if str(provider.get("kind", ProviderKind.OIDC)) not in set(ProviderKind):
        yield f"has a kind that is none of {', '.join(ProviderKind)}."


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)


def _about_endpoint(provider: Provider) -> Iterator[str]:
    if not is_address(endpoint_of(provider)):
        yield "has an endpoint that is no https:// address."
    if "issuer" in provider and provider.get("kind") != ProviderKind.ENTRA:
        yield 'has an issuer, which goes with "kind": "entra" alone; elsewhere discovery tells it.'


def _about_domains(provider: Provider) -> Iterator[str]:
    named = [*provider.get("domains", []), *provider.get("only_domains", [])]
    if odd := sorted({one for one in named if not _is_domain(one)}):
        yield f"names {', '.join(odd)}, which is no domain in lower case."
    only = only_domains_of(provider)
    if only and (beyond := sorted(set(domains_of(provider)) - set(only))):
        yield f"is pinned to {', '.join(beyond)}, which its only_domains leave out."
    if provider.get("email_is_trusted"):
        if not only:
            yield "has email_is_trusted without only_domains: it could speak for everybody's address."
        if provider.get("kind") == ProviderKind.GOOGLE:
            yield "has email_is_trusted, but Google says itself which addresses are verified."
        if "tenants" in provider:
            yield "has email_is_trusted with several tenants: one could speak for the addresses of another."


def _is_domain(name: str) -> bool:
    try:
        return bool(to_ascii(name)) and name == name.lower()
    except ValueError:
        return False


def _about_tenants(provider: Provider) -> Iterator[str]:
    if ("tenant" in provider) == ("tenants" in provider):
        yield "needs either tenant, a GUID, or tenants, a list of them."
    named = [*provider.get("tenants", []), *([provider["tenant"]] if "tenant" in provider else [])]
    if odd := sorted({one for one in named if not GUID.fullmatch(one)}):
        yield f"names the tenant {', '.join(odd)}, which is no GUID in lower case."
    shared = SHARED_TENANTS & set(urlsplit(provider.get("endpoint", "")).path.split("/"))
    if shared and "tenants" not in provider:
        yield f"has the endpoint of all tenants ({', '.join(shared)}): list those that can log in, in tenants."
