"""Identity providers that organisations add for their own people."""

import re
import secrets
from collections.abc import Iterable
from typing import ClassVar, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.choices import ProviderKind
from environments.choices import ProviderState
from environments.models.domains import OrganisationDomain
from environments.models.organisations import Organisation
from web.addresses import to_unicode
from web.clock import in_calendar

KEY_BYTES: Final = 12  # with "own-" before it, it fits into the column of identities
GOOGLE: Final = "https://accounts.google.com"
# Of one tenant, in the cloud of the world, of the government of the United States, or of China.
ENTRA: Final = re.compile(
    r"https://login\.(microsoftonline\.com|microsoftonline\.us|partner\.microsoftonline\.cn)"
    r"/(?P<tenant>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})/v2\.0"
)


def new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


class IdentityProviderQuerySet(models.QuerySet["IdentityProvider"]):
    def with_domains(self) -> "IdentityProviderQuerySet":
        """Add ``live_domains``: those it is pinned to that its organisation has verified, in order."""
        names = {"live_domains": ArraySubquery(_live_domains().order_by("domain").values("domain"))}
        return self.annotate(**names).select_related("organisation")

    def working(self) -> "IdentityProviderQuerySet":
        """Keep those through which people can log in now."""
        return self.filter(Exists(_live_domains()), state=ProviderState.ON, organisation__is_suspended=False)

    def speaking_for(self, domains: Iterable[str]) -> "IdentityProviderQuerySet":
        """Keep those that are pinned to one of these domains, which their organisation has verified."""
        return self.filter(Exists(_live_domains().filter(domain__in=domains)))


class IdentityProvider(models.Model):
    """An OpenID Connect provider of an organisation, for the people of domains that it has verified."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="identity_providers")
    key = models.CharField(max_length=24, unique=True, default=new_key, editable=False)  # random, and never used again
    title = models.CharField(max_length=60)
    issuer = models.CharField(max_length=255, blank=True)  # without a slash at the end
    client_id = models.CharField(max_length=255, blank=True)
    secret = models.BinaryField(null=True, editable=False)  # sealed, with the key: it opens for no other row
    domains = models.ManyToManyField(OrganisationDomain, related_name="identity_providers")
    email_is_trusted = models.BooleanField(default=False)  # also an address that the provider does not call verified
    state = models.CharField(max_length=5, choices=ProviderState, default=ProviderState.DRAFT)
    created_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True)
    trial = models.JSONField(null=True)  # what the latest trial showed: ``environments.providers.trials``

    live_domains: ClassVar[list[str]] = []

    objects = IdentityProviderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state=ProviderState.DRAFT)
                | (Q(tried_at__isnull=False, secret__isnull=False) & ~Q(issuer="") & ~Q(client_id="")),
                name="identity_provider_was_tried",
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "tried_at"), name="identity_provider_is_in_the_calendar"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def backend_name(self) -> str:
        """The name under which identities and the two SSO addresses have it."""
        return f"own-{self.key}"

    @property
    def kind(self) -> ProviderKind:
        """What it is, by its issuer: Google and Entra ID have rules of their own."""
        if self.issuer == GOOGLE:
            return ProviderKind.GOOGLE
        return ProviderKind.ENTRA if ENTRA.fullmatch(self.issuer) else ProviderKind.OIDC

    @property
    def tenant(self) -> str:
        """The tenant of Entra ID, or an empty string."""
        found = ENTRA.fullmatch(self.issuer)
        return found["tenant"] if found else ""

    @property
    def is_complete(self) -> bool:
        """Whether everything is there that a trial needs."""
        return bool(self.issuer and self.client_id and self.secret)

    @property
    def is_on(self) -> bool:
        return self.state == ProviderState.ON

    @property
    def readable_domains(self) -> list[str]:
        return [to_unicode(domain) for domain in self.live_domains]


def _live_domains() -> models.QuerySet[OrganisationDomain]:
    return OrganisationDomain.objects.filter(
        identity_providers=OuterRef("pk"), organisation=OuterRef("organisation"), verified_at__isnull=False
    )
