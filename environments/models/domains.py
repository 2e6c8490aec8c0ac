"""E-mail domains of organisations."""

from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from environments.choices import DOMAIN_GRACE, DnsAnswer, DomainProof
from environments.models.organisations import Organisation
from web.addresses import to_unicode
from web.clock import in_calendar


class OrganisationDomain(models.Model):
    """An e-mail domain whose people can join, once it is verified by DNS or by a super user."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="domains")
    domain = models.CharField(max_length=253)
    token = models.CharField(max_length=64)  # the text that the DNS TXT record must have
    created_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True)
    proof = models.CharField(max_length=10, choices=DomainProof, blank=True)
    checked_at = models.DateTimeField(null=True)  # the last query to the DNS, and its result
    answer = models.CharField(max_length=13, choices=DnsAnswer, blank=True)
    failed_checks = models.PositiveSmallIntegerField(default=0)  # in a row, while it is not verified
    next_check_at = models.DateTimeField(null=True, default=timezone.now, db_index=True)  # None: only when asked
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    unconfirmed_since = models.DateTimeField(null=True)  # since then nobody is responsible for the roles that it gives
    missing_since = models.DateTimeField(null=True)  # since then the DNS lacks the record of the verified domain

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("domain"), "organisation", name="domain_once_per_organisation"),
            models.UniqueConstraint(
                Lower("domain"), condition=Q(verified_at__isnull=False), name="domain_is_proven_once"
            ),
            models.CheckConstraint(
                condition=in_calendar(
                    "created_at", "verified_at", "checked_at", "next_check_at", "unconfirmed_since", "missing_since"
                ),
                name="domain_is_in_the_calendar",
            ),
        ]

    def __str__(self) -> str:
        return self.domain

    @property
    def readable(self) -> str:
        """The name as people read it: ``bücher.example`` for ``xn--bcher-kva.example``."""
        return to_unicode(self.domain)

    @property
    def record_name(self) -> str:
        return record_name(self.domain)

    @property
    def lapses_at(self) -> datetime | None:
        """When the domain stops being verified unless the record comes back, or None."""
        return self.missing_since + DOMAIN_GRACE if self.missing_since else None


LABEL: Final = "_studio-challenge"  # an underscore: no host has this name


def record_name(domain: str) -> str:
    """Return the name of the domain's TXT record."""
    return f"{LABEL}.{domain}"
