"""Who gets a mail when data is late or the purge is silent: one at the start and one at the end."""

from datetime import timedelta

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from archival.choices import ProofState, RunPurpose, RunState
from archival.engine.delete_older import delete_older
from archival.engine.run import close_run, purge
from archival.evidence import alarms
from archival.evidence.ledger import figures
from archival.evidence.silence import is_silent
from archival.evidence.warnings import questions_about_all, questions_below, warnings_below, warnings_of_all
from archival.models import Proof, PurgeRun
from archival.requests.deletion import delete_organisation
from environments.caller import SYSTEM
from environments.choices import Role
from environments.models import Membership, Organisation
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import log_in
from tests.mailbox import clear_mails, sent_mails
from web.together import fetch_together

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)


def test_only_a_run_of_the_purge_shows_that_it_is_alive(acme):
    now = timezone.now()
    purge(now=now)
    PurgeRun.objects.update(started_at=now - 2 * HOUR)

    again = PurgeRun.objects.create(as_of=now, purpose=RunPurpose.REAPPLY)
    delete_older(again, acme.pk, now - timedelta(days=30))
    close_run(again, state=RunState.DONE)
    delete_organisation(environment(), by=SYSTEM, now=now)

    assert [run.purpose for run in PurgeRun.objects.order_by("pk")] == ["policy", "reapply", "deletion"]
    assert is_silent(now=now)
    assert figures(acme, now=now)["next_run_at"] is None, "no page promises one"
    purge(now=now)
    assert not is_silent(now=now)


def test_a_purge_that_is_switched_off_is_silent_after_an_hour_like_a_broken_one(acme, settings):
    now = timezone.now()
    purge(now=now)
    settings.PURGE_ENABLED = False
    purge(now=now)

    assert not is_silent(now=now + HOUR)
    assert is_silent(now=now + HOUR + timedelta(minutes=1))


def test_a_deletion_that_runs_is_not_the_purge_that_runs(acme):
    conversation(of=acme, days_ago=31)
    PurgeRun.objects.create(as_of=timezone.now(), purpose="deletion")

    assert figures(acme, now=timezone.now())["running"] is None


@pytest.fixture
def mails_of_check(django_capture_on_commit_callbacks):
    """Check at an instant; return the mails that this sent, by address."""

    def check(now):
        clear_mails()
        with django_capture_on_commit_callbacks(execute=True):
            alarms.store_proof(now=now)
        return {message.to[0]: message for message in sent_mails()}

    return check


def test_those_who_can_change_a_late_environment_get_one_mail_and_one_when_it_is_on_time(acme, mails_of_check):
    now = timezone.now()
    root = member(organisation(), is_superuser=True, email="root@example.test")
    member(acme, email="ada@example.test", language="nl")
    member(Organisation.objects.get(slug="agency"), Role.ORGANISATION_MANAGER, email="above@example.test")
    member(acme, Role.MEMBER, email="reader@example.test")
    other = archive_after(environment(slug="other", name="Other"), 30)
    member(other, email="elsewhere@example.test")
    for each in (acme, other):
        conversation(of=each, days_ago=31, now=now)

    purge(now=now - timedelta(days=2))
    late = mails_of_check(now)

    assert set(late) == {root.email, "ada@example.test", "above@example.test", "elsewhere@example.test"}
    assert "Acme" in late[root.email].body
    assert "Other" in late[root.email].body
    assert "Other" not in late["ada@example.test"].body + str(late["ada@example.test"].alternatives)
    assert "Acme" not in late["elsewhere@example.test"].body
    assert "/acme/retention/" in late["above@example.test"].body
    assert late["ada@example.test"].subject == "Verwijdering te laat in Acme"
    assert mails_of_check(now) == {}
    purge(now=now)
    again = mails_of_check(now)
    assert set(again) == set(late)
    assert again["above@example.test"].subject == "Retention is on time again in Acme"
    assert mails_of_check(now) == {}


@pytest.mark.parametrize("is_paused", [False, True])
def test_super_users_get_one_mail_about_a_silence_and_one_about_its_end(acme, mails_of_check, settings, is_paused):
    member(organisation(), is_superuser=True, email="root@example.test")
    member(acme, email="ada@example.test")
    now = timezone.now()
    purge(now=now)
    settings.PURGE_ENABLED = not is_paused
    later = now + 2 * HOUR

    silent = mails_of_check(later)
    assert list(silent) == ["root@example.test"]
    assert ("switched off" in silent["root@example.test"].subject) == is_paused
    assert mails_of_check(later + HOUR) == {}

    settings.PURGE_ENABLED = True
    purge(now=now)
    PurgeRun.objects.filter(pk=PurgeRun.objects.latest("pk").pk).update(started_at=later + HOUR)
    assert [message.subject for message in mails_of_check(later + HOUR).values()] == ["The purge runs again"]
    assert mails_of_check(later + HOUR) == {}
    assert mails_of_check(later + 4 * HOUR), "another silence is mailed again"


