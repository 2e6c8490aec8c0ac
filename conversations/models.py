"""What bots store: contacts, their conversations, and the messages, variables and attachments in those.

These models do not know how long data is kept: ``environments`` sets limits and ``archival`` deletes. Default managers
return everything; code that shows data uses ``readable(now)``, which hides what is past its environment's cutoff,
purged or not.

Every row names its environment, and so does every query on these tables, so that they can be spread over partitions or
servers (docs/scale.md). In the keys of items it comes after the conversation: a query that forgot it would still use an
index.
"""

import uuid
from datetime import datetime
from typing import ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from conversations.choices import MessageRole
from conversations.fields import ExactJSONField
from environments.models import Organisation
from web.clock import END, FIRST, LAST, in_calendar

SomeItem = TypeVar("SomeItem", bound=models.Model)
DAYS_OF_THE_CALENDAR = FIRST.date(), LAST.date()
# Items of the outer query's conversation. The second condition is always true: it keeps PostgreSQL from answering
# EXISTS with a hash of all the environment's items.
OF_THIS_ONE = Q(conversation=OuterRef("pk"), conversation__gte=OuterRef("pk"))


class ContactQuerySet(models.QuerySet["Contact"]):
    def readable(self, now: datetime | None = None, *, environment: Organisation) -> Self:
        """Keep the environment's contacts that were active after its cutoff, or that have a readable conversation."""
        now = now or timezone.now()
        mine, cutoff = self.filter(environment=environment), environment.cutoff(now)
        if cutoff is None:
            return mine
        conversations = Conversation.objects.readable(now, environment=environment).filter(contact=OuterRef("pk"))
        return mine.filter(Q(last_activity_at__gte=cutoff) | Exists(conversations))


class Contact(models.Model):
    """An end user whom a bot talks with. Ages from their last activity."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.PROTECT, related_name="contacts", db_index=False)
    external_id = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True)
    variables = ExactJSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    last_activity_at = models.DateTimeField()

    objects = ContactQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "last_activity_at"), name="contact_is_in_the_calendar"
            ),
            models.UniqueConstraint("environment", "external_id", name="contact_once_per_environment"),
            # What the foreign key of conversations refers to.
            models.UniqueConstraint("id", "environment", name="contact_of_its_environment"),
        ]
        indexes = [models.Index("environment", "last_activity_at", name="contact_activity")]

    def __str__(self) -> str:
        return self.name or self.external_id


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def readable(self, now: datetime | None = None, *, environment: Organisation) -> Self:
        """Keep the environment's conversations with an item after its cutoff, or created after it without any item.

        ``last_activity_at`` is rounded up, so by itself it would show conversations without readable items for some
        minutes. One that never had an item still has ``created_at`` as its ``oldest_item_at``.
        """
        now = now or timezone.now()
        mine, cutoff = self.filter(environment=environment), environment.cutoff(now)
        if cutoff is None:
            return mine
        is_fresh = Q(created_at__gte=cutoff, oldest_item_at=F("created_at"))
        for model in (Message, ConversationVariable, Attachment):
            items = model._default_manager.filter(OF_THIS_ONE, environment=environment)
            is_fresh |= Q(Exists(items.filter(**{f"{model.clock}__gte": cutoff})))
        return mine.filter(is_fresh, last_activity_at__gte=cutoff)


class Conversation(models.Model):
    """What a bot and a contact said to each other on one channel; it can go on forever.

    ``oldest_item_at`` is never after its oldest item, and ``last_activity_at`` never before its newest: ingest keeps
    both bounds loose on that side only, so the purge can rely on them.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.PROTECT, related_name="conversations", db_index=False)
    # Its foreign key in the database has the environment too: a conversation is of a contact of its own environment.
    # From that PostgreSQL knows as well that a condition on the contact's environment leaves no conversation out.
    contact = models.ForeignKey(
        Contact, models.PROTECT, related_name="conversations", db_index=False, db_constraint=False
    )
    external_id = models.CharField(max_length=255)
    channel = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now)
    oldest_item_at = models.DateTimeField()
    last_activity_at = models.DateTimeField()  # rounded up to five minutes; show max(sent_at) instead
    digest = models.BinaryField(max_length=32, null=True)  # SHA-256 of what was imported, to tell same from different

    objects = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "oldest_item_at", "last_activity_at"),
                name="conversation_is_in_the_calendar",
            ),
            models.UniqueConstraint("environment", "external_id", name="conversation_once_per_environment"),
            # What the foreign keys of items refer to: an item has the environment of its conversation.
            models.UniqueConstraint("id", "environment", name="conversation_of_its_environment"),
            models.CheckConstraint(
                condition=Q(last_activity_at__gte=F("oldest_item_at")), name="activity_follows_oldest_item"
            ),
        ]
        indexes = [
            models.Index("environment", "oldest_item_at", name="conversation_oldest_item"),
            models.Index("environment", "last_activity_at", name="conversation_activity"),
            models.Index("contact", "environment", name="conversation_of_contact"),
        ]

    def __str__(self) -> str:
        return self.external_id


