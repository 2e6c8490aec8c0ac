"""Memberships, invitations and access requests."""

import hashlib
import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from environments.choices import Permission, Role, labels_of
from environments.models.organisations import Organisation
from web.addresses import readable
from web.clock import in_calendar


class MembershipQuerySet(models.QuerySet["Membership"]):
    def live(self, now: datetime | None = None) -> Self:
        """Leave out memberships that were not accepted yet or have expired."""
        now = now or timezone.now()
        return self.filter(accepted_at__isnull=False).filter(Q(expires_at=None) | Q(expires_at__gt=now))

    def due_for_reminder(self, *, now: datetime, ahead: timedelta) -> Self:
        """Keep memberships of active people that end so soon, and of whose end nobody was reminded.

        Those that were given for a shorter time are left out: their end was said when they began.
        """
        was_long = Q(expires_at__gt=F("accepted_at") + ahead)
        soon = self.filter(was_long, expires_at__lte=now + ahead, end_mailed_at=None, user__is_active=True)
        return soon.select_related("user", "organisation")

    def allowing(self, permission: Permission) -> Self:
        """Keep memberships with a role that has this permission."""
        return self.filter(roles__overlap=[role for role in Role if permission in role.permissions])


class Membership(models.Model):
    """Roles of a user on one organisation, valid there and everywhere below it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=24, choices=Role))
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True)  # counts only from then on
    expires_at = models.DateTimeField(null=True)
    end_mailed_at = models.DateTimeField(null=True)  # when people were reminded of ``expires_at``

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("user", "organisation", name="one_membership_per_organisation"),
            models.CheckConstraint(condition=~Q(roles=[]), name="membership_has_a_role"),
            models.CheckConstraint(
                condition=in_calendar("created_at", "accepted_at", "expires_at"), name="membership_is_in_the_calendar"
            ),
            models.CheckConstraint(
                condition=in_calendar("end_mailed_at"), name="reminder_of_an_end_is_in_the_calendar"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation}"

    @property
    def role_labels(self) -> list[str]:
        return labels_of(self.roles)

    def is_live(self, now: datetime) -> bool:
        """Return whether the membership is accepted and has not expired, as ``MembershipQuerySet.live`` does in SQL."""
        return self.accepted_at is not None and (self.expires_at is None or self.expires_at > now)


class InvitationLink(models.Model):
    """A link to join an organisation, copied by whoever made it; it works once, and only its token's hash is stored.

    Whoever opens it proves a mailbox first: they type an address, and an ``Invitation`` is mailed there.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="invitation_links")
    note = models.CharField(max_length=100, blank=True)  # for whom it is, in the words of whoever made it
    roles = ArrayField(models.CharField(max_length=24, choices=Role))
    membership_expires_at = models.DateTimeField(null=True)  # of who joins by it
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("membership_expires_at", "created_at", "expires_at", "used_at"),
                name="invitation_link_is_in_the_calendar",
            ),
        ]

    def __str__(self) -> str:
        return self.note

    @property
    def role_labels(self) -> list[str]:
        return labels_of(self.roles)


class Invitation(models.Model):
    """A mailed link to join an organisation. Only the hash of its token is stored; owning the mailbox is the proof."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    typed_email = models.CharField(max_length=254, blank=True, default="", db_default="")  # empty: as ``email``
    roles = ArrayField(models.CharField(max_length=24, choices=Role))
    membership_expires_at = models.DateTimeField(null=True)  # of who accepts it
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    by_domain = models.ForeignKey(
        "OrganisationDomain", models.CASCADE, null=True, related_name="+"
    )  # whose person asked for the link
    by_link = models.ForeignKey(InvitationLink, models.CASCADE, null=True, related_name="invitations")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"), "organisation", condition=Q(used_at=None), name="one_open_invitation_per_address"
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "expires_at", "used_at"), name="invitation_is_in_the_calendar"
            ),
            models.CheckConstraint(
                condition=in_calendar("membership_expires_at"), name="invited_membership_is_in_the_calendar"
            ),
        ]

    def __str__(self) -> str:
        return readable(self.email)

    @property
    def mailbox(self) -> str:
        """The address that the invitation is mailed to: as it was typed."""
        return self.typed_email or self.email

    @staticmethod
    def hash_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    def waiting(self) -> Self:
        """Keep waiting requests of people whose account is open: those that can be answered."""
        return self.filter(state="waiting", user__is_active=True)


class AccessRequest(models.Model):
    """A request for access by a person without a membership; an environment manager accepts or rejects it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        ACCEPTED = "accepted", _("accepted")
        REJECTED = "rejected", _("rejected")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="access_requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_requests")
    message = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organisation", "user", condition=Q(state="waiting"), name="one_waiting_request_per_person"
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "answered_at"), name="access_request_is_in_the_calendar"
            ),
        ]
