"""Data to purge, drawn at random or laid out by hand, and the check of one purge against the oracle."""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from hypothesis import strategies as st

from archival.choices import COUNTS
from archival.engine.run import Limits, purge
from archival.models import Hold, PurgeRun
from archival.policy.counting import count_due
from conversations.models import Blob, Contact, Conversation, ConversationVariable, Message
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.factories import NOW, attachment, environment

MICROSECOND, DAY = timedelta(microseconds=1), timedelta(days=1)
AGES = [0, 1, 2, 29, 30, 31, 99, 100, 101, 400]
STATEMENTS = 2_000  # more than any plan needs: a purge that asks for more goes round in a circle

# -- Random plans ---------------------------------------------------------------------------------
# A day's boundary and what lies a microsecond beside it is as likely as all the rest.
age = st.builds(
    lambda days, edge: timedelta(days=days) + edge * MICROSECOND, st.sampled_from(AGES), st.sampled_from([0, -1, 1])
).map(lambda age: max(age, timedelta()))
maybe_loose = st.sampled_from([timedelta(), timedelta(), MICROSECOND, timedelta(hours=1), DAY, 40 * DAY])
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
        "contacts": st.lists(st.tuples(age, st.sampled_from([False, False, True])), min_size=2, max_size=4),
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
zones = st.sampled_from(["UTC", "Europe/Amsterdam"])  # where clocks went back between NOW and 30 days before


# -- The plan that has every edge ------------------------------------------------------------------------
def talk(*messages, variables=(), files=(), created=0, below=timedelta(), above=timedelta(), contact=0, hold=None):
    """Plan a conversation; ages are timedeltas, or days."""

    def aged(value):
        return value if isinstance(value, timedelta) else value * DAY

    return {
        "messages": [aged(each) for each in messages],
        "variables": [aged(each) for each in variables],
        "files": [(aged(each), blob) for each, blob in files],
        "created": aged(created),
        "below": below,
        "above": above,
        "contact": contact,
        "hold": hold,
    }


def edges(days):
    """Plan a tenant in which each condition of the purge decides something that no other one does."""
    limit = days * DAY
    talks = []
    for at in (limit - MICROSECOND, limit, limit + MICROSECOND):
        hour = {"below": 400 * DAY}  # looked at, whatever is in it
        talks += [talk(at, **hour), talk(variables=[at], **hour), talk(files=[(at, 0)], **hour)]
        talks += [talk(at, days + 5), talk(created=at), talk(created=at, above=timedelta(hours=1))]
        # Nothing is left in these, and their newest bound lies at the edge.
        talks += [talk(limit + 5 * DAY, above=limit + 5 * DAY - at)]
    old, young = days + 1, 0
    talks += [
        talk(old, variables=[young]),
        talk(young, variables=[old]),
        talk(old, files=[(young, 0)]),
        talk(young, files=[(old, 0)]),
        talk(old, variables=[old], files=[(young, 1), (old, 0), (old, None)]),
        talk(variables=[old], files=[(young, 1)]),
        talk(*[old] * 5, young, variables=[old, young]),
        talk(*[old + 3] * 6, old, files=[(old + 2, 0)]),
        talk(old, variables=[old], files=[(old, 1)], hold="conversation"),
        talk(old, variables=[old], files=[(old, 1)], hold="contact", contact=1),
        talk(old, contact=2, hold="released"),
        talk(old, contact=2, hold="over"),
        talk(old, contact=3),
        talk(young, contact=8),  # an old contact that has a conversation
    ]
    contacts = [limit - MICROSECOND, limit + MICROSECOND, limit, limit + 400 * DAY, limit - MICROSECOND, limit]
    contacts += [limit + MICROSECOND, limit + 2 * DAY, limit + 3 * DAY]
    held = {7}
    return {
        "days": days,
        "contacts": [(age, number in held) for number, age in enumerate(contacts)],
        "conversations": talks,
        "is_held": False,
    }


