"""A change acts only by what it was announced to delete; where that grew by another change, it waits anew."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from archival.choices import ChangeState
from archival.models import PolicyChange
from archival.policy.previews import StalePreview
from archival.policy.recount import preview_if_more
from archival.policy.services import (
    apply_change_now,
    apply_due_changes,
    change_retention,
    move_organisation,
    recount_change,
)
from audit.models import Event
from environments.caller import SYSTEM
from environments.choices import Archival, Kind
from environments.models import Organisation
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from tests.archival.connections import run_aside, wait_until_waiting
from tests.archival.limits import archive_after, effective
from tests.factories import NOW, conversation, environment, member, organisation
from tests.logging_in import log_in
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def agency():
    return organisation(slug="agency")


@pytest.fixture
def keeper(agency):
    """An environment with old data that keeps everything, whatever the agency says."""
    found = environment(slug="keeper", parent=agency)
    put(found, Archival.KEEP)
    for _ in range(3):
        conversation(of=found, days_ago=100)
    return found


def put(of, archival, days=None, *, now=NOW, **more):
    return change_retention(of, to=Retention(archival, days), by=SYSTEM, now=now, **more)


@pytest.fixture
def pending(agency, keeper):
    """A limit of the agency that is pending, and deletes something in another environment alone."""
    conversation(of=environment(parent=agency), days_ago=100)
    return put(agency, Archival.LIMIT, 30)


def test_an_environment_that_comes_under_a_pending_limit_has_the_whole_time_to_reconsider(agency, keeper, pending):
    assert pending.preview["conversations"] == 1
    put(keeper, Archival.INHERIT, now=NOW + 23 * HOUR)

    assert apply_due_changes(now=NOW + 24 * HOUR) == 0
    pending.refresh_from_db()
    assert (effective(keeper), pending.state) == (None, ChangeState.PENDING)
    assert (pending.preview["conversations"], pending.acts_at) == (4, NOW + 48 * HOUR)
    assert (pending.is_announced_again, pending.is_scheduled) == (True, False)

    assert apply_due_changes(now=NOW + 48 * HOUR) == 1
    assert effective(keeper) == 30


def test_a_change_that_waits_again_is_audited_and_announced(pending, agency, keeper):
    member(agency, email="ada@agency.test")
    put(keeper, Archival.INHERIT, now=NOW + 23 * HOUR)
    clear_mails()
    apply_due_changes(now=NOW + 24 * HOUR)
    assert [mail.to for mail in sent_mails() if "permanently deleted" in mail.subject] == [["ada@agency.test"]]
    assert Event.objects.filter(action="retention.change_postponed").count() == 1


def test_a_scheduled_inherit_waits_again_when_the_limit_above_came_since(agency, keeper):
    at = NOW + timedelta(days=5)
    change = put(keeper, Archival.INHERIT, starts_at=at)
    put(agency, Archival.LIMIT, 30, now=at - HOUR)

    apply_due_changes(now=at)
    change.refresh_from_db()
    assert (effective(keeper), change.acts_at) == (None, at + 24 * HOUR)


def test_a_move_waits_again_when_the_new_place_is_stricter_by_then(agency, keeper):
    stricter = archive_after(organisation(slug="stricter"), 90)
    put(keeper, Archival.INHERIT)
    conversation(of=keeper, days_ago=50)
    move_organisation(keeper, to=stricter, by=SYSTEM, now=NOW)
    archive_after(stricter, 5)

    apply_due_changes(now=NOW + 24 * HOUR)
    assert effective(keeper) is None
    apply_due_changes(now=NOW + 48 * HOUR)
    assert effective(keeper) == 5


def test_what_has_merely_aged_lets_no_change_wait(agency):
    acme = environment(parent=agency)
    for number in range(150):
        conversation(of=acme, days_ago=28 + number / 100)
    change = put(acme, Archival.LIMIT, 30, starts_at=NOW + timedelta(days=5))
    assert change.preview["conversations"] == 150

    assert apply_due_changes(now=NOW + timedelta(days=5)) == 1


def test_without_a_time_to_reconsider_nothing_waits_again(pending, keeper, settings):
    put(keeper, Archival.INHERIT, now=NOW + HOUR)
    settings.COOLING_OFF_HOURS = 0
    assert apply_due_changes(now=NOW + 24 * HOUR) == 1


def test_apply_now_is_bound_to_what_the_change_says(pending, keeper, agency):
    put(keeper, Archival.INHERIT, now=NOW + HOUR)
    with pytest.raises(StalePreview):
        apply_change_now(pending, typed_name=agency.name, by=SYSTEM, now=NOW + HOUR)
    assert effective(keeper) is None

    again = recount_change(pending, now=NOW + HOUR)
    assert (again.preview["conversations"], preview_if_more(again, now=NOW + HOUR)) == (4, None)
    apply_change_now(again, typed_name=agency.name, by=SYSTEM, now=NOW + HOUR)
    assert effective(keeper) == 30


def test_the_page_of_apply_now_shows_what_would_go_by_now_before_it_acts(client, agency):
    now = timezone.now()
    keeper = environment(parent=agency)
    put(keeper, Archival.KEEP, now=now)
    conversation(of=keeper, days_ago=100, now=now)
    conversation(of=environment(parent=agency), days_ago=100, now=now)
    change = put(agency, Archival.LIMIT, 30, now=now)
    put(keeper, Archival.INHERIT, now=now)
    log_in(client, member(agency))
    address = f"/agency/retention/changes/{change.uuid}/apply/"

    assert "1 message and 1 conversation" in client.get(address).content.decode()
    page = client.post(address, {"typed_name": agency.name}).content.decode()
    assert "Look again" in page
    assert "2 messages and 2 conversations" in page
    assert effective(keeper) is None

    assert client.post(address, {"typed_name": agency.name}).status_code == 302
    assert PolicyChange.objects.get(pk=change.pk).state == ChangeState.APPLIED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_move", [False, True])
def test_a_change_that_deletes_nothing_is_refused_where_another_lets_it_delete_while_it_is_saved(agency, by_move):
    keeper = environment(parent=organisation(slug="below", kind=Kind.CUSTOMER, parent=agency))
    stricter = archive_after(organisation(slug="stricter"), 30)
    put(keeper, Archival.KEEP)
    conversation(of=keeper, days_ago=100)
    below = Organisation.objects.get_parent(keeper)

    def act():
        if by_move:
            return move_organisation(below, to=stricter, by=SYSTEM, now=NOW)
        return put(agency, Archival.LIMIT, 30)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lock_policies()
            saved = run_aside(pool, act)
            wait_until_waiting()  # it has counted: nothing goes
            put(keeper, Archival.INHERIT)
        with pytest.raises(StalePreview):
            saved.result()

    assert effective(keeper) is None
    assert act().is_pending
