"""The page of the data by age, where a limit can be tried without saving anything."""

from datetime import timedelta

import pytest
from django.utils import timezone

from archival.choices import RunState
from archival.holds.services import place_hold
from archival.models import Guard, PurgeRun
from audit.models import Event
from conversations.models import Contact, Conversation, ConversationVariable, Message
from environments.caller import SYSTEM
from environments.choices import Role
from environments.models import Organisation
from tests.archival.limits import archive_after
from tests.browser import log_in_page
from tests.factories import conversation, environment, member
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
PAGE = "/acme/retention/ages/"


@pytest.fixture
def acme():
    return environment(name="Acme", slug="acme")


@pytest.fixture
def ada(acme, client):
    ada = member(acme, email="ada@acme.test")
    log_in(client, ada)
    return ada


def of_ages(acme, *ages):
    for age in ages:
        conversation(of=acme, days_ago=age, now=timezone.now())


def ran(at):
    PurgeRun.objects.create(as_of=at, started_at=at, finished_at=at, state=RunState.DONE)


def test_the_chart_is_split_at_the_limit_in_effect_or_at_the_one_to_preview(client, ada, acme):
    archive_after(acme, 365)
    of_ages(acme, 3, 40, 100)

    held, tried = client.get(PAGE), client.get(PAGE, {"days": "60"})

    assert (held.context["chart"].cut, held.context["chart"].deleted) == (365, 0)
    assert (tried.context["chart"].cut, tried.context["chart"].deleted, tried.context["chart"].kept) == (60, 1, 2)
    assert "In effect: 365 days" in held.text
    assert "In effect: 365 days" in tried.text
    assert Organisation.objects.get(pk=acme.pk).archive_after_days == 365
    assert not Event.objects.filter(action__startswith="retention").exists()


@pytest.mark.parametrize("days", ["0", "-1", "1e3", "99999999999999999999", "\x00", "ninety"])
def test_a_limit_that_is_no_number_of_days_is_refused_beside_the_field(client, ada, acme, days):
    of_ages(acme, 3)

    page = client.get(PAGE, {"days": days})

    assert (page.status_code, page.context["chart"].cut) == (200, None)
    assert b'id="id_days_error"' in page.content


def test_an_agency_sees_all_that_is_below_it_and_nothing_beside_it(client, acme):
    agency = Organisation.objects.get_parent(acme)
    log_in(client, member(agency, email="boss@agency.test"))
    of_ages(acme, 3, 40)
    of_ages(environment(slug="elsewhere"), 3)

    page = client.get(f"/{agency.slug}/retention/ages/", {"days": "30"})

    assert (page.context["chart"].kept, page.context["chart"].deleted) == (1, 1)
    assert client.get("/elsewhere/retention/ages/").status_code == 404


def test_only_who_reads_the_audit_log_sees_it(client, acme):
    log_in(client, member(acme, Role.DEVELOPER, email="dev@acme.test"))
    assert client.get(PAGE).status_code == 403


def test_an_empty_environment_has_words_instead_of_an_empty_chart(client, ada, acme):
    page = client.get(PAGE).content
    assert b"Nothing is stored here" in page
    assert b'<svg class="chart"' not in page


@pytest.mark.parametrize("count", [1, 50])
def test_it_costs_the_same_for_any_number_of_conversations(client, ada, acme, count, django_assert_max_num_queries):
    of_ages(acme, *range(count))
    with django_assert_max_num_queries(19):
        client.get(PAGE)
    archive_after(acme, 30)
    with django_assert_max_num_queries(30):
        client.get(PAGE)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_settings_show_the_data_by_age_and_preview_a_limit_in_place(page, acme):
    archive_after(acme, 365)
    of_ages(acme, 3, 40, 100, 200)
    log_in_page(page, member(acme, email="ada@acme.test"))

    page.goto("/acme/settings/advanced/")
    page.get_by_text("A limit of 365 days permanently deletes").wait_for()
    page.locator("#id_archive_after_days").fill("60")
    page.get_by_text("A limit of 60 days permanently deletes").wait_for()

    assert page.url.endswith("/acme/settings/advanced/")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_without_script_the_settings_link_to_it(open_page, acme):
    of_ages(acme, 3)
    page = open_page(java_script_enabled=False)
    log_in_page(page, member(acme, email="ada@acme.test"))
    page.goto("/acme/settings/advanced/")
    page.get_by_role("link", name="Data by age").click()
    page.get_by_label("Limit to preview").fill("2")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("A limit of 2 days permanently deletes").wait_for()