def test_a_purge_that_never_ran_is_silent_from_an_hour_after_the_installation(acme):
    assert not is_silent(now=timezone.now())
    MigrationRecorder.Migration.objects.filter(app="archival").update(applied=timezone.now() - 2 * HOUR)
    assert is_silent(now=timezone.now())


def late(*environments, state="late"):
    finding = {"kind": "messages", "state": state, "oldest": None, "late_by_seconds": 60}
    for each in environments:
        Proof.objects.create(environment=each, checked_at=timezone.now(), is_late=True, findings=[finding])


@pytest.mark.parametrize("path", ["/acme/", "/acme/members/", "/acme/audit/", "/agency/"])
def test_pages_of_a_late_environment_warn_those_who_can_read_why(client, acme, path):
    late(acme)
    log_in(client, member(Organisation.objects.get(slug="agency")))

    page = client.get(path).text

    assert "Retention is late in 1 environment" in page
    assert 'href="/acme/retention/"' in page


@pytest.mark.parametrize("role", [Role.MEMBER, Role.DEVELOPER])
def test_those_who_cannot_read_the_audit_log_see_no_warning(client, acme, role):
    late(acme)
    log_in(client, member(acme, role))

    assert "Retention is late" not in client.get("/acme/").text


def test_nobody_is_warned_of_an_environment_of_others(client, acme):
    late(environment(name="Elsewhere"))
    log_in(client, member(acme))

    page = client.get("/acme/").text

    assert "Retention is late" not in page
    assert "Elsewhere" not in page


@pytest.mark.parametrize("state", ["late", "guarded", "paused", "unreadable"])
def test_a_warning_says_why_it_is_late_and_is_never_green(client, acme, state):
    late(acme, state=state)
    log_in(client, member(acme))

    page = client.get("/acme/").text

    assert f'data-state="{state}">{ProofState(state).label}' in page
    assert 'data-state="ok"' not in page


def test_super_users_are_warned_on_every_page_of_all_that_is_late_and_of_a_silent_purge(client, acme, settings):
    late(acme, *(environment(name=f"Late {number}") for number in range(4)))
    PurgeRun.objects.create(
        state="done", as_of=timezone.now(), started_at=timezone.now() - 2 * HOUR, finished_at=timezone.now()
    )
    log_in(client, member(organisation(slug="north"), is_superuser=True))

    for path in ("/profile/", "/north/", "/acme/retention/"):
        page = client.get(path).text
        assert "Retention is late in 5 environments" in page
        assert "and 2 more" in page
        assert page.count("No purge run has completed for more than an hour") == 1
    settings.PURGE_ENABLED = False
    assert "The purge is switched off" in client.get("/profile/").text


def test_a_proof_that_is_not_brought_up_to_date_is_not_believed(client, acme):
    now = timezone.now()
    root = member(organisation(slug="north"), is_superuser=True)
    pages = {member(acme): ("/acme/retention/", "/agency/compliance/"), root: ("/north/", "/acme/retention/")}
    Membership.objects.filter(organisation=acme).update(organisation=Organisation.objects.get(slug="agency"))
    alarms.store_proof(now=now)

    for age, shown in ((HOUR - timedelta(minutes=1), 0), (HOUR + timedelta(minutes=1), 1)):
        Proof.objects.update(checked_at=now - age)
        for user, paths in pages.items():
            log_in(client, user)
            for path in paths:
                assert client.get(path).text.count("Retention was last checked more than an hour ago") == shown, path


@pytest.mark.parametrize("count", [1, 50])
def test_the_warning_costs_one_query_for_any_number(acme, count, django_assert_num_queries):
    late(acme, *(environment(parent=Organisation.objects.get(slug="agency")) for _ in range(count - 1)))
    agency = Organisation.objects.get(slug="agency")

    with django_assert_num_queries(1):
        assert warnings_below(fetch_together(**questions_below(agency))).count == count
    now = timezone.now()
    with django_assert_num_queries(1):
        assert warnings_of_all(fetch_together(**questions_about_all(now=now)), now=now).count == count
