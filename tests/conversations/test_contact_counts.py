"""New contacts per UTC day and channel: counted by ingest, kept by deletion, and filled in by the migration."""

from collections import Counter
from datetime import date, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conversations.ingest.append import append
from conversations.ingest.counts import fold_counts
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Contact, Conversation, DailyCount
from tests import factories
from tests.at_once import at_once
from tests.conversations.lines import line
from tests.factories import NOW

MIGRATION = "conversations.migrations.0013_fill_contacts_of_daily_counts"


def said(name: str, contact: str, day: int, channel: str = "web", *, hour: int = 12) -> dict:
    ts = f"2024-05-{day:02}T{hour:02}:00:00Z"
    return line(name, contact={"id": contact, "variables": {}}, ts=ts, channel=channel)


def put(environment, *values: dict) -> None:
    store(environment, [check_conversation(each) for each in values], now=NOW)


def counted(environment) -> dict[tuple[str, str], int]:
    """Return the contacts of the daily counts, by day and channel, without zeros."""
    while fold_counts():
        pass
    found = DailyCount.objects.filter(environment=environment, contacts__gt=0)
    return {(str(day), channel): count for day, channel, count in found.values_list("day", "channel", "contacts")}


def fill() -> None:
    import_module(MIGRATION).fill(None, schema_editor=SimpleNamespace(connection=connection))


def delete_everything(environment) -> None:
    Conversation.objects.filter(environment=environment).delete()
    Contact.objects.filter(environment=environment).delete()


names = st.sampled_from("abcdefgh")
offers = st.builds(said, names, st.sampled_from("xyz"), st.integers(1, 4), st.sampled_from(["web", "sms"]))
batches = st.lists(st.lists(offers, max_size=6) | st.none(), max_size=4)


class Oracle:
    """Counts as a person would: who is new in a batch counts where their first conversation of the batch began."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.forget()

    def forget(self) -> None:
        self.conversations: set[str] = set()
        self.contacts: set[str] = set()

    def offer(self, batch: list[dict]) -> None:
        fresh: dict[str, tuple[str, str, str]] = {}
        for each in batch:
            contact, began = each["contact"]["id"], each["messages"][0]["ts"]
            if each["id"] in self.conversations:
                continue
            self.conversations.add(each["id"])
            if contact not in self.contacts:
                candidate = (began, each["id"], each["channel"])
                fresh[contact] = min(fresh.get(contact, candidate), candidate)
        self.contacts |= fresh.keys()
        self.counts.update((began[:10], channel) for began, _name, channel in fresh.values())


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches)
@example(batches=[[said("a", "x", 2), said("b", "x", 1, "sms")], None, [said("a", "x", 3)]])
def test_a_contact_counts_once_where_it_began_and_again_after_its_deletion(acme, batches):
    environment, oracle = factories.environment(), Oracle()
    for batch in batches:
        if batch is None:
            delete_everything(environment)
            oracle.forget()
        else:
            put(environment, *batch)
            oracle.offer(batch)
    assert counted(environment) == dict(oracle.counts)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offers=st.lists(offers, max_size=8))
def test_the_migration_counts_what_is_stored_as_ingest_counted_it(acme, offers):
    environment = factories.environment()
    put(environment, *offers)
    at_ingest = counted(environment)
    before = list(DailyCount.objects.order_by("pk").values())
    DailyCount.objects.update(contacts=0)
    fill()
    fill()

    assert counted(environment) == at_ingest
    assert list(DailyCount.objects.order_by("pk").values()) == before


@pytest.mark.django_db
def test_the_migration_says_so_of_a_row_that_it_adds(acme):
    put(acme, said("a", "x", 1))
    counted(acme)
    DailyCount.objects.all().delete()
    fill()

    added = DailyCount.objects.get()
    assert (added.day, added.contacts, added.has_all_contacts) == (date(2024, 5, 1), 1, False)


@pytest.mark.django_db
def test_appending_counts_a_contact_that_it_creates_again_and_no_other(acme):
    put(acme, said("a", "x", 1))
    conversation = acme.conversations.select_related("contact", "environment").get()
    message = NewMessage("user", "more", ts=NOW - timedelta(days=2))
    append(conversation, messages=[message], now=NOW)
    assert counted(acme) == {("2024-05-01", "web"): 1}

    delete_everything(acme)
    append(conversation, messages=[message], now=NOW)
    assert counted(acme) == {("2024-05-01", "web"): 1, (f"{NOW - timedelta(days=2):%Y-%m-%d}", "web"): 1}


@pytest.mark.django_db(transaction=True)
def test_two_imports_at_once_count_each_new_contact_once(acme):
    batches = [[said(f"{name}{n}", f"k{n % 7}", 1) for n in range(100)] for name in "abcd"]
    at_once(*(lambda batch=batch: put(acme, *batch) for batch in batches))
    assert counted(acme) == {("2024-05-01", "web"): 7}
