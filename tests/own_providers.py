"""An organisation's own identity provider for tests, at the made-up provider or another one on loopback."""

from typing import Any

from django.utils import timezone

from environments.choices import DomainProof, ProviderState
from environments.models import IdentityProvider, Organisation, OrganisationDomain
from web.sealing import seal


def verified_domain(organisation: Organisation, domain: str = "acme.test") -> OrganisationDomain:
    return OrganisationDomain.objects.create(
        organisation=organisation, domain=domain, token="token", verified_at=timezone.now(), proof=DomainProof.WORD
    )


def own_provider(
    organisation: Organisation,
    *domains: OrganisationDomain,
    issuer: str = "https://idp.acme.test",
    secret: str = "hush",
    **fields: Any,
) -> IdentityProvider:
    """Create a provider that is turned on, for these domains, or for a new one that the organisation has verified."""
    values = {"title": "Acme ID", "client_id": "studio", "state": ProviderState.ON, "tried_at": timezone.now()}
    provider = IdentityProvider(organisation=organisation, issuer=issuer, **{**values, **fields})
    provider.secret = seal({"provider": provider.key, "secret": secret})
    provider.save()
    provider.domains.set(domains or [verified_domain(organisation)])
    return provider
