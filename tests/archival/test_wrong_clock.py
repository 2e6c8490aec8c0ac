"""A wrong clock deletes nothing: neither that of one process, nor that of the database."""

import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.models import FailureBudget
from accounts.passwords.services import send_reset
from archival.engine.run import purge
from archival.evidence.alarms import store_proof
from archival.evidence.warnings import questions_about_all, warnings_of_all
from archival.models import Proof, PurgeRun
from archival.policy.services import apply_due_changes, change_retention
from audit.models import Event
from conversations.models import Message
from environments.caller import SYSTEM
from environments.choices import Role
from environments.policies.retention import Retention
from studio.celery import app
from tests.archival.celery_processes import celery
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, member
from tests.logging_in import log_in
from web.models import Delivery
from web.together import fetch_together

FAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "")
AHEAD = timedelta(days=400)
TASKS = {
    "archival.tasks.purge",
    "archival.tasks.apply_due_changes",
    "archival.tasks.delete_blobs",
    "accounts.tasks.clear_sessions",
    "web.tasks.send_deliveries",
    "web.tasks.check_deliveries",
}


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme"), 30)


@pytest.fixture
def deployed(settings):
    settings.DEVELOPMENT = False


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (Debian: apt install libfaketime)")
@pytest.mark.django_db(transaction=True)
@pytest.mark.xdist_group("beat")
def test_a_worker_whose_clock_is_400_days_ahead_deletes_nothing_and_says_so(acme, tmp_path):
    conversation(of=acme, days_ago=[29, 1], now=timezone.now())
    change = change_retention(acme, to=Retention.limit(10), by=SYSTEM, now=timezone.now())
    FailureBudget.objects.create(key="x", since=timezone.now())
    ada = member(acme, Role.ADMINISTRATOR)
    send_reset(ada.email, language="en")  # a link that works for three days
    for task in sorted(TASKS):
        app.send_task(task)

    log = tmp_path / "worker.log"
    clock = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+400d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with celery("worker", "-P", "solo", "-l", "INFO", folder=tmp_path, **clock):
        deadline = time.monotonic() + 60
        while TASKS - set(re.findall(r"Task (\S+)\[\S+ succeeded", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
    app.control.purge()

    assert "set the wrong one right" in log.read_text()
    change.refresh_from_db()
    assert (Message.objects.count(), PurgeRun.objects.count(), change.state) == (2, 0, "pending")
    assert FailureBudget.objects.exists()
    assert not Delivery.objects.filter(state="expired").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["purge", "delete_organisation", "reapply_purges", "sweep_blobs", "configure"])
def test_a_command_on_a_machine_with_a_wrong_clock_deletes_nothing(acme, command, time_machine):
    conversation(of=acme, days_ago=1, now=timezone.now())
    arguments = {"delete_organisation": ["acme", "--yes"], "configure": ["acme", "--archive-after-days", "1", "--now"]}
    time_machine.move_to(timezone.now() + AHEAD)

    with pytest.raises(CommandError, match="set the wrong one right"):
        call_command(command, *arguments.get(command, []))

    assert (Message.objects.count(), PurgeRun.objects.count()) == (1, 0)


@pytest.mark.django_db
def test_a_web_process_with_a_wrong_clock_is_not_ready(client, time_machine):
    assert client.get("/readyz").status_code == 200
    time_machine.move_to(timezone.now() + AHEAD)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert "set the wrong one right" in answer.content.decode()


@pytest.mark.django_db
def test_a_page_reads_the_end_of_a_hold_from_the_clock_of_the_database(client, time_machine):
    """An erasure on a web process that is 400 days ahead would take a hold that ends in a year for ended."""
    acme = environment(slug="acme")
    held = conversation(of=acme, days_ago=1, now=timezone.now())
    admin = member(acme, Role.ADMINISTRATOR)
    acme.holds.create(reason="dispute", until=timezone.now() + timedelta(days=365), placed_at=timezone.now())
    time_machine.move_to(timezone.now() + AHEAD)
    log_in(client, admin)

    client.post(f"/acme/contacts/{held.contact.uuid}/erase/", {"typed_name": str(held.contact)})

    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_more_than_a_day_after_the_last_run_nothing_goes_until_a_person_confirms(acme, deployed, capsys):
    now = timezone.now()
    purge(now=now - timedelta(hours=25))
    conversation(of=acme, days_ago=31, now=now)

    for _ in range(2):  # one that waits is not the last run of the next
        run = purge(now=now)
        assert (run.state, run.rows, Message.objects.count()) == ("waiting", 0, 1)
    assert "purge --confirm-gap" in run.alarm
    with pytest.raises(CommandError, match="purge --confirm-gap"):
        call_command("purge")
    call_command("purge", "--dry-run")
    assert "purge --confirm-gap" in capsys.readouterr().out

    call_command("purge", "--confirm-gap")

    assert Message.objects.count() == 0
    assert Event.objects.filter(action="purge.gap_confirmed").count() == 1
    assert purge(now=now + timedelta(minutes=10)).state == "done"


@pytest.mark.django_db
def test_within_a_day_of_the_last_run_and_before_the_first_one_runs_start_by_themselves(acme, deployed):
    now = timezone.now()
    assert purge(now=now - timedelta(hours=23)).state == "done"
    assert purge(now=now).state == "done"


@pytest.mark.django_db
def test_in_development_no_run_waits(acme):
    purge(now=timezone.now() - AHEAD)
    assert purge(now=timezone.now()).state == "done"


@pytest.mark.django_db
def test_a_purge_that_was_switched_off_for_days_goes_on_by_itself(acme, deployed, settings):
    now = timezone.now()
    settings.PURGE_ENABLED = False
    for hours in (40, 20):
        purge(now=now - timedelta(hours=hours))
    settings.PURGE_ENABLED = True

    assert purge(now=now).state == "done"


@pytest.mark.django_db
def test_a_leap_of_the_clock_while_the_purge_is_switched_off_makes_it_wait(acme, deployed, settings):
    now = timezone.now()
    purge(now=now)
    settings.PURGE_ENABLED = False
    purge(now=now + AHEAD)
    settings.PURGE_ENABLED = True

    assert purge(now=now + AHEAD).state == "waiting"


@pytest.mark.django_db
def test_no_change_comes_into_force_across_a_gap_either(acme, deployed):
    now = timezone.now()
    purge(now=now)
    conversation(of=acme, days_ago=29, now=now)
    change = change_retention(acme, to=Retention.limit(10), by=SYSTEM, now=now)

    assert (apply_due_changes(now=now + AHEAD), change.state) == (0, "pending")


@pytest.mark.django_db
def test_an_alarm_does_not_wait_for_a_run_of_the_future_to_grow_old(acme, settings):
    now, settings.METRICS_TOKEN = timezone.now(), "token"
    purge(now=now)
    store_proof(now=now)
    PurgeRun.objects.update(started_at=now + AHEAD)
    Proof.objects.update(checked_at=now + AHEAD)

    later = now + timedelta(hours=2)

    found = warnings_of_all(fetch_together(**questions_about_all(now=later)), now=later)
    figures = Client().get("/metrics", headers={"Authorization": "Bearer token"}).content.decode()

    assert (found.is_silent, found.is_outdated) == (True, True)
    assert "studio_purge_last_good_run_timestamp_seconds 0.0" in figures
    assert "studio_retention_checked_timestamp_seconds 0.0" in figures