class ItemQuerySet(models.QuerySet[SomeItem]):
    """Items of a conversation, each with its own clock."""

    def readable(self, now: datetime | None = None, *, environment: Organisation) -> Self:
        """Keep the environment's items after its cutoff.

        No index begins with the environment: filter by conversation too, or by ``conversation__environment``.
        """
        clock: str = getattr(self.model, "clock")  # noqa: B009 - each model of items says which
        mine, cutoff = self.filter(environment=environment), environment.cutoff(now or timezone.now())
        return mine if cutoff is None else mine.filter(**{f"{clock}__gte": cutoff})

    def of_contact(self, contact: Contact) -> Self:
        """Keep the items in the contact's conversations."""
        environment = contact.environment_id
        return self.filter(
            environment=environment, conversation__environment=environment, conversation__contact=contact
        )


class Item(models.Model):
    """What is in a conversation. Its environment is that of its conversation: a foreign key on both says so.

    That key is in the migrations, since Django has none with two columns.
    """

    environment = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        abstract = True


class Message(Item):
    """A text by the contact or the bot. Ages from when it was sent."""

    clock: ClassVar[str] = "sent_at"

    # In the index the environment comes before the seq: what a search is for by value, then what it is ordered by.
    pk = models.CompositePrimaryKey("conversation", "seq", "environment")
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="messages", db_index=False, db_constraint=False
    )
    seq = models.PositiveIntegerField()  # alone gives the order
    role = models.CharField(max_length=4, choices=MessageRole)
    author = models.CharField(max_length=255, blank=True)
    text = models.TextField()
    sent_at = models.DateTimeField()  # never in the future
    claimed_at = models.DateTimeField(null=True)  # what the sender claimed, where that was in the future
    received_at = models.DateTimeField(null=True)  # when it was appended, where that was a day or more after

    objects = ItemQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("sent_at") & Q(claimed_at__range=(FIRST, END)), name="message_is_in_the_calendar"
            ),
            models.CheckConstraint(condition=in_calendar("received_at"), name="arrival_is_in_the_calendar"),
        ]
        indexes = [models.Index("conversation", "environment", "sent_at", name="message_by_age")]

    def __str__(self) -> str:
        return f"{self.conversation_id}/{self.seq}"


class ConversationVariable(Item):
    """A value that a bot stores with a conversation. Ages from when it was last written."""

    clock: ClassVar[str] = "written_at"

    pk = models.CompositePrimaryKey("conversation", "key", "environment")
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="variables", db_index=False, db_constraint=False
    )
    key = models.CharField(max_length=255)
    value = ExactJSONField()
    written_at = models.DateTimeField()

    objects = ItemQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("written_at"), name="variable_is_in_the_calendar")]

    def __str__(self) -> str:
        return self.key


class Blob(models.Model):
    """Bytes in storage, shared by the attachments of one environment that have the same content.

    Every row has a key of its own, also for content that was deleted and came again: deleting an old key can
    never take new bytes away.
    """

    environment = models.ForeignKey(Organisation, models.PROTECT, related_name="blobs", db_index=False)
    sha256 = models.CharField(max_length=64)
    key = models.CharField(max_length=120, unique=True)  # in Django's default storage
    size = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("created_at"), name="blob_is_in_the_calendar"),
            models.UniqueConstraint("environment", "sha256", name="content_once_per_environment"),
        ]

    def __str__(self) -> str:
        return self.key


class Attachment(Item):
    """A file sent in a conversation. Ages with its message."""

    clock: ClassVar[str] = "sent_at"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="attachments", db_index=False, db_constraint=False
    )
    # The message's seq in the same conversation. No foreign key and no index: with them a bulk purge is 1.7 times
    # slower, and an attachment younger than its message would make a whole batch fail at commit.
    message_seq = models.PositiveIntegerField(null=True)
    blob = models.ForeignKey(
        Blob, models.PROTECT, null=True, related_name="attachments"
    )  # None: only its name was received
    name = models.CharField(max_length=255)  # as the sender wrote it; never used as a path
    mime = models.CharField(max_length=255)
    size = models.BigIntegerField()  # bytes, as claimed by the sender; the blob has the real size
    sent_at = models.DateTimeField()  # its message's; without one, the conversation's newest

    objects = ItemQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("sent_at"), name="attachment_is_in_the_calendar")]
        indexes = [models.Index("conversation", "environment", "sent_at", name="attachment_by_age")]

    def __str__(self) -> str:
        return self.name


class DailyCount(models.Model):
    """How much was stored on a UTC day, as numbers without content, which the purge keeps."""

    environment = models.ForeignKey(Organisation, models.CASCADE, related_name="daily_counts", db_index=False)
    day = models.DateField()
    channel = models.CharField(max_length=255)
    conversations = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)  # of attachments
    contacts = models.PositiveIntegerField(default=0, db_default=0)  # new ones
    # Not so in a row of before contacts were counted: there, they are those that were still stored when that began.
    has_all_contacts = models.BooleanField(default=True, db_default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(day__range=DAYS_OF_THE_CALENDAR), name="count_is_in_the_calendar"),
            models.UniqueConstraint("environment", "day", "channel", name="one_count_a_day_and_channel"),
        ]


class DailyCountDelta(models.Model):
    """What one transaction of ingest adds to the daily counts; a task folds it in, so that writers never wait."""

    environment = models.ForeignKey(Organisation, models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    channel = models.CharField(max_length=255)
    conversations = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    contacts = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(day__range=DAYS_OF_THE_CALENDAR), name="delta_is_in_the_calendar")
        ]
