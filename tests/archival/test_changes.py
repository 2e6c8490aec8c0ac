"""Previews, and the time to reconsider between a change and what it deletes."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import InternalError, transaction
from django.template.loader import render_to_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.choices import COUNTS, ChangeState
from archival.engine.run import purge
from archival.models import Hold, PolicyChange
from archival.policy.age_chart import count_by_age, lay_out_chart
from archival.policy.previews import ReadOnly, StalePreview, preview_change
from archival.policy.services import (
    apply_change_now,
    apply_due_changes,
    cancel_change,
    change_retention,
    move_organisation,
)
from archival.policy.what_if import effects_of
from environments.caller import SYSTEM, Caller
from environments.models import Organisation
from environments.policies.resolve import resolve
from environments.policies.retention import Retention
from tests.archival.limits import archive_after, effective
from tests.factories import NOW, conversation, environment, member, organisation
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def acme():
    return environment(slug="acme", parent=organisation(slug="agency"))


@pytest.fixture
def ada(acme):
    return member(acme)


def limit(of, days, *, locked=False, now=NOW, **extra):
    return change_retention(of, to=Retention.limit(days, locked=locked), by=SYSTEM, now=now, **extra)


def test_a_preview_counts_exactly_what_the_purge_then_deletes(acme):
    conversation(of=acme, days_ago=[90, 31, 3])
    conversation(of=acme, days_ago=31)
    shown = preview_change(acme, Retention.limit(30), NOW)

    limit(acme, 30, at_once=True)
    run = purge(now=NOW)

    assert {kind: getattr(shown.total, kind) for kind in COUNTS} == run.counts
    assert (shown.total.messages, shown.total.conversations) == (3, 1)
    assert (shown.total.oldest, shown.total.newest) == (NOW - 90 * DAY, NOW - 31 * DAY)


def test_a_preview_cannot_write_and_leaves_the_transaction_writable(acme):
    with pytest.raises(InternalError, match="read-only"), transaction.atomic(), ReadOnly():
        Organisation.objects.update(name="changed")
    preview_change(acme, Retention.limit(30), NOW)
    Organisation.objects.update(name="changed")


def test_enabling_waits_until_its_time_and_then_acts(acme, ada):
    conversation(of=acme, days_ago=31)

    change = change_retention(acme, to=Retention.limit(30), by=Caller.of(ada), now=NOW)

    assert (change.state, change.acts_at, effective(acme)) == (ChangeState.PENDING, NOW + DAY, None)
    assert purge(now=NOW).rows == 0
    sent_mails()  # a limit waits until its announcement has left
    assert apply_due_changes(now=NOW + DAY - timedelta(microseconds=1)) == 0
    assert apply_due_changes(now=NOW + DAY) == 1
    assert effective(acme) == 30
    change.refresh_from_db()
    assert (change.state, change.ended_at) == (ChangeState.APPLIED, NOW + DAY)
    assert acme.archival_since == NOW + DAY


def test_a_limit_for_which_nothing_is_too_old_acts_at_once(acme):
    conversation(of=acme, days_ago=29)
    assert limit(acme, 30).state == ChangeState.APPLIED
    assert effective(acme) == 30


def test_what_is_held_makes_a_change_wait_too(acme):
    conversation(of=acme, days_ago=31)
    Hold.objects.create(environment=acme, reason="dispute", placed_at=NOW)
    assert limit(acme, 30).is_pending


def test_lengthening_and_switching_off_act_at_once(acme):
    archive_after(acme, 30)
    conversation(of=acme, days_ago=31)
    assert limit(acme, 60).state == ChangeState.APPLIED
    assert change_retention(acme, to=Retention.keep(), by=SYSTEM, now=NOW).state == ChangeState.APPLIED
    assert effective(acme) is None


def test_with_no_time_to_reconsider_a_change_acts_at_once(acme, settings):
    settings.COOLING_OFF_HOURS = 0
    conversation(of=acme, days_ago=31)
    assert limit(acme, 30, typed_name=acme.name).state == ChangeState.APPLIED


@pytest.mark.parametrize("typed", [None, "", "Acme Ltd"])
def test_with_no_time_to_reconsider_what_deletes_data_needs_the_typed_name(acme, settings, typed):
    settings.COOLING_OFF_HOURS = 0
    conversation(of=acme, days_ago=31)
    with pytest.raises(ValidationError) as refused:
        limit(acme, 30, typed_name=typed)
    assert list(refused.value.error_dict) == ["typed_name"]
    assert effective(acme) is None
    assert limit(acme, 40).state == ChangeState.APPLIED  # deletes nothing
    assert limit(acme, 30, starts_at=NOW + DAY).is_pending  # can be cancelled until then


@pytest.mark.parametrize("locked", [False, True])
def test_tightening_from_above_waits_too(acme, locked):
    conversation(of=acme, days_ago=31)
    if locked:
        archive_after(acme, 365)
    above = Organisation.objects.get_parent(acme)

    change = limit(above, 30, locked=locked)

    assert (change.is_pending, effective(acme)) == (True, 365 if locked else None)
    apply_due_changes(now=NOW + DAY)
    assert effective(acme) == 30


def test_a_cancelled_change_never_acts(acme, ada):
    conversation(of=acme, days_ago=31)
    change = cancel_change(limit(acme, 30), by=Caller.of(ada), now=NOW)

    assert apply_due_changes(now=NOW + 2 * DAY) == 0
    assert (change.state, effective(acme)) == (ChangeState.CANCELLED, None)
    with pytest.raises(ValidationError, match="no longer pending"):
        cancel_change(change, by=Caller.of(ada), now=NOW)


def test_apply_now_wants_the_name_typed(acme, ada):
    conversation(of=acme, days_ago=31)
    change = limit(acme, 30)
    with pytest.raises(ValidationError, match="exactly"):
        apply_change_now(change, typed_name="acme", by=Caller.of(ada), now=NOW)

    apply_change_now(change, typed_name=acme.name, by=Caller.of(ada), now=NOW)

    assert effective(acme) == 30


def test_a_later_change_replaces_the_pending_one(acme):
    conversation(of=acme, days_ago=31)
    first, second = limit(acme, 30), limit(acme, 20)
    first.refresh_from_db()
    assert (first.state, second.is_pending) == (ChangeState.REPLACED, True)


@pytest.mark.parametrize("starts_at", [None, NOW + 9 * DAY])
def test_asking_again_for_what_is_pending_does_not_prolong_the_wait(acme, starts_at):
    conversation(of=acme, days_ago=31)
    first = limit(acme, 30, starts_at=starts_at)
    again = limit(acme, 30, now=NOW + DAY / 2, starts_at=starts_at)
    assert (again.pk, again.acts_at) == (first.pk, first.acts_at)
    assert PolicyChange.objects.count() == 1

    sooner = limit(acme, 30, now=NOW + DAY / 2, starts_at=NOW + 2 * DAY)
    assert (sooner.pk == first.pk, sooner.acts_at) == (False, NOW + 2 * DAY)
    assert apply_due_changes(now=NOW + 2 * DAY) == 1


def test_asking_for_what_already_holds_takes_the_pending_change_back(acme):
    conversation(of=acme, days_ago=31)
    limit(acme, 30)
    change_retention(acme, to=Retention.inherit(), by=SYSTEM, now=NOW)
    assert not PolicyChange.objects.filter(state=ChangeState.PENDING).exists()


def test_a_change_that_a_lock_forbids_by_then_is_refused(acme):
    conversation(of=acme, days_ago=31)
    change = limit(acme, 30)
    archive_after(Organisation.objects.get_parent(acme), 10, locked=True)

    assert apply_due_changes(now=NOW + DAY) == 0

    change.refresh_from_db()
    assert (change.state, effective(acme)) == (ChangeState.REFUSED, 10)
    assert change.reason == "A lock above no longer allows it."


def test_a_move_below_a_stricter_parent_waits_too(acme):
    conversation(of=acme, days_ago=31)
    strict = archive_after(organisation(slug="strict"), 30)

    change = move_organisation(acme, to=strict, by=SYSTEM, now=NOW)

    assert (change.is_pending, effective(acme), Organisation.objects.get_parent(acme).slug) == (True, None, "agency")
    assert apply_due_changes(now=NOW + DAY) == 1
    assert (effective(acme), Organisation.objects.get_parent(Organisation.objects.get(pk=acme.pk))) == (30, strict)


def test_a_move_that_deletes_nothing_acts_at_once(acme):
    conversation(of=acme, days_ago=31)
    other = organisation(slug="other")
    assert move_organisation(acme, to=other, by=SYSTEM, now=NOW) is None
    assert Organisation.objects.get_parent(Organisation.objects.get(pk=acme.pk)) == other


def test_a_change_can_be_scheduled(acme):
    conversation(of=acme, days_ago=31)
    change = limit(acme, 30, starts_at=NOW + 10 * DAY)
    assert change.acts_at == NOW + 10 * DAY
    with pytest.raises(ValidationError, match="future"):
        limit(acme, 30, starts_at=NOW)


def test_a_pending_change_knows_whether_it_waits_for_a_date_or_for_the_time_to_reconsider(acme):
    conversation(of=acme, days_ago=31)
    assert not limit(acme, 30).is_scheduled
    assert not limit(acme, 30, starts_at=NOW + DAY / 2).is_scheduled
    assert limit(acme, 30, starts_at=NOW + 2 * DAY).is_scheduled
    assert limit(acme, 60, starts_at=NOW + DAY / 2).is_scheduled  # nothing to reconsider


@pytest.mark.parametrize(("more", "is_refused"), [(100, False), (101, True)])
def test_saving_is_refused_when_clearly_more_would_be_deleted_than_was_shown(acme, more, is_refused):
    made = conversation(of=acme, days_ago=31)
    shown = preview_change(acme, Retention.limit(30), NOW).token
    conversation(of=acme, days_ago=[40] * (more - 1), contact=made.contact, variables=0)  # itself is one more row
    if is_refused:
        with pytest.raises(StalePreview, match=str(more)):
            limit(acme, 30, shown=shown)
        assert not PolicyChange.objects.exists()
    else:
        assert limit(acme, 30, shown=shown).is_pending


def test_what_has_merely_aged_since_the_preview_refuses_nothing(acme):
    conversation(of=acme, days_ago=[31, *[30] * 500])
    shown = preview_change(acme, Retention.limit(30), NOW).token
    assert limit(acme, 30, shown=shown, now=NOW + timedelta(minutes=5)).is_pending


def test_a_preview_of_another_change_or_none_at_all_is_refused(acme):
    conversation(of=acme, days_ago=31)
    for token in (preview_change(acme, Retention.limit(20), NOW).token, "made up"):
        with pytest.raises(StalePreview):
            limit(acme, 30, shown=token)


def test_a_preview_with_another_lock_or_start_is_a_preview_of_another_change(acme):
    conversation(of=acme, days_ago=31)
    start = NOW + timedelta(days=3)
    with pytest.raises(StalePreview):
        limit(
            acme.get_parent(), 30, locked=True, shown=preview_change(acme.get_parent(), Retention.limit(30), NOW).token
        )
    with pytest.raises(StalePreview):
        limit(acme, 30, starts_at=start, shown=preview_change(acme, Retention.limit(30), NOW).token)
    assert limit(
        acme, 30, starts_at=start, shown=preview_change(acme, Retention.limit(30), NOW, starts_at=start).token
    ).is_pending


def test_what_will_be_too_old_once_the_wait_is_over_is_counted_and_waited_for(acme):
    conversation(of=acme, days_ago=[0.9, 0.1])
    change = limit(acme, 1)
    assert (change.is_pending, change.preview["messages"], change.preview["variables"]) == (True, 2, 1)

    apply_due_changes(now=change.acts_at)
    run = purge(now=change.acts_at)
    assert (run.messages, run.variables) == (2, 1)


def test_a_limit_that_nothing_reaches_while_it_waits_takes_effect_at_once(acme):
    conversation(of=acme, days_ago=[0.9, 0.1])
    assert not limit(acme, 2).is_pending


def test_a_date_ahead_is_counted_by_what_will_be_too_old_on_that_day(acme):
    conversation(of=acme, days_ago=[25, 21, 19])
    change = limit(acme, 30, starts_at=NOW + timedelta(days=10))
    assert change.preview["messages"] == 2
    conversation(of=acme, days_ago=0)
    assert apply_due_changes(now=change.acts_at) == 1


def test_a_histogram_answers_every_number_of_days_as_the_preview_does(acme):
    conversation(of=acme, days_ago=[90, 31, 30, 3])
    held = conversation(of=acme, days_ago=45)
    Hold.objects.create(environment=acme, conversation=held, reason="dispute", placed_at=NOW)
    found = count_by_age(acme, NOW, counted_for=preview_change(acme, Retention.limit(1), NOW).counted_for)
    for days in (1, 3, 4, 5, 30, 31, 32, 90, 91, 92):
        _, deleted = found.kept_and_deleted(days)
        assert deleted == preview_change(acme, Retention.limit(days), NOW).total.messages
        rows = found.rows(days)
        assert sum(row.counts["messages"] for row in rows) == found.total["messages"] == 5
        assert sum(row.counts["messages"] - row.counts["held"] for row in rows if row.is_deleted) == deleted
        assert found.cut_x(days)


node = st.tuples(st.sampled_from(["inherit", "keep", "limit"]), st.integers(1, 5), st.booleans())


@given(own=st.lists(node, min_size=5, max_size=5), change=node, which=st.integers(0, 4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_would_hold_is_what_then_holds(db, own, change, which):
    with transaction.atomic():
        agency = organisation()
        customer = organisation("customer", parent=agency)
        nodes = [agency, customer, *(environment(parent=parent) for parent in (agency, customer, customer))]
        for each, values in zip(nodes, own, strict=True):
            set_own(each, *values)
        wanted = effects_of(nodes[which], Retention(change[0], **days_and_lock(change)))
        before = dict(Organisation.objects.environments().values_list("pk", "effective_archive_after_days"))

        set_own(nodes[which], *change)

        after = dict(Organisation.objects.environments().values_list("pk", "effective_archive_after_days"))
        assert {pk: (each.before, each.after) for pk, each in wanted.items()} == {
            pk: (before[pk], after[pk]) for pk in wanted
        }
        assert {pk for pk in after if after[pk] != before[pk]} <= set(wanted)
        transaction.set_rollback(True)


def days_and_lock(values):
    archival, days, locked = values
    is_limit = archival == "limit"
    return {"days": days if is_limit else None, "locked": locked and is_limit}


def set_own(each, *values):
    extra = days_and_lock(values)
    each.refresh_from_db()
    each.archival, each.archive_after_days, each.archival_locked = values[0], extra["days"], extra["locked"]
    each.save()
    resolve(each, now=NOW)
    each.refresh_from_db()


def test_the_preview_is_drawn_with_its_numbers(acme):
    conversation(of=acme, days_ago=[90, 31, 30, 3])
    drawn = render_to_string(
        "archival/policy/_preview.html",
        {"chart": lay_out_chart(count_by_age(acme, NOW), 30, preview=preview_change(acme, Retention.limit(30), NOW))},
    )
    assert "2 older than 30 days, to be permanently deleted" in drawn
    assert 'name="shown"' in drawn
