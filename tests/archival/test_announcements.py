"""Those who may change how long data is kept are mailed what becomes of it: pending, applied, cancelled, refused."""

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from archival.models import PolicyChange
from archival.policy import services
from archival.policy.what_if import effect_on
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.models import Organisation
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import log_in
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test", language="nl")


@pytest.fixture
def mails_of():
    """Run something, then the worker; return to whom, subject and body of what was mailed."""

    def run(act):
        clear_mails()
        act()
        return [(each.to, each.subject, " ".join(each.body.split())) for each in sent_mails()]

    return run


def change(of, days, *, now, **more):
    return services.change_retention(of, to=Retention.limit(days), by=SYSTEM, now=now, **more)


def test_a_scheduled_limit_is_mailed_when_it_is_announced_and_when_it_acts(acme, ada, mails_of, now):
    ((to, subject, body),) = mails_of(lambda: change(acme, 30, now=now, starts_at=now + 3 * DAY))
    assert to == ["ada@acme.test"]
    assert subject == "Acme: gesprekken worden definitief verwijderd"
    assert "Oudere worden dan definitief verwijderd: 1 bericht en 1 gesprek. Annuleer de wijziging" in body

    assert mails_of(lambda: services.apply_due_changes(now=now + 2 * DAY)) == []
    ((_, subject, body),) = mails_of(lambda: services.apply_due_changes(now=now + 3 * DAY))

    assert subject == "Acme: het archiveren van gesprekken is gewijzigd"
    assert "Wat ouder is, wordt vanaf nu definitief verwijderd" in body
    assert Organisation.objects.get(pk=acme.pk).archive_after_days == 30


def test_a_pending_change_is_announced_with_the_address_where_it_can_be_cancelled(acme, ada, mails_of, now, settings):
    ((_, _, body),) = mails_of(lambda: change(acme, 30, now=now))

    assert f"{settings.SITE_URL}/acme/retention/" in body
    ((html, _),) = sent_mails()[0].alternatives
    assert f'href="{settings.SITE_URL}/acme/retention/"' in html


def test_the_text_of_a_mail_has_no_stray_blanks(acme, ada, mails_of, now):
    bodies = []
    for act in (
        lambda: change(acme, 30, now=now),
        lambda: services.cancel_pending_change(acme, by=Caller.of(ada), now=now),
    ):
        mails_of(act)
        bodies += [each.body for each in sent_mails()]

    assert len(bodies) == 2
    assert [re.findall(r"\n\n\n|^ .*", body, re.MULTILINE) for body in bodies] == [[], []]


def test_a_change_that_acts_at_once_is_mailed_too(acme, ada, mails_of, now):
    archive_after(acme, 20)
    ((_, subject, body),) = mails_of(lambda: change(acme, 365, now=now))
    assert subject == "Acme: het archiveren van gesprekken is gewijzigd"
    assert "definitief verwijderd" not in body


def test_the_mail_about_a_cancelled_change_says_who_cancelled_it(acme, ada, mails_of, now):
    pending = change(acme, 30, now=now)
    ((_, subject, body),) = mails_of(lambda: services.cancel_change(pending, by=Caller.of(ada), now=now))
    assert subject == "Acme: de wijziging van het archiveren is geannuleerd"
    assert "CET heeft ada@acme.test de wijziging" in body


def test_the_mail_about_a_change_that_a_lock_refuses_gives_the_reason(acme, ada, mails_of, now):
    change(acme, 30, now=now)
    parent = Organisation.objects.get_parent(acme)
    archive_after(parent, 10)
    Organisation.objects.filter(pk=parent.pk).update(archival_locked=True)
    PolicyChange.objects.update(requested_by=member(parent))
    sent = mails_of(lambda: services.apply_due_changes(now=now + 2 * DAY))
    ((subject, body),) = [words for to, *words in sent if ada.email in to]
    assert subject == "Acme: de wijziging van het archiveren is geweigerd"
    assert "Een hogere vergrendeling staat dit niet meer toe." in body
    assert parent.name not in body, "Ada may not know who stands above"


def test_going_back_to_the_current_value_mails_that_the_change_is_cancelled(acme, ada, mails_of, now):
    change(acme, 30, now=now)
    sent = mails_of(lambda: services.change_retention(acme, to=Retention.inherit(), by=Caller.of(ada), now=now))
    assert [subject for _, subject, _ in sent] == ["Acme: de wijziging van het archiveren is geannuleerd"]


def test_each_mail_names_only_what_its_reader_can_change(acme, ada, mails_of, now):
    member(acme, Role.ENVIRONMENT_MANAGER)
    member(environment(), Role.ADMINISTRATOR)
    above = member(Organisation.objects.get_parent(acme), Role.ORGANISATION_MANAGER)
    sent = mails_of(lambda: change(acme, 30, now=now))
    assert {address for to, _, _ in sent for address in to} == {ada.email, above.email}


