"""API keys."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from environments.choices import KeySuspension, Role
from environments.models.organisations import Organisation
from web.clock import in_calendar


class ApiKey(models.Model):
    """A key for REST clients: of a person, with their permissions, or of an organisation. Only its hash is stored."""

    actor_kind: ClassVar[str] = "key"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=255)
    organisation = models.ForeignKey(Organisation, models.CASCADE, null=True, related_name="api_keys")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="api_keys")
    # The person responsible for an organisation's own key: its creator, or whoever took it over since.
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    prefix = models.CharField(max_length=12, unique=True)  # shown in lists, and how a key is found
    hash = models.CharField(max_length=64)  # SHA-256 of the whole key: 256 random bits need no stretching
    roles = ArrayField(models.CharField(max_length=24, choices=Role), default=list)  # of an organisation's own key
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Suspended: an organisation's own key until somebody takes it over; a personal key for good, when its owner's
    # account is closed.
    rests_since = models.DateTimeField(null=True, blank=True)
    rests_because = models.CharField(max_length=4, choices=KeySuspension, blank=True, default="", db_default="")
    # Organisations where the owner's membership ended: the key has no access by a later membership there.
    ended_in = ArrayField(models.BigIntegerField(), default=list, db_default=[], blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(owner__isnull=False) | Q(organisation__isnull=False), name="api_key_belongs_to_somebody"
            ),
            models.CheckConstraint(
                condition=Q(rests_since=None, rests_because="")
                | Q(rests_since__isnull=False, rests_because__in=KeySuspension.values),
                name="api_key_rests_for_a_reason",
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "expires_at", "last_used_at", "revoked_at", "rests_since"),
                name="api_key_is_in_the_calendar",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
