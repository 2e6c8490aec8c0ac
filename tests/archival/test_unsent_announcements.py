"""A limit does not take effect before its announcement has left, or was refused for good, for all who can cancel it."""

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from archival.evidence.proof import check_all_environments
from archival.policy import services
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.models import Organisation
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import environment, member
from tests.logging_in import log_in
from web.models import Delivery
from web.tasks import send_deliveries

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOBODY = "550 5.1.1 No such mailbox"
LATER = "451 4.3.0 Try again later"


@pytest.fixture
def people(acme):
    names = ("ada", "bob", "cyd")
    return [member(acme, Role.ADMINISTRATOR, email=f"{name}@acme.test") for name in names]


def limit(of, days, *, now, **more):
    return services.change_retention(of, to=Retention.limit(days), by=SYSTEM, now=now, **more)


def days_of(acme):
    return Organisation.objects.get(pk=acme.pk).effective_archive_after_days


def apply_at(at):
    return services.apply_due_changes(now=at)


def send_again():
    """Send what waits, as if its delays were over."""
    Delivery.objects.waiting().update(next_try_at=timezone.now())
    send_deliveries()


def test_each_administrator_gets_the_mail_though_the_server_refuses_one_of_them(acme, people, post_office, now):
    post_office.answers["bob@acme.test"] = NOBODY
    limit(acme, 30, now=now)
    send_deliveries()
    assert sorted(post_office.recipients) == ["ada@acme.test", "cyd@acme.test"]
    apply_at(now + 24 * HOUR)
    assert days_of(acme) == 30, "whoever is refused for good stops it no longer"


def test_a_limit_waits_while_one_administrator_cannot_be_mailed_yet(acme, people, post_office, now):
    post_office.answers["bob@acme.test"] = LATER
    limit(acme, 30, now=now)
    send_deliveries()
    assert sorted(post_office.recipients) == ["ada@acme.test", "cyd@acme.test"]
    apply_at(now + 30 * HOUR)
    assert days_of(acme) is None
    assert not any(finding.is_late for finding in check_all_environments(now=now + 30 * HOUR)), (
        "it waits, and nobody is late"
    )

    del post_office.answers["bob@acme.test"]
    send_again()
    assert post_office.recipients.count("bob@acme.test") == 1
    apply_at(now + 30 * HOUR)
    assert days_of(acme) == 30


def test_a_limit_waits_while_the_mail_server_is_away(acme, people, settings, now):
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    limit(acme, 30, now=now)
    send_deliveries()
    apply_at(now + 24 * HOUR)
    assert days_of(acme) is None


def test_a_limit_waits_though_the_broker_forgot_the_task_that_sends(acme, people, post_office, now):
    limit(acme, 30, now=now)
    apply_at(now + 24 * HOUR)
    assert days_of(acme) is None
    send_deliveries()  # as beat starts it by itself
    apply_at(now + 24 * HOUR)
    assert days_of(acme) == 30


def test_the_pages_say_why_it_waits(client, acme, people, post_office, now):
    post_office.answers["bob@acme.test"] = LATER
    limit(acme, 30, now=now)
    log_in(client, people[0])
    words = "The mail that announces it has not been sent yet to"
    for page in ("/acme/retention/", "/acme/settings/advanced/"):
        assert f"{words} 3 people" in client.get(page).content.decode()
    send_deliveries()
    for page in ("/acme/retention/", "/acme/settings/advanced/"):
        assert f"{words} 1 person" in client.get(page).content.decode()
    send_again()
    del post_office.answers["bob@acme.test"]
    send_again()
    assert words not in client.get("/acme/retention/").content.decode()


def test_after_72_hours_unsent_super_users_get_one_mail(client, acme, people, post_office, now, caplog):
    member(environment(), email="root@studio.test", is_superuser=True)
    post_office.answers["bob@acme.test"] = LATER
    limit(acme, 30, now=now)
    send_deliveries()
    apply_at(now + 71 * HOUR)
    send_deliveries()
    assert "root@studio.test" not in post_office.recipients
    with caplog.at_level(logging.ERROR):
        apply_at(now + 73 * HOUR)
        apply_at(now + 74 * HOUR)
    send_deliveries()
    assert post_office.recipients.count("root@studio.test") == 1
    assert "have not left for 72 hours" in caplog.text
    assert days_of(acme) is None


def test_whoever_lost_the_permission_stops_the_limit_no_longer(client, acme, people, post_office, now):
    words = "The mail that announces it has not been sent yet"
    post_office.answers["bob@acme.test"] = LATER
    limit(acme, 30, now=now)
    send_deliveries()
    log_in(client, people[0])
    assert words in client.get("/acme/retention/").content.decode()
    people[1].memberships.update(roles=[Role.MEMBER])
    assert words not in client.get("/acme/retention/").content.decode()
    apply_at(now + 24 * HOUR)
    assert days_of(acme) == 30


def test_what_keeps_data_longer_waits_for_no_mail(acme, people, now):
    archive_after(acme, 20)
    limit(acme, 365, now=now, starts_at=now + 48 * HOUR)
    apply_at(now + 48 * HOUR)
    assert days_of(acme) == 365


def test_a_cancelled_change_is_no_longer_announced(acme, people, post_office, now):
    change = limit(acme, 30, now=now)
    services.cancel_change(change, by=Caller.of(people[0]), now=now)
    send_deliveries()
    assert len(post_office.delivered) == 3
    assert {"cancelled" in message["Subject"] for _to, message in post_office.delivered} == {True}


def test_administrators_below_are_waited_for_too(acme, post_office, now):
    ada = member(acme, Role.ADMINISTRATOR, email="ada@acme.test")
    agency = Organisation.objects.get_parent(acme)
    post_office.answers[ada.email] = LATER
    limit(agency, 30, now=now)
    send_deliveries()
    apply_at(now + 24 * HOUR)
    assert days_of(acme) is None
