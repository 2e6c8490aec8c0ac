"""What ``readable`` keeps, against a naive oracle."""

from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message
from conversations.reading import queries as reading
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.factories import NOW

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
# Ages around the cutoffs of 1 and 3 days, to the microsecond, and within the hour that a bound is rounded up by.
ages = st.sampled_from(
    [timedelta(0), DAY, DAY + timedelta(microseconds=1), DAY - timedelta(microseconds=1), DAY + timedelta(minutes=20),
     3 * DAY, 3 * DAY + timedelta(microseconds=1), 9 * DAY]
)  # fmt: skip
conversations = st.lists(st.tuples(st.lists(ages, max_size=3), ages, st.booleans(), st.booleans()), max_size=4)


def limit(environment, days):
    fields = {"archival": "limit" if days else "inherit", "archive_after_days": days}
    Organisation.objects.filter(pk=environment.pk).update(**fields, effective_archive_after_days=days)
    environment.refresh_from_db()


def lay_out(environment, drawn):
    """Store conversations, each when it was drawn to be received, and take some variables out as the purge does."""
    for number, (stamps, received, has_variable, is_shell) in enumerate(drawn):
        messages = [
            {"role": "user", "text": "x", "seq": seq, "ts": (NOW - age).isoformat()} for seq, age in enumerate(stamps)
        ]
        value = line(f"c{number}", variables={"v": 1} if has_variable else {}) | {"messages": messages}
        store(environment, [check_conversation(value)], now=NOW - received)
        if is_shell and messages:
            made = Conversation.objects.get(environment=environment, external_id=f"c{number}")
            made.messages.all().delete()
            made.variables.all().delete()
            Conversation.objects.filter(pk=made.pk).update(oldest_item_at=made.last_activity_at)


def cutoff_of(days):
    return NOW - days * DAY if days else None


def oracle(environment):
    """Return the names of readable conversations and contacts, by looking at every row."""
    cutoff = cutoff_of(environment.effective_archive_after_days)

    def fresh(at):
        return cutoff is None or at >= cutoff

    names, contacts = set(), set()
    for each in environment.conversations.all():
        clocks = [
            *each.messages.values_list("sent_at", flat=True),
            *each.variables.values_list("written_at", flat=True),
        ]
        never_had_one = not clocks and each.oldest_item_at == each.created_at
        if cutoff is None or any(map(fresh, clocks)) or (never_had_one and fresh(each.created_at)):
            names.add(each.external_id)
            contacts.add(each.contact.external_id)
    contacts |= {each.external_id for each in environment.contacts.all() if fresh(each.last_activity_at)}
    return names, contacts


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=conversations, days=st.sampled_from([None, 1, 3]))
def test_readable_keeps_what_the_oracle_keeps(db, drawn, days):
    environment, neighbour = factories.environment(), factories.environment()
    lay_out(environment, drawn)
    lay_out(neighbour, drawn)
    limit(environment, days)
    names, contacts = oracle(environment)

    def found(queryset):
        return set(queryset.values_list("external_id", flat=True))

    assert found(Conversation.objects.readable(NOW, environment=environment)) == names
    assert found(Contact.objects.readable(NOW, environment=environment)) == contacts
    cutoff = cutoff_of(days)
    for model in (Message, ConversationVariable, Attachment):
        readable = model.objects.readable(NOW, environment=environment).values_list("conversation", model.clock)
        stored = model.objects.filter(environment=environment).values_list("conversation", model.clock)
        assert sorted(readable) == sorted(each for each in stored if cutoff is None or each[1] >= cutoff)


def test_the_list_reads_the_index_from_its_end_and_never_hashes_other_tenants_rows(db):
    environment = factories.environment()
    limit(environment, 30)
    store(environment, [check_conversation(line(f"c{number}")) for number in range(300)], now=NOW)
    found = reading.conversations_of(environment, now=NOW)
    found = reading.with_details(reading.matching(found, environment, words="hello", now=NOW), environment, now=NOW)
    plan = found.order_by(*(f"-{key}" for key in reading.CONVERSATION_ORDER))[:51].explain()
    assert "hashed" not in plan


def test_postgresql_expects_every_conversation_of_the_list_to_have_its_contact(db):
    """Else it expects fewer conversations than a page shows, and sorts all of them."""
    environments = [factories.environment() for _ in range(20)]
    for environment in environments:
        factories.bulk_conversations([(NOW, NOW)] * 300, of=environment)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    found = reading.with_details(reading.conversations_of(environment, now=NOW), environment, now=NOW)
    assert " rows=300 " in found.explain().splitlines()[0]