def test_the_chart_says_where_its_axis_ends_and_marks_no_empty_row_as_going(client, ada, acme):
    archive_after(acme, 730)
    of_ages(acme, 3, 100)
    page = client.get(PAGE)
    found = page.context["chart"]
    assert ">105 days old</text>" in page.text, "a limit far beyond all that is there squeezes nothing"
    assert ">730 →</text>" in page.text
    assert [(row.first, row.is_deleted, row.is_empty) for row in found.rows][-1] == (730, True, True)
    assert 'data-state="late"' not in page.text


def test_a_short_limit_leaves_the_chart_as_it_is(client, ada, acme):
    of_ages(acme, 3, 100)
    for asked in ({}, {"days": "1"}, {"days": "15"}):
        page = client.get(PAGE, asked)
        assert ">105 days old</text>" in page.text or ">101 days old</text>" in page.text
        assert "and over</text>" not in page.text


def test_what_is_past_the_cutoff_and_not_purged_yet_is_not_counted_unless_it_is_held(client, ada, acme):
    archive_after(acme, 30)
    of_ages(acme, 3, 29, 31, 400)
    held = conversation(of=acme, days_ago=90, now=timezone.now())
    place_hold(acme, conversation=held, reason="dispute", by=SYSTEM, now=timezone.now())

    total = client.get(PAGE).context["chart"].total

    assert {kind: total[kind] for kind in ("messages", "conversations", "variables", "contacts", "held")} == {
        "messages": 3,
        "conversations": 3,
        "variables": 3,
        "contacts": 3,
        "held": 1,
    }


def test_what_is_past_its_limit_and_not_purged_yet_is_not_called_nothing(client, ada, acme, settings):
    archive_after(acme, 30)
    conversation(of=acme, days_ago=[400, 399, 398], now=timezone.now())
    ran(timezone.now() - timedelta(hours=2))

    page = client.get(PAGE).text

    assert "Nothing is stored here" not in page
    assert "Everything here is past its limit" in page
    assert "Past their limit, and no longer shown: 3 messages, 1 conversation and 1 contact." in page
    assert "The purge does not delete them at present." in page, "the latest run was two hours ago"

    of_ages(acme, 31, 3)
    ran(timezone.now())
    page = client.get(PAGE).text
    assert "Past their limit, and no longer shown: 4 messages, 2 conversations and 2 contacts." in page
    assert "The next run of the purge permanently deletes them." in page

    Guard.objects.create(environment=acme)
    assert "The purge does not delete them at present." in client.get(PAGE).text
    Guard.objects.all().delete()
    settings.PURGE_ENABLED = False
    assert "The purge does not delete them at present." in client.get(PAGE).text


@pytest.mark.parametrize("is_held", [False, True])
def test_the_data_by_age_and_what_is_past_its_limit_are_all_there_is(client, ada, acme, is_held):
    archive_after(acme, 30)
    of_ages(acme, 3, 29, 31, 400)
    mixed = conversation(of=acme, days_ago=[40, 35, 2], now=timezone.now())
    if is_held:
        place_hold(acme, conversation=mixed, reason="dispute", by=SYSTEM, now=timezone.now())

    context = client.get(PAGE).context

    kinds = {"messages": Message, "conversations": Conversation, "variables": ConversationVariable, "contacts": Contact}
    for kind, model in kinds.items():
        shown = context["chart"].total[kind] + getattr(context["past"].counts, kind)
        assert shown == model.objects.count(), kind


def test_a_preview_never_counts_more_than_there_is(client, ada, acme):
    archive_after(acme, 365)
    of_ages(acme, 3, 40, 400)  # the oldest is past the limit that holds, and not purged yet
    form = {"do": "archival", "archival": "limit", "archive_after_days": "30"}

    page = client.post("/acme/settings/advanced/", form)

    chart = page.context["chart"]
    assert (chart.preview.total.messages, chart.deleted, chart.total["messages"]) == (2, 2, 3)