@pytest.mark.parametrize(("days", "code"), [(-1, "past"), (0, "past"), (3651, "too_far")])
def test_a_start_that_is_past_or_too_far_is_refused(acme, now, days, code):
    with pytest.raises(ValidationError) as refused:
        change(acme, 30, now=now, starts_at=now + days * DAY)
    assert refused.value.error_dict["archival_from"][0].code == code
    assert not PolicyChange.objects.exists()


def test_a_start_within_the_time_to_reconsider_waits_for_its_end(acme, now):
    assert change(acme, 30, now=now, starts_at=now + DAY / 2).acts_at == now + DAY
    assert change(acme, 30, now=now, starts_at=now + 2 * DAY).acts_at == now + 2 * DAY


def test_those_below_read_of_their_own_environments_alone(acme, mails_of, now):
    agency = Organisation.objects.get_parent(acme)
    other = environment(parent=agency, name="Other")
    strict = archive_after(environment(parent=agency, name="Strict"), 10)
    chief = member(agency, Role.ADMINISTRATOR)
    ada, bob = member(acme, Role.ORGANISATION_MANAGER), member(other, Role.ADMINISTRATOR)
    for untouched in (member(strict, Role.ADMINISTRATOR), member(acme, Role.ENVIRONMENT_MANAGER)):
        assert untouched
    sent = mails_of(lambda: change(agency, 30, now=now))
    below = {
        to[0]: body for to, subject, body in sent if subject.endswith(": conversations will be kept for a shorter time")
    }
    assert set(below) == {ada.email, bob.email}
    assert "- Acme" in below[ada.email]
    assert "Other" not in below[ada.email]
    assert [to for to, subject, _ in sent if "permanently deleted" in subject] == [[chief.email]]

    sent = mails_of(lambda: services.cancel_pending_change(agency, by=Caller.of(chief), now=now))
    kept = {
        to[0]: body for to, subject, body in sent if subject.endswith(": conversations will be kept as long as before")
    }
    assert set(kept) == {ada.email, bob.email}
    assert "- Acme" in kept[ada.email]
    assert "Other" not in kept[ada.email]


def test_those_below_read_that_a_shorter_limit_does_not_come_also_when_another_took_its_place(acme, mails_of, now):
    agency = Organisation.objects.get_parent(acme)
    chief, ada = member(agency, Role.ADMINISTRATOR), member(acme, Role.ADMINISTRATOR)
    kept = ([ada.email], "Acme: conversations will be kept as long as before")
    mails_of(lambda: change(agency, 30, now=now))

    sent = mails_of(lambda: change(agency, 20, now=now))
    assert sorted(to for to, _, _ in sent) == sorted([[chief.email], [ada.email]])
    assert kept not in [(to, subject) for to, subject, _ in sent], "the other shortens the same"

    sent = mails_of(lambda: services.change_retention(agency, to=Retention.keep(), by=Caller.of(chief), now=now))
    assert sorted((to, subject) for to, subject, _ in sent) == sorted(
        [kept, ([chief.email], f"{agency.name}: conversation archival has changed")]
    )


def test_a_change_above_is_shown_on_the_page_of_whom_it_shortens(client, acme, now):
    agency = Organisation.objects.get_parent(acme)
    ada = member(acme, Role.ORGANISATION_MANAGER)
    log_in(client, ada)
    change(agency, 30, now=now)
    page = client.get("/acme/settings/advanced/").content.decode()
    assert "A limit of 30 days is pending above" in page
    assert agency.name not in page
    archive_after(acme, 10)
    assert "is pending above" not in client.get("/acme/settings/advanced/").content.decode()


def test_a_move_is_announced_with_the_limit_of_the_new_place(acme, now):
    strict = archive_after(Organisation.objects.get_parent(environment()), 7)
    customer = organisation("customer", parent=Organisation.objects.get_parent(acme))
    theirs = environment(parent=customer)
    conversation(of=theirs, days_ago=40, now=now)
    pending = services.move_organisation(customer, to=strict, by=SYSTEM, now=now)
    assert pending is not None
    assert (effect_on(theirs, pending).before, effect_on(theirs, pending).after) == (None, 7)


def test_the_announcement_says_what_and_when_first_then_what_to_do_and_why_one_gets_it(acme, mails_of, now):
    member(acme, Role.ADMINISTRATOR, time_zone="Europe/Amsterdam")
    at = (now + 3 * DAY).astimezone(ZoneInfo("Europe/Amsterdam"))
    ((_, _, body),) = mails_of(lambda: change(acme, 30, now=now, starts_at=now + 3 * DAY))
    when = f"{at.day} {at:%B} {at.year}, {at:%H:%M} {at:%Z}"
    assert f"From {when}, Acme keeps conversations for 30 days. Older ones are then permanently deleted" in body
    assert "1 message and 1 conversation. To stop this, cancel the change" in body
    assert body.endswith("You get this mail because you can change this setting.")
