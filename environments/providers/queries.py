"""Identity providers as the log-in asks for them, and what ends with one."""

from dataclasses import dataclass

from social_django.models import UserSocialAuth

from accounts.models import SessionRecord, User
from accounts.providers import Provider, opened_through
from environments.models import IdentityProvider, Membership, Organisation
from environments.models.providers import IdentityProviderQuerySet


def entry_of(key: str) -> Provider | None:
    """Return the entry of a provider, on or off, in the shape of those in the settings, or None. One query."""
    provider = IdentityProvider.objects.with_domains().filter(key=key).first()
    return None if provider is None else as_entry(provider)


def entry_of_domain(domain: str) -> Provider | None:
    """Return the entry of the provider through which people of this domain log in, or None. One query."""
    provider = IdentityProvider.objects.working().speaking_for([domain]).with_domains().order_by("pk").first()
    return None if provider is None else as_entry(provider)


def as_entry(provider: IdentityProvider) -> Provider:
    """Return a provider as an entry; it is on only while its organisation is live and has a verified domain for it."""
    is_live = bool(provider.live_domains) and not provider.organisation.is_suspended
    return {
        "id": provider.key,
        "organisation": provider.organisation_id,
        "title": provider.title,
        "kind": provider.kind.value,
        "endpoint": provider.issuer,
        "tenant": provider.tenant,
        "client_id": provider.client_id,
        "sealed": bytes(provider.secret or b""),
        "domains": provider.live_domains,
        "only_domains": provider.live_domains,
        "email_is_trusted": provider.email_is_trusted,
        "is_on": provider.is_on and is_live,
    }


def reaches_nothing_else(user_id: int, key: str) -> bool:
    """Return whether every membership of a user is at or below the organisation of a provider. Three queries.

    A super user has access to everything.
    """
    path = IdentityProvider.objects.filter(key=key).values_list("organisation__path", flat=True).first()
    if path is None or not User.objects.filter(pk=user_id, is_superuser=False).exists():
        return False
    elsewhere = Membership.objects.live().filter(user=user_id).exclude(organisation__path__startswith=path)
    return not elsewhere.exists()


def providers_of(organisation: Organisation) -> IdentityProviderQuerySet:
    """Return the organisation's providers, in order of title."""
    return organisation.identity_providers.with_domains().order_by("title", "pk")


@dataclass(frozen=True, slots=True)
class Users:
    """Who uses a provider: linked identities, and the sessions that it opened."""

    identities: int
    sessions: int


def users_of(provider: IdentityProvider) -> Users:
    """Count who uses a provider; two queries."""
    return Users(
        identities=UserSocialAuth.objects.filter(provider=provider.backend_name).count(),
        sessions=SessionRecord.objects.open().filter(opened_through(provider.backend_name)).count(),
    )
