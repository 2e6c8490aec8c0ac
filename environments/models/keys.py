"""Keys for REST, and who calls by one."""

import uuid
from dataclasses import dataclass
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from environments.choices import KeyRest, Role
from environments.models.organisations import Organisation
from web.clock import in_calendar


class ApiKey(models.Model):
    """A key for REST clients: a person's, with their permissions, or an organisation's own. Only its hash is kept."""

    actor_kind: ClassVar[str] = "key"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=255)
    organisation = models.ForeignKey(Organisation, models.CASCADE, null=True, related_name="api_keys")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="api_keys")
    # Who answers for an organisation's own key: whoever minted it, or took it over since.
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    prefix = models.CharField(max_length=12, unique=True)  # shown in lists, and how a key is found
    hash = models.CharField(max_length=64)  # SHA-256 of the whole key: 256 random bits need no stretching
    roles = ArrayField(models.CharField(max_length=24, choices=Role), default=list)  # of an organisation's own key
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # An organisation's own key rests until somebody takes it over; a person's, once their account was closed, for good.
    rests_since = models.DateTimeField(null=True, blank=True)
    rests_because = models.CharField(max_length=4, choices=KeyRest, blank=True, default="", db_default="")
    # Organisations that a person's key was a way into by a membership that has ended: a later one does not wake it.
    ended_in = ArrayField(models.BigIntegerField(), default=list, db_default=[], blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(owner__isnull=False) | Q(organisation__isnull=False), name="api_key_belongs_to_somebody"
            ),
            models.CheckConstraint(
                condition=Q(rests_since=None, rests_because="")
                | Q(rests_since__isnull=False, rests_because__in=KeyRest.values),
                name="api_key_rests_for_a_reason",
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "expires_at", "last_used_at", "revoked_at", "rests_since"),
                name="api_key_is_in_the_calendar",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def principal(self) -> "User | KeyHolder":
        """Return whom the door sees: the owner, who then carries this key as ``api_key``, or the key itself."""
        if self.owner is None:
            return KeyHolder(self)
        self.owner.api_key = self  # type: ignore[attr-defined]  # how the door knows
        return self.owner


@dataclass(frozen=True)
class KeyHolder:
    """Stands where a user would when an organisation's own key calls: no person, no session, no super user."""

    api_key: ApiKey
    actor_kind: ClassVar[str] = "key"
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> int:
        return self.api_key.pk

    def __str__(self) -> str:
        return str(self.api_key)