WHOLLY_HELD = {"days": 30, "contacts": [(31 * DAY, False)] * 2, "conversations": [talk(31)], "is_held": True}
UNLIMITED = edges(30) | {"days": None}
ONLY_CONTACTS = {"days": 30, "contacts": [(31 * DAY, False)] * 5, "conversations": [], "is_held": False}
EVERY_EDGE = [edges(30), WHOLLY_HELD, UNLIMITED, ONLY_CONTACTS]
TIGHT = Limits(conversations=4, messages=3, per_conversation=2, contacts=2, slice=2)


# -- Building and checking -------------------------------------------------------------------------------
def build(tenants):
    for plan in tenants:
        acme = environment()
        if plan["days"]:
            archive_after(acme, plan["days"])
        contacts = []
        for number, (age, is_held) in enumerate(plan["contacts"]):
            made = Contact.objects.create(environment=acme, external_id=f"c{number}", last_activity_at=NOW - age)
            contacts.append(made)
            if is_held:
                Hold.objects.create(environment=acme, contact=made, reason="dispute", placed_at=NOW)
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
    Message.objects.bulk_create(
        Message(
            conversation=made, environment_id=made.environment_id, seq=seq, role="user", text="x", sent_at=NOW - age
        )
        for seq, age in enumerate(plan["messages"])
    )
    ConversationVariable.objects.bulk_create(
        ConversationVariable(
            conversation=made, environment_id=made.environment_id, key=str(key), value=1, written_at=NOW - age
        )
        for key, age in enumerate(plan["variables"])
    )
    for age, which in plan["files"]:
        blob = None if which is None else blobs[which]
        attachment(of=made, blob=blob, at=NOW - age)
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


def check_purge(tenants, limits=TIGHT, zone="UTC"):
    """Build the plan, purge it and compare everything with the oracle; leaves nothing behind."""
    with transaction.atomic():
        build(tenants)
        wanted = oracle.expected(NOW)
        counted = {
            each.environment_id: +Counter({kind: getattr(each, kind) for kind in (*COUNTS, "held")})
            for each in count_due(now=NOW)
        }

        with session_in(zone), connection.execute_wrapper(Ending()):
            run = purge(now=NOW, limits=limits, sleep_ratio=0)

        left = oracle.present()
        left.receipts, left.oldest = receipts(run), oldest(run)
        assert left == wanted
        assert counted == wanted.receipts, "a dry run counts what the purge deletes"
        assert run.counts == {kind: sum(counts[kind] for counts in wanted.receipts.values()) for kind in COUNTS}
        check_bounds()
        assert purge(now=NOW, limits=limits, sleep_ratio=0).rows == 0, "a second purge deletes nothing"
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert PurgeRun.objects.count() == 2
        transaction.set_rollback(True)


class Ending:
    """Fail a purge that never ends."""

    count = 0

    def __call__(self, execute, sql, params, many, context):
        self.count += 1
        assert self.count < STATEMENTS, "the purge goes round in a circle"
        return execute(sql, params, many, context)


@contextmanager
def session_in(zone):
    """Let PostgreSQL, and Django that reads its answers, work in this time zone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        connection.timezone = ZoneInfo(zone)
        try:
            yield
        finally:
            del connection.timezone
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")


def receipts(run):
    kinds = (*COUNTS, "held")
    found = {each.environment_id: +Counter({k: getattr(each, k) for k in kinds}) for each in run.receipts.all()}
    return {pk: counts for pk, counts in found.items() if counts}


def oldest(run):
    """Return what the receipts call the oldest before and after; the latter is read back from what is left."""
    for each in run.receipts.all():
        left = [*Conversation.objects.filter(environment=each.environment_id).values_list("oldest_item_at", flat=True)]
        left += Contact.objects.filter(environment=each.environment_id).values_list("last_activity_at", flat=True)
        assert each.oldest_after == min(left, default=None)
    return {each.environment_id: each.oldest_before for each in run.receipts.all() if each.oldest_before}


def check_bounds():
    """Every conversation's bounds hold its items."""
    for each in Conversation.objects.prefetch_related("messages", "attachments", "variables"):
        times = [item.sent_at for item in [*each.messages.all(), *each.attachments.all()]]
        times += [item.written_at for item in each.variables.all()]
        assert each.oldest_item_at <= min(times, default=each.oldest_item_at)
        assert each.last_activity_at >= max(times, default=each.last_activity_at)
