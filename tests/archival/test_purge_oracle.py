"""Random data, purged, against the naive oracle: exact equality of all that is left and all that is counted."""

from collections import Counter
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Min
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.choices import COUNTS
from archival.counting import count_due
from archival.models import Hold, PurgeRun
from archival.purge import Limits, purge
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.factories import NOW, environment

MICROSECOND = timedelta(microseconds=1)
AGES = [0, 1, 2, 29, 30, 31, 99, 100, 101, 400]
# A day's boundary and what lies a microsecond beside it is as likely as all the rest.
age = st.builds(
    lambda days, edge: timedelta(days=days) + edge * MICROSECOND, st.sampled_from(AGES), st.sampled_from([0, -1, 1])
).map(lambda age: max(age, timedelta()))
maybe_loose = st.sampled_from([timedelta(), timedelta(), MICROSECOND, timedelta(hours=1), timedelta(days=40)])
conversation = st.fixed_dictionaries(
    {
        "messages": st.lists(age, max_size=6),
        "variables": st.lists(age, max_size=3),
        "files": st.lists(st.tuples(age, st.sampled_from([None, 0, 1])), max_size=3),
        "created": age,
        "below": maybe_loose,
        "above": maybe_loose,
        "contact": st.integers(0, 1),
        "hold": st.sampled_from([None, None, None, None, "conversation", "contact", "released", "over"]),
    }
)
tenant = st.fixed_dictionaries(
    {
        "days": st.sampled_from([None, 1, 30, 100]),
        "contacts": st.tuples(age, age),
        "conversations": st.lists(conversation, max_size=4),
        "is_held": st.sampled_from([False, False, False, True]),
    }
)
limits = st.builds(
    Limits,
    conversations=st.integers(1, 8),
    messages=st.integers(1, 12),
    per_conversation=st.integers(1, 4),
    contacts=st.integers(1, 3),
    slice=st.integers(1, 3),
)


def build(tenants):
    for plan in tenants:
        acme = environment()
        if plan["days"]:
            archive_after(acme, plan["days"])
        contacts = [
            Contact.objects.create(environment=acme, external_id=f"c{number}", last_activity_at=NOW - age)
            for number, age in enumerate(plan["contacts"])
        ]
        blobs = [
            Blob.objects.create(environment=acme, sha256=f"{number}", key=f"{acme.pk}-{number}", size=10 + number)
            for number in range(2)
        ]
        for number, each in enumerate(plan["conversations"]):
            build_conversation(acme, f"v{number}", each, contacts[each["contact"]], blobs)
        if plan["is_held"]:
            Hold.objects.create(environment=acme, reason="dispute", placed_at=NOW)


def build_conversation(acme, external_id, plan, contact, blobs):
    ages = [*plan["messages"], *plan["variables"], *(age for age, _ in plan["files"])] or [plan["created"]]
    made = Conversation.objects.create(
        environment=acme,
        contact=contact,
        external_id=external_id,
        channel="web",
        oldest_item_at=NOW - max(ages) - plan["below"],
        last_activity_at=NOW - min(ages) + plan["above"],
    )
    for seq, age in enumerate(plan["messages"]):
        Message.objects.create(conversation=made, seq=seq, role="user", text="x", sent_at=NOW - age)
    for key, age in enumerate(plan["variables"]):
        ConversationVariable.objects.create(conversation=made, key=str(key), value=1, written_at=NOW - age)
    for age, which in plan["files"]:
        blob = None if which is None else blobs[which]
        Attachment.objects.create(conversation=made, blob=blob, name="x", mime="a/b", size=1, sent_at=NOW - age)
    dates = {"placed_at": NOW - timedelta(days=2), "reason": "dispute", "environment": acme}
    match plan["hold"]:
        case "conversation":
            Hold.objects.create(conversation=made, **dates)
        case "contact":
            Hold.objects.create(contact=contact, until=NOW + MICROSECOND, **dates)
        case "released":
            Hold.objects.create(conversation=made, released_at=NOW, **dates)
        case "over":
            Hold.objects.create(contact=contact, until=NOW, **dates)


def receipts(run):
    kinds = (*COUNTS, "held")
    found = {each.environment_id: +Counter({k: getattr(each, k) for k in kinds}) for each in run.receipts.all()}
    return {pk: counts for pk, counts in found.items() if counts}


def check_bounds():
    """Every conversation's bounds hold its items, and the purge left none that it would look at again."""
    for each in Conversation.objects.annotate(first=Min("messages__sent_at")):
        times = [item.sent_at for item in [*each.messages.all(), *each.attachments.all()]]
        times += [item.written_at for item in each.variables.all()]
        assert each.oldest_item_at <= min(times, default=each.oldest_item_at)
        assert each.last_activity_at >= max(times, default=each.last_activity_at)


@given(tenants=st.lists(tenant, max_size=3), limits=limits)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_purge_leaves_and_counts_exactly_what_the_oracle_says(db, tenants, limits):
    with transaction.atomic():
        build(tenants)
        wanted = oracle.expected(NOW)
        counted = {
            each.environment_id: +Counter({kind: getattr(each, kind) for kind in (*COUNTS, "held")})
            for each in count_due(now=NOW)
        }

        run = purge(now=NOW, limits=limits, sleep_ratio=0)

        left = oracle.present()
        left.receipts = receipts(run)
        assert left == wanted
        assert counted == wanted.receipts, "a dry run counts what the purge deletes"
        assert {kind: getattr(run, kind) for kind in COUNTS} == {
            kind: sum(counts[kind] for counts in wanted.receipts.values()) for kind in COUNTS
        }
        check_bounds()
        assert purge(now=NOW, limits=limits, sleep_ratio=0).rows == 0, "a second purge deletes nothing"
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert PurgeRun.objects.count() == 2
        transaction.set_rollback(True)
