"""What a purge leaves: no shells, right counters and previews, living contacts, whatever the policies around it."""

from datetime import timedelta
from itertools import product

import pytest

from archival.engine.run import Limits, delete_due, find_due, purge
from archival.models import PurgeRun
from conversations.ingest.append import append
from conversations.ingest.counts import fold_counts
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Contact, Conversation, DailyCount
from conversations.reading.queries import conversations_of, with_details
from environments.models import Organisation
from studio.figures import daily_chart, figures_of, questions_about, questions_of_chart
from tests.archival.limits import archive_after
from tests.conversations.lines import line
from tests.factories import NOW, contact, conversation, environment, organisation
from web.together import fetch_together

pytestmark = pytest.mark.django_db
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
INHERIT = object()


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def say(to, at, text):
    return append(to, messages=[NewMessage(seq=None, role="user", text=text, ts=at)], now=NOW)


def strictest(above, is_locked, own):
    """Work out what holds: the nearest own value, and never more than a lock above."""
    days = above if own is INHERIT else own
    return min(above, days or above) if is_locked else days


@pytest.mark.parametrize("is_suspended", [False, True])
def test_every_combination_of_inherit_shorter_longer_off_and_locked_deletes_by_the_effective_limit(is_suspended):
    expected = {}
    for above, own in product([(None, False), (30, False), (30, True)], [INHERIT, 10, 100, None]):
        parent = archive_after(organisation(), above[0], locked=above[1])
        child = environment(parent=parent)
        if own is not INHERIT:
            archive_after(child, own)
        if is_suspended:
            child.suspended_at = NOW - 400 * DAY
            child.save(update_fields=["suspended_at"])
        days = strictest(*above, own)
        for age in (9, 10, 11, 29, 30, 31, 99, 100, 101, 400):
            made = conversation(of=child, days_ago=age)
            expected[made.pk] = days is None or age <= days

    purge(now=NOW)

    assert dict.fromkeys(expected) | dict.fromkeys(Conversation.objects.values_list("pk", flat=True), True) == {
        pk: True if stays else None for pk, stays in expected.items()
    }


def test_an_environment_that_was_idle_for_a_year_is_empty_after_one_run(acme):
    for age in (365, 400, 700):
        conversation(of=acme, days_ago=age)
    contact(of=acme, days_ago=366)

    purge(now=NOW)

    assert not Conversation.objects.exists()
    assert not Contact.objects.exists()


def test_no_empty_conversation_is_left_once_its_last_item_is_deleted(acme):
    for days in ([60, 40], [31], [90, 31], [60, 3]):
        conversation(of=acme, days_ago=days, variables=len(days) - 1)
    store(acme, [check_conversation(line("never had an item", texts=(), variables={}))], now=NOW - 31 * DAY)

    purge(now=NOW)

    for each in Conversation.objects.all():
        assert each.messages.exists() or each.variables.exists() or each.attachments.exists()
    assert Conversation.objects.count() == 1


def test_an_empty_conversation_stays_until_its_last_activity_is_past_the_limit(acme):
    made = conversation(of=acme, days_ago=31)
    Conversation.objects.filter(pk=made.pk).update(last_activity_at=NOW - 30 * DAY)

    assert (purge(now=NOW).messages, Conversation.objects.count()) == (1, 1)
    assert not find_due(now=NOW).environments, "not found again until then"
    assert (purge(now=NOW + MICROSECOND).conversations, Conversation.objects.count()) == (1, 0)


def test_counters_and_last_message_previews_show_what_is_left(acme):
    endless = conversation(of=acme, days_ago=[200, 100, 31, 29, 2])
    conversation(of=acme, days_ago=31)

    purge(now=NOW)

    [row] = with_details(conversations_of(acme, now=NOW), acme, now=NOW)
    assert (row.pk, row.message_count, row.preview, row.latest_at) == (endless.pk, 2, "Message 4", NOW - 2 * DAY)
    only_acme = Organisation.objects.filter(pk=acme.pk)
    answers = fetch_together(**questions_about(acme, now=NOW), **questions_of_chart(only_acme, now=NOW))
    figures = figures_of(answers, daily_chart(answers, now=NOW), now=NOW)
    assert (figures.conversations, figures.messages, figures.contacts) == (1, 2, 1)


def test_statistics_of_the_days_survive_the_purge(acme):
    store(acme, [check_conversation(line(f"c{number}")) for number in range(3)], now=NOW - 40 * DAY)
    fold_counts()
    before = list(DailyCount.objects.values())

    assert purge(now=NOW).messages == 3

    assert before
    assert list(DailyCount.objects.values()) == before


def test_an_active_contact_keeps_its_profile_when_all_its_conversations_are_deleted(acme):
    active = contact(of=acme, days_ago=1, name="Kim", variables={"tier": "gold"})
    conversation(of=acme, days_ago=40, contact=active)

    purge(now=NOW)

    assert not Conversation.objects.exists()
    kept = Contact.objects.get()
    assert (kept.name, kept.variables) == ("Kim", {"tier": "gold"})


def test_what_is_written_during_a_run_is_deleted_or_kept_by_its_own_clock(acme):
    made = [conversation(of=acme, days_ago=[40, 1]) for _ in range(3)]
    run = PurgeRun.objects.create(as_of=NOW)
    batches = delete_due(run, find_due(now=NOW).environments, limits=Limits(conversations=1))
    next(batches)
    for each in made:
        say(each, NOW - 30 * DAY, "exactly N days")
        say(each, NOW - 30 * DAY - MICROSECOND, "older")
        say(each, NOW, "now")

    list(batches)

    for each in made:
        texts = each.messages.order_by("sent_at").values_list("text", flat=True)
        assert list(texts) == ["exactly N days", "Message 1", "now"]


def test_a_backdated_import_during_a_run_is_deleted_by_it_or_by_the_next(acme):
    conversation(of=acme, days_ago=40)
    run = PurgeRun.objects.create(as_of=NOW)
    batches = delete_due(run, find_due(now=NOW).environments, limits=Limits(conversations=1))
    next(batches)
    at = (NOW - 50 * DAY).isoformat()
    [result] = store(acme, [check_conversation(line("backdated", ts=at))], now=NOW)

    assert result.is_past_cutoff
    list(batches)
    purge(now=NOW)
    assert not Conversation.objects.exists()
