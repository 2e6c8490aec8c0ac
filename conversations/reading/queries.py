"""Query readable conversations and contacts, in slices that cost the same whatever the number of rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Left, Length
from django.utils.module_loading import import_string

from conversations.models import OF_THIS_ONE, Attachment, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation

ROWS = 50
MESSAGES = 100
FILES = 200
HOLDS = 5  # that the page of a contact or conversation names
PREVIEW_CHARACTERS = 160
TEXT_CHARACTERS = 10_000  # of one message on the page of its conversation, which links to the whole text
VALUE_CHARACTERS = 2_000
VARIABLES = 200  # of a conversation or a contact on its page
CHANNELS_FROM = 500  # how many of the latest conversations are searched for channels


def holds_on(environment: Organisation, *, now: datetime, **covered: Contact | Conversation) -> list[Any]:
    """Return the latest ``HOLDS`` active legal holds on a ``contact`` or a ``conversation``, by ``HOLDS_COVERING``."""
    holds = import_string(settings.HOLDS_COVERING)(environment, now=now, **covered)
    return list(holds.order_by("-pk")[:HOLDS])


def conversations_of(environment: Organisation, *, now: datetime) -> QuerySet[Any]:
    """Return the readable conversations of the environment, each with ``latest_at``.

    That is the time of its latest readable message, or of its creation where it has none.
    """
    messages = Message.objects.readable(now, environment=environment).filter(OF_THIS_ONE).order_by()
    latest = messages.values("conversation").values(latest=Max("sent_at"))
    found = Conversation.objects.readable(now, environment=environment)
    return found.annotate(latest_at=Coalesce(Subquery(latest), "created_at"))


def matching(
    found: QuerySet[Any],
    environment: Organisation,
    *,
    words: str = "",
    channel: str = "",
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    now: datetime,
) -> QuerySet[Any]:
    """Filter conversations; ``words`` are searched as one text in contacts, ids, messages and variables."""
    if channel:
        found = found.filter(channel=channel)
    if starts_at:
        found = found.filter(last_activity_at__gte=starts_at, latest_at__gte=starts_at)
    if ends_at:
        found = found.filter(latest_at__lt=ends_at)
    if words:
        texts = Message.objects.readable(now, environment=environment).filter(OF_THIS_ONE, text__icontains=words)
        variables = (
            ConversationVariable.objects.readable(now, environment=environment)
            .annotate(shown=Cast("value", TextField()))
            .filter(OF_THIS_ONE, Q(key__icontains=words) | Q(shown__icontains=words))
        )
        labels = Q(external_id__icontains=words) | named(words, "contact__")
        found = found.filter(labels | Q(Exists(texts)) | Q(Exists(variables)))
    return found


def named(words: str, prefix: str = "") -> Q:
    return Q(**{f"{prefix}name__icontains": words}) | Q(**{f"{prefix}external_id__icontains": words})


def with_details(found: QuerySet[Any], environment: Organisation, *, now: datetime) -> QuerySet[Any]:
    """Add the number of readable messages and files, and the start of the last text, to each conversation."""
    messages = Message.objects.readable(now, environment=environment).filter(OF_THIS_ONE).order_by()
    files = Attachment.objects.readable(now, environment=environment).filter(OF_THIS_ONE).order_by()
    return with_contact(found, environment).annotate(
        message_count=Coalesce(Subquery(_count(messages)), 0),
        file_count=Coalesce(Subquery(_count(files)), 0),
        preview=Subquery(messages.order_by("-seq").values(start=Left("text", PREVIEW_CHARACTERS))[:1]),
    )


def with_contact(found: QuerySet[Any], environment: Organisation) -> QuerySet[Any]:
    """Add the contact, without its variables, to each conversation of the environment."""
    return found.filter(contact__environment=environment).select_related("contact").defer("contact__variables")


def _count(items: QuerySet[Any]) -> QuerySet[Any]:
    return items.values("conversation").values(n=Count("*"))


CONVERSATION_ORDER = ("last_activity_at", "latest_at", "pk")  # the first, rounded up, has an index
CONTACT_ORDER = ("last_activity_at", "pk")


def channels_of(environment: Organisation, *, now: datetime) -> list[str]:
    """Return the channels of the latest 500 readable conversations, sorted."""
    latest = Conversation.objects.readable(now, environment=environment).order_by("-last_activity_at")
    return sorted(set(latest.values_list("channel", flat=True)[:CHANNELS_FROM]))


def messages_of(
    conversation: Conversation, *, now: datetime, before: int | None = None, after: int | None = None
) -> tuple[list[Any], bool, bool]:
    """Return up to ``MESSAGES`` readable messages by seq, and whether there are earlier and later ones.

    These are the last ones, or the last before or the first after a ``seq``. Each has ``shown``, the start of its text,
    and ``length``, the number of its characters.
    """
    found = (
        Message.objects.readable(now, environment=conversation.environment)
        .filter(conversation=conversation)
        .annotate(shown=Left("text", TEXT_CHARACTERS), length=Length("text"))
        .defer("text")
    )
    if after is not None:
        rows = list(found.filter(seq__gt=after).order_by("seq")[: MESSAGES + 1])
        return rows[:MESSAGES], True, len(rows) > MESSAGES
    if before is not None:
        found = found.filter(seq__lt=before)
    rows = list(found.order_by("-seq")[: MESSAGES + 1])
    return rows[:MESSAGES][::-1], len(rows) > MESSAGES, before is not None


def files_of(conversation: Conversation, *, now: datetime) -> list[Attachment]:
    """Return the latest readable attachments, at most ``FILES``."""
    readable = Attachment.objects.readable(now, environment=conversation.environment)
    found = readable.filter(conversation=conversation)
    return list(found.order_by("-sent_at", "pk")[:FILES])


@dataclass
class Variables:
    """The first variables by key, each with the start of its JSON, and the number of all variables."""

    first: list[tuple[str, str]]
    count: int


def variables_of(conversation: Conversation, *, now: datetime) -> Variables:
    """Return the readable variables of a conversation."""
    readable = ConversationVariable.objects.readable(now, environment=conversation.environment)
    found = readable.filter(conversation=conversation).order_by("key")
    first = found.values_list("key", Left(Cast("value", TextField()), VALUE_CHARACTERS))
    return Variables(list(first[:VARIABLES]), found.count())


def contact_variables(contact: Contact) -> Variables:
    """Return the variables of a contact, read without loading all: old ones can exceed today's limits."""
    with connection.cursor() as cursor:
        cursor.execute(_CONTACT_VARIABLES, [VALUE_CHARACTERS, contact.pk, contact.environment_id, VARIABLES])
        rows = cursor.fetchall()
    return Variables([(key, start) for key, start, _ in rows], rows[0][2] if rows else 0)


_CONTACT_VARIABLES = """
SELECT v.key, left(v.value::text, %s), count(*) OVER ()
FROM conversations_contact c, json_each(c.variables) AS v(key, value)
WHERE c.id = %s AND c.environment_id = %s ORDER BY v.key COLLATE "C" LIMIT %s
"""


def contacts_of(environment: Organisation, *, now: datetime, words: str = "") -> QuerySet[Any]:
    """Return the readable contacts, each with the number of their readable conversations."""
    mine = Conversation.objects.readable(now, environment=environment).filter(contact=OuterRef("pk")).order_by()
    counted = mine.values("contact").values(n=Count("*"))
    found = Contact.objects.readable(now, environment=environment)
    if words:
        found = found.filter(named(words))
    return found.defer("variables").annotate(conversation_count=Coalesce(Subquery(counted), Value(0)))
