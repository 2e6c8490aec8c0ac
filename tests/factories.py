"""Create test data. Acme is the environment; Ada administers it, Vic is a member, Mallory belongs elsewhere."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts.models import User, as_typed
from conversations.models import Attachment, Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from environments.choices import Kind, Role
from environments.models import Membership, Organisation
from environments.tree.services import create_organisation
from web import addresses

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PASSWORD = "Correct-Horse-9"


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person-{n}@example.test")
    name = factory.Faker("name")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        """Insert the row that ``create_user`` would, in one query; a test that is about its rules calls it itself."""
        address, password = addresses.address_of(kwargs.pop("email")), hashed(kwargs.pop("password", PASSWORD))
        return model_class.objects.create(email=address.key, typed_email=as_typed(address), password=password, **kwargs)


@cache
def hashed(password: str | None) -> str:
    """Return the hash of a password, computed once for each: Argon2 is slow by design."""
    return make_password(password)


_counter = iter(range(10**9))


def organisation(kind: str = Kind.AGENCY, *, parent: Organisation | None = None, **fields: Any) -> Organisation:
    """Create an organisation through the service that Studio itself uses."""
    number = next(_counter)
    name = fields.pop("name", f"{Kind(kind).label.title()} {number}")
    slug = fields.pop("slug", f"{kind}-{number}")
    return create_organisation(name, kind=kind, parent=parent, slug=slug, by=SYSTEM, **fields)


def environment(*, parent: Organisation | None = None, **fields: Any) -> Organisation:
    return organisation(Kind.ENVIRONMENT, parent=parent or organisation(Kind.AGENCY), **fields)


def member(of: Organisation, role: str = Role.ADMINISTRATOR, **fields: Any) -> User:
    """Create a user with an accepted membership."""
    user: User = UserFactory(**fields)
    Membership.objects.create(user=user, organisation=of, roles=[role], accepted_at=timezone.now())
    return user


def contact(*, of: Organisation, days_ago: float = 0, now: datetime = NOW, **fields: Any) -> Contact:
    """Create a contact that was created, and active last, so many days ago."""
    number, at = next(_counter), now - timedelta(days=days_ago)
    return Contact.objects.create(
        environment=of,
        external_id=fields.pop("external_id", f"contact-{number}"),
        created_at=fields.pop("created_at", at),
        last_activity_at=at,
        **fields,
    )


def conversation(
    *, of: Organisation, days_ago: float | list[float] = 0, now: datetime = NOW, variables: int = 1, **fields: Any
) -> Conversation:
    """Create a conversation with a message at each of ``days_ago`` and variables written with the newest."""
    ages = [days_ago] if isinstance(days_ago, (int, float)) else days_ago
    times = sorted(now - timedelta(days=age) for age in ages)
    owner = fields.pop("contact", None) or contact(of=of, days_ago=min(ages), now=now)
    made = Conversation.objects.create(
        environment=of,
        contact=owner,
        external_id=fields.pop("external_id", f"conversation-{next(_counter)}"),
        channel=fields.pop("channel", "web"),
        created_at=fields.pop("created_at", times[0] - timedelta(seconds=1)),
        oldest_item_at=times[0],
        last_activity_at=times[-1],
        **fields,
    )
    Message.objects.bulk_create(
        Message(conversation=made, environment=of, seq=seq, role="user", text=f"Message {seq}", sent_at=at)
        for seq, at in enumerate(times)
    )
    for number in range(variables):
        made.variables.create(environment=of, key=f"key-{number}", value=number, written_at=times[-1])
    return made


def attachment(*, of: Conversation, blob: Blob | None = None, at: datetime = NOW, **fields: Any) -> Attachment:
    """Create an attachment that was sent in a conversation at that instant; without a blob its name alone came."""
    return Attachment.objects.create(
        conversation=of,
        environment_id=of.environment_id,
        blob=blob,
        name=fields.pop("name", "file"),
        mime=fields.pop("mime", "a/b"),
        size=fields.pop("size", blob.size if blob else 1),
        sent_at=at,
        **fields,
    )


def bulk_conversations(
    spans: Iterable[tuple[datetime, datetime]], *, of: Organisation, whose: Contact | None = None, **fields: Any
) -> list[Conversation]:
    """Create a conversation for each oldest item and last activity, with nothing in it.

    All are of ``whose``, or each of a contact of its own.
    """
    spans = list(spans)
    people = [whose] * len(spans)
    if whose is None:
        people = Contact.objects.bulk_create(
            Contact(environment=of, external_id=f"c{number}", last_activity_at=last)
            for number, (_oldest, last) in enumerate(spans)
        )
    return Conversation.objects.bulk_create(
        Conversation(
            environment=of,
            contact=person,
            external_id=f"c{number}",
            channel="web",
            oldest_item_at=oldest,
            last_activity_at=last,
            **fields,
        )
        for number, (person, (oldest, last)) in enumerate(zip(people, spans, strict=True))
    )
