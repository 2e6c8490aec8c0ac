"""Legal holds."""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models import Contact, Conversation
from environments.models import Organisation
from web.clock import in_calendar


class HoldQuerySet(models.QuerySet["Hold"]):
    def active(self, now: datetime) -> Self:
        """Return the holds that were not released and whose end has not passed."""
        return self.filter(released_at=None).filter(Q(until=None) | Q(until__gt=now))


class Hold(models.Model):
    """A legal hold: nothing it covers is purged, erased or deleted while it is active.

    It covers one conversation, one contact with all their conversations, or the whole environment.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # No constraints: a released hold is kept as history after what it covered was purged or its environment deleted. It
    # stores no label, since a contact's name or number must not outlive the contact.
    environment = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="holds", db_constraint=False, db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.DO_NOTHING, null=True, related_name="holds", db_constraint=False, db_index=False
    )
    conversation = models.ForeignKey(
        Conversation, models.DO_NOTHING, null=True, related_name="holds", db_constraint=False, db_index=False
    )
    reason = models.CharField(_("reason"), max_length=500)
    placed_at = models.DateTimeField(default=timezone.now)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    until = models.DateTimeField(_("until"), null=True)  # None: until somebody releases it
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects = HoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("placed_at", "until", "released_at"), name="hold_is_in_the_calendar"
            ),
            models.CheckConstraint(
                condition=Q(contact=None) | Q(conversation=None), name="hold_covers_a_contact_or_a_conversation"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="hold_has_a_reason"),
            models.CheckConstraint(
                condition=Q(until=None) | Q(until__gt=F("placed_at")), name="hold_ends_after_it_was_placed"
            ),
        ]
        indexes = [models.Index("environment", name="hold_open", condition=Q(released_at=None))]

    def __str__(self) -> str:
        return self.reason

    @property
    def covers_one(self) -> bool:
        """Whether it covers a contact or a conversation, and not the whole environment."""
        return self.contact_id is not None or self.conversation_id is not None

    def is_active(self, now: datetime) -> bool:
        return self.released_at is None and (self.until is None or self.until > now)
