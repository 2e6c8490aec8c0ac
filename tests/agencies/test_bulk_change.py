"""A bulk change: the same as one by one, each thing once, whatever happens to its workers; its mails; its reversal."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.utils import timezone

from accounts.models import SessionRecord
from agencies.bulk import services
from agencies.bulk.preview import preview_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.models import BulkChange, BulkItem
from agencies.tasks import resume_bulk_changes, run_bulk_change
from archival.choices import ChangeState
from archival.models import PolicyChange
from archival.policy.services import apply_due_changes, cancel_change, change_retention
from audit.models import Event
from environments.access import reach
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.keys.services import create_organisation_key
from environments.models import MfaChange, Organisation
from environments.policies import mfa_schedule
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests.accounts.conftest import require_mfa
from tests.archival.limits import archive_after
from tests.at_once import at_once
from tests.broker import run_waiting_tasks, waiting_tasks
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import expire_step_up, give_app, logged_in_client
from tests.mailbox import clear_mails, sent_mails
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
NINETY, ON = Wanted(retention=Retention.limit(90)), Wanted(mfa=MfaRule.on())
ALL = ("shop", "depot", "desk", "lab")


@pytest.fixture
def agency() -> Organisation:
    """Aurora with two customers: Bakker (shop, depot) and Cohen (desk), and an environment of its own (lab)."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    cohen = organisation(Kind.CUSTOMER, parent=aurora, name="Cohen", slug="cohen")
    environment(parent=bakker, name="Shop", slug="shop")
    environment(parent=bakker, name="Depot", slug="depot")
    environment(parent=cohen, name="Desk", slug="desk")
    environment(parent=aurora, name="Lab", slug="lab")
    environment(name="Elsewhere", slug="elsewhere")
    return aurora


@pytest.fixture
def ada(agency):
    return member(agency, email="ada@aurora.test")


@pytest.fixture
def client(ada):
    return logged_in_client(ada)


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def start(ada, slugs=ALL, wanted=NINETY) -> BulkChange:
    here = get("aurora")
    return services.start_bulk_change(here, map(get, slugs), wanted=wanted, by=Caller.of(ada), now=timezone.now())


def run(ada, slugs=ALL, wanted=NINETY) -> BulkChange:
    job = start(ada, slugs, wanted)
    run_bulk_change(job.pk)
    job.refresh_from_db()
    return job


def revert(job, ada) -> BulkChange:
    reversal = services.revert_bulk_change(job, by=Caller.of(ada), now=timezone.now())
    run_bulk_change(reversal.pk)
    reversal.refresh_from_db()
    return reversal


def states(job) -> dict[str, str]:
    return dict(job.items.values_list("environment__slug", "state"))


def own(slug: str) -> tuple[Retention, MfaRule]:
    return Retention.of(get(slug)), MfaRule.of(get(slug))


def old_data(*slugs: str) -> None:
    for slug in slugs:
        conversation(of=get(slug), days_ago=400, now=timezone.now())


# -- The same as one by one --------------------------------------------------------------------------


def prepare() -> None:
    """Give each environment another reason for another result."""
    old_data("shop")
    archive_after(get("depot"), 90)
    set_retention(get("cohen"), to=Retention.limit(30, locked=True), by=SYSTEM, now=timezone.now())
    archive_after(get("lab"), 40)
    schedule_mfa(get("lab"), to=MfaRule.on(), acts_at=timezone.now() + DAY, by=SYSTEM, now=timezone.now())


def what_there_is() -> list[object]:
    """Return the rows that changes of settings write, without their clocks and keys."""
    columns = ("archival", "archive_after_days", "effective_archive_after_days", "require_mfa", "effective_require_mfa")
    settings = list(Organisation.objects.order_by("path").values_list("slug", *columns))
    limits = PolicyChange.objects.order_by("organisation__slug", "pk")
    limits = limits.values_list("organisation__slug", "archival", "days", "locked", "state", "preview", "before")
    schedules = MfaChange.objects.order_by("organisation__slug", "pk").values_list("organisation__slug", "state")
    events = Event.objects.filter(action__regex="^(retention|mfa)").order_by("organisation_label", "pk")
    events = events.values_list("action", "organisation_label", "actor_label", "before")
    return [settings, list(limits), list(schedules), list(events)]


@pytest.mark.parametrize(
    "wanted",
    [
        NINETY,
        ON,
        Wanted(retention=Retention.limit(90), mfa=MfaRule.on()),
        Wanted(retention=Retention.keep()),
        Wanted(retention=Retention.inherit(), mfa=MfaRule.inherit()),
        Wanted(mfa=MfaRule.off()),
    ],
)
def test_a_bulk_change_writes_the_rows_that_the_same_changes_one_by_one_write(agency, ada, wanted):
    prepare()
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        for slug in ALL:
            node, by, now = get(slug), Caller.of(ada), timezone.now()
            try:
                if wanted.retention:
                    change_retention(node, to=wanted.retention, by=by, now=now)
                if wanted.mfa:
                    set_require_mfa(node, to=wanted.mfa, by=by, now=now)
            except ValidationError:
                assert slug == "desk"
        expected = what_there_is()
        cursor.execute("ROLLBACK TO before")
    run(ada, wanted=wanted)

    assert what_there_is() == expected


def test_each_environment_has_its_own_result(agency, ada):
    prepare()
    job = run(ada)

    assert states(job) == {"shop": "pending", "depot": "unchanged", "desk": "refused", "lab": "changed"}
    assert job.items.get(environment=get("desk")).reason == "A lock above no longer allows it."
    assert job.ended_at is not None


def test_both_settings_of_an_environment_are_changed_or_none(agency, ada):
    require_mfa(get("bakker"))
    set_require_mfa(get("bakker"), to=MfaRule.on(locked=True), by=SYSTEM, now=timezone.now())
    job = run(ada, wanted=Wanted(retention=Retention.limit(90), mfa=MfaRule.off()))

    assert states(job) == {"shop": "refused", "depot": "refused", "desk": "changed", "lab": "changed"}
    assert own("shop") == (Retention.inherit(), MfaRule.inherit())


def test_what_an_error_undid_is_not_in_the_result(agency, ada):
    old_data("desk")
    set_require_mfa(get("cohen"), to=MfaRule.on(locked=True), by=SYSTEM, now=timezone.now())
    item = run(ada, ["desk"], Wanted(retention=Retention.limit(90), mfa=MfaRule.off())).items.get()
    assert (item.state, item.before, item.left, item.policy_change_id) == ("refused", {}, {}, None)


def test_locks_of_an_environment_stay(agency, ada):
    set_retention(get("lab"), to=Retention.limit(30, locked=True), by=SYSTEM, now=timezone.now())
    run(ada, ["lab"])
    assert own("lab")[0] == Retention.limit(90, locked=True)


def test_a_date_that_has_passed_when_the_worker_comes_means_now(agency, ada):
    later = timezone.now() + DAY
    job = start(ada, ["lab"], Wanted(Retention.limit(90), later, MfaRule.on(), later))
    item = job.items.get()
    services.change_environment(item, job, now=later + DAY)
    assert own("lab") == (Retention.limit(90), MfaRule.on())


def test_a_date_to_come_is_kept(agency, ada):
    later = timezone.now() + 3 * DAY
    job = run(ada, ["lab"], Wanted(Retention.limit(90), later, MfaRule.on(), later))

    assert states(job) == {"lab": "pending"}
    assert [PolicyChange.objects.get().acts_at, MfaChange.objects.get().acts_at] == [later, later]


# -- What must not stop it ---------------------------------------------------------------------------


def test_a_failure_in_one_environment_stops_nothing(agency, ada, caplog):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN IF NEW.slug = 'depot' THEN RAISE EXCEPTION 'broken'; END IF; RETURN NEW; END$$;"
            "CREATE TRIGGER break_it BEFORE UPDATE ON environments_organisation"
            " FOR EACH ROW EXECUTE FUNCTION break_it()"
        )
    job = run(ada)

    assert states(job) == {"shop": "changed", "depot": "failed", "desk": "changed", "lab": "changed"}
    assert "failed" in caplog.text
    assert PolicyChange.objects.filter(organisation=get("depot")).count() == 0


def test_where_the_database_gives_up_three_times_it_failed_and_the_others_are_done_first(agency, ada):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN IF NEW.slug = 'shop' THEN RAISE deadlock_detected; END IF; RETURN NEW; END$$;"
            "CREATE TRIGGER break_it BEFORE UPDATE ON environments_organisation"
            " FOR EACH ROW EXECUTE FUNCTION break_it()"
        )
    job = start(ada)
    assert [services.do_next(job) for _ in range(4)] == [True] * 4
    assert states(job) == {"shop": "waiting", "depot": "changed", "desk": "changed", "lab": "changed"}
    run_bulk_change(job.pk)
    assert states(job)["shop"] == "failed"


def test_who_lost_the_permission_meanwhile_changes_nothing_more(agency, ada):
    job = start(ada)
    assert services.do_next(job)
    ada.memberships.all().delete()
    ada.memberships.create(organisation=get("cohen"), roles=[Role.ADMINISTRATOR], accepted_at=timezone.now())
    run_bulk_change(job.pk)
    assert states(job) == {"shop": "changed", "depot": "refused", "desk": "changed", "lab": "refused"}


@pytest.mark.parametrize("end", [lambda user: user.delete(), lambda user: type(user).objects.update(is_active=False)])
def test_nothing_is_changed_for_an_account_that_was_closed_or_deleted(agency, end):
    leaver = member(agency)
    job = start(leaver)
    end(leaver)
    run_bulk_change(job.pk)
    assert set(states(job).values()) == {"refused"}


def test_an_environment_that_is_gone_or_suspended_is_refused(agency, ada):
    Organisation.objects.filter(slug="lab").update(is_suspended=True)
    job = start(ada, ["lab", "desk"])
    Organisation.objects.filter(slug="desk").delete()
    run_bulk_change(job.pk)
    assert dict(job.items.values_list("environment_label", "state")) == {"Lab": "refused", "Desk": "refused"}


def test_a_key_starts_no_bulk_change(agency):
    with pytest.raises(PermissionDenied):
        services.start_bulk_change(agency, [get("lab")], wanted=NINETY, by=SYSTEM, now=timezone.now())


def test_a_task_that_is_delivered_twice_does_nothing_twice(agency, ada):
    old_data(*ALL)
    job = start(ada)
    clear_mails()
    for _ in range(3):
        run_bulk_change(job.pk)

    assert PolicyChange.objects.count() == 4
    assert Event.objects.filter(action="bulk_change.finished").count() == 1
    assert len(sent_mails()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_environments(agency, ada):
    for number in range(20):
        environment(parent=agency, slug=f"more-{number}")
    job = start(ada, [each.slug for each in Organisation.objects.below(agency).environments()])
    at_once(*[lambda: run_bulk_change(job.pk)] * 3)
    run_bulk_change(job.pk)  # if the last of them saw the last environment of another as waiting

    assert set(states(job).values()) == {"changed"}
    assert PolicyChange.objects.count() == Event.objects.filter(action="retention.changed").count() == 24
    assert Event.objects.filter(action="bulk_change.finished").count() == 1


@pytest.mark.xdist_group("beat")
def test_beat_finds_a_job_that_lost_its_worker(agency, ada):
    job = start(ada)
    services.do_next(job)
    BulkItem.objects.filter(ended_at__isnull=False).update(ended_at=timezone.now() - timedelta(minutes=5))
    BulkChange.objects.update(requested_at=timezone.now() - timedelta(minutes=6))
    assert services.jobs_without_worker(now=timezone.now()) == [job.pk]
    list(waiting_tasks())
    resume_bulk_changes()
    assert run_waiting_tasks("agencies.") == 1
    assert set(states(job).values()) == {"changed"}
    assert services.jobs_without_worker(now=timezone.now() + DAY) == []


# -- Mails -------------------------------------------------------------------------------------------


def test_each_person_gets_one_mail_about_all_that_concerns_them(agency, ada):
    old_data("shop", "depot")
    member(get("bakker"), email="bea@bakker.test")
    member(get("desk"), Role.ADMINISTRATOR, email="dan@desk.test", language="nl")
    member(get("desk"), Role.MEMBER, email="vic@desk.test")
    member(get("elsewhere"), email="eve@elsewhere.test")
    clear_mails()
    run(ada)
    mails = {to: each for each in sent_mails() for to in each.to}

    assert sorted(mails) == ["ada@aurora.test", "bea@bakker.test", "dan@desk.test"]
    assert mails["bea@bakker.test"].subject == "Shop and 1 other environment: conversations will be permanently deleted"
    assert "2 messages and 2 conversations" in " ".join(mails["bea@bakker.test"].body.split())
    assert "- Shop: 90 days\n- Depot: 90 days\n" in mails["bea@bakker.test"].body
    assert "Desk" not in mails["bea@bakker.test"].body
    assert "- Desk: 90 dagen" in mails["dan@desk.test"].body
    for name in ("Shop", "Depot", "Desk", "Lab"):
        assert f"- {name}: 90 days" in mails["ada@aurora.test"].body


def test_a_mail_names_at_most_some_and_counts_the_rest(agency, ada):
    made = [environment(parent=agency, slug=f"more-{number}").slug for number in range(25)]
    clear_mails()
    run(ada, made)
    (sent,) = sent_mails()
    assert sent.body.count("90 days") == 20
    assert "25 environments in all." in sent.body


def test_no_pending_change_takes_effect_before_the_job_has_announced_it(agency, ada):
    old_data("shop", "depot")
    job = start(ada, ["shop", "depot"])
    assert services.do_next(job)  # and then its worker dies
    change = PolicyChange.objects.get()
    assert change.waits_for_mail
    assert apply_due_changes(now=change.acts_at + DAY) == 0
    run_bulk_change(job.pk)

    sent_mails()
    change.refresh_from_db()
    assert not change.waits_for_mail
    assert apply_due_changes(now=change.acts_at + DAY) == 2


def test_no_schedule_of_mfa_takes_effect_before_the_job_has_announced_it(agency, ada):
    later = timezone.now() + DAY
    job = start(ada, ["shop"], Wanted(mfa=MfaRule.on(), mfa_from=later))
    assert services.do_next(job)
    assert mfa_schedule.apply_due_changes(now=later + DAY) == 0
    run_bulk_change(job.pk)
    assert mfa_schedule.apply_due_changes(now=later + DAY) == 1
    assert get("shop").effective_require_mfa


def test_a_change_waits_until_the_one_mail_that_announces_it_has_been_sent(agency, ada):
    old_data("shop")
    run(ada, ["shop"])
    change = PolicyChange.objects.get()
    assert (change.unsent_count, change.waits_for_mail) == (1, True)


def test_an_announcement_that_comes_late_starts_the_wait_again(agency, ada):
    old_data("shop")
    job = start(ada, ["shop"])
    services.do_next(job)
    PolicyChange.objects.update(acts_at=timezone.now() + timedelta(hours=2))
    BulkItem.objects.update(ended_at=timezone.now())
    run_bulk_change(job.pk)
    assert PolicyChange.objects.get().acts_at > timezone.now() + timedelta(hours=23)


def test_a_change_that_was_cancelled_before_the_announcement_is_not_in_it(agency, ada):
    old_data("shop")
    job = start(ada, ["shop"])
    services.do_next(job)
    cancel_change(PolicyChange.objects.get(), by=SYSTEM, now=timezone.now())
    clear_mails()
    run_bulk_change(job.pk)
    assert sent_mails() == []


def test_keys_of_people_who_now_need_a_factor_are_suspended_in_one_go(agency, ada):
    dan = member(get("desk"))
    keys = [
        create_organisation_key(get("desk"), name=name, roles=[Role.DEVELOPER], by=Caller.of(dan), now=timezone.now())
        for name in ("one", "two")
    ]
    clear_mails()
    run(ada, wanted=ON)
    for key, _raw in keys:
        key.refresh_from_db()
    assert all(key.rests_since for key, _raw in keys)
    assert [each.to for each in sent_mails()].count([dan.email]) == 2  # of the change, and of both keys


# -- Revert ------------------------------------------------------------------------------------------


def test_a_reversal_sets_back_what_was_not_changed_since(agency, ada):
    archive_after(get("depot"), 200)
    old_data("desk")
    job = run(ada, wanted=Wanted(retention=Retention.limit(90), mfa=MfaRule.on()))
    set_retention(get("lab"), to=Retention.limit(100), by=SYSTEM, now=timezone.now())
    reversal = revert(job, ada)

    assert states(reversal) == {"shop": "changed", "depot": "changed", "desk": "changed", "lab": "unchanged"}
    assert own("shop") == own("desk") == (Retention.inherit(), MfaRule.inherit())
    assert own("depot") == (Retention.limit(200), MfaRule.inherit())
    assert own("lab") == (Retention.limit(100), MfaRule.on())
    assert reversal.items.get(environment=get("lab")).reason == "It was changed since, so it was left as it is."
    assert PolicyChange.objects.get(organisation=get("desk"), days=90).state == ChangeState.REPLACED


def test_a_reversal_of_what_took_effect_since_sets_it_back_too(agency, ada):
    old_data("shop")
    job = run(ada, ["shop"])
    sent_mails()
    assert apply_due_changes(now=timezone.now() + 2 * DAY) == 1
    revert(job, ada)
    assert own("shop")[0] == Retention.inherit()


def test_a_reversal_that_would_delete_something_waits_again(agency, ada):
    archive_after(get("shop"), 300)
    job = run(ada, ["shop"], Wanted(retention=Retention.keep()))
    old_data("shop")
    reversal = revert(job, ada)
    assert states(reversal) == {"shop": "pending"}
    assert own("shop")[0] == Retention.keep()


def test_a_pending_change_that_somebody_cancelled_is_left_alone(agency, ada):
    old_data("shop")
    job = run(ada, ["shop"])
    cancel_change(PolicyChange.objects.get(), by=SYSTEM, now=timezone.now())
    set_retention(get("shop"), to=Retention.limit(1000), by=SYSTEM, now=timezone.now())
    assert states(revert(job, ada)) == {"shop": "unchanged"}
    assert own("shop")[0] == Retention.limit(1000)


def test_a_job_is_reverted_once_and_not_while_it_runs(agency, ada):
    job = start(ada)
    with pytest.raises(ValidationError, match="has finished"):
        revert(job, ada)
    run_bulk_change(job.pk)
    revert(job, ada)
    with pytest.raises(ValidationError, match="reverted already"):
        revert(job, ada)


def test_a_reversal_can_be_reverted(agency, ada):
    job = run(ada)
    revert(revert(job, ada), ada)
    assert own("shop")[0] == Retention.limit(90)


# -- The preview -------------------------------------------------------------------------------------


def preview(ada, slugs=ALL, wanted=NINETY):
    access = reach(Caller.of(ada), "aurora")
    return preview_bulk_change(access.organisation, map(get, slugs), wanted, access=access, now=timezone.now())


@pytest.mark.parametrize(
    "wanted",
    [
        NINETY,
        ON,
        Wanted(retention=Retention.limit(20)),
        Wanted(retention=Retention.keep(), mfa=MfaRule.off()),
        Wanted(retention=Retention.inherit(), mfa=MfaRule.inherit()),
        Wanted(retention=Retention.limit(90), retention_from=timezone.now() + 30 * DAY),
        Wanted(mfa=MfaRule.on(), mfa_from=timezone.now() + 30 * DAY),
    ],
)
def test_the_preview_says_what_the_job_then_does(agency, ada, wanted):
    prepare()
    shown = {row.node.slug: row for row in preview(ada, wanted=wanted).rows}
    job = run(ada, wanted=wanted)

    assert {slug: row.state for slug, row in shown.items()} == states(job)
    for item in job.items.filter(policy_change__isnull=False).select_related("policy_change"):
        row, change = shown[item.environment.slug], item.policy_change
        assert change.preview["messages"] == (row.deletes.messages if row.deletes else 0)
        if not change.is_pending:
            assert row.effect.after == item.environment.effective_archive_after_days


def test_the_preview_counts_who_must_set_up_a_factor_each_once(agency, ada):
    member(get("bakker"), Role.MEMBER)
    give_app(member(get("shop"), Role.MEMBER))
    require_mfa(get("cohen"))
    give_app(ada)
    found = preview(ada, wanted=ON)
    assert {row.node.slug: row.without_factor for row in found.rows} == {"shop": 1, "depot": 1, "desk": 0, "lab": 0}
    assert found.people == 1


def test_the_preview_names_the_lock_only_for_who_can_see_it(agency):
    set_retention(agency, to=Retention.limit(30, locked=True), by=SYSTEM, now=timezone.now())
    access = reach(Caller.of(member(get("bakker"))), "bakker")
    (row,) = preview_bulk_change(get("bakker"), [get("shop")], NINETY, access=access, now=timezone.now()).rows
    assert row.reason == "An organisation above locks this at 30 days or fewer"


# -- The pages ---------------------------------------------------------------------------------------

SET = "archival=limit&archive_after_days=90&require_mfa="
CHOSEN = "/aurora/environments/change/?environment=shop&environment=depot"


def confirm(client, address: str, **more: str):
    page = client.get(address)
    assert page.status_code == 200, page
    return client.post(address, {"shown": page.context["preview"].token, **more})


def test_from_the_table_to_the_result(client):
    old_data("shop")
    assert 'name="environment" value="shop"' in client.get("/aurora/environments/").text
    answer = confirm(client, f"{CHOSEN}&{SET}")
    job = BulkChange.objects.get()
    assert answer.url == f"/aurora/environments/changes/{job.uuid}/"
    assert 'id="progress" aria-labelledby="running"' in client.get(answer.url).text
    run_bulk_change(job.pk)

    page = client.get(answer.url).text
    assert "Shop" in page
    assert "Revert…" in page
    assert client.get(f"{answer.url}progress/").headers["HX-Refresh"] == "true"
    assert str(job.uuid) in client.get("/aurora/environments/").text


def test_all_that_match_a_filter_are_evaluated_on_the_server(client):
    answer = confirm(client, f"/aurora/environments/change/?all=on&filter=q%3Dbakker&environment=lab&{SET}")
    assert answer.status_code == 302
    assert set(states(BulkChange.objects.get())) == {"shop", "depot"}


@pytest.mark.parametrize(
    "chosen",
    [
        "all=on&filter=mfa%3Drequird",
        "all=on&filter=archival%3D30%26q%3Dbakker",
        f"all=on&filter=q%3D{'x' * 201}",
        "all=on&filter=q%3D%2500",
        "all=on&filter=mfaa%3Drequired",
        "environment=%00",
    ],
)
def test_what_is_not_understood_chooses_nothing_rather_than_everything(client, chosen):
    answer = client.get(f"/aurora/environments/change/?{chosen}&{SET}")
    assert (answer.status_code, answer.url) == (302, "/aurora/environments/")
    assert client.post(f"/aurora/environments/change/?{chosen}&{SET}").url == "/aurora/environments/"


def test_the_number_of_a_page_and_an_order_are_understood(client):
    answer = client.get(f"/aurora/environments/change/?all=on&filter=page%3D2%26sort%3Dname&{SET}")
    assert len(answer.context["environments"]) == len(ALL)


def test_environments_of_others_are_not_changed_whatever_is_sent(client):
    address = f"/aurora/environments/change/?environment=elsewhere&environment=shop&environment=aurora&{SET}"
    confirm(client, address)
    assert set(states(BulkChange.objects.get())) == {"shop"}
    alone = client.get(f"/aurora/environments/change/?environment=elsewhere&{SET}")
    assert alone.url == "/aurora/environments/"


@pytest.mark.parametrize("role", [Role.MEMBER, Role.DEVELOPER])
def test_who_cannot_change_advanced_settings_sees_nothing_of_it(agency, ada, role):
    job = run(ada)
    vic = logged_in_client(member(agency, role))
    assert "data-picks" not in vic.get("/aurora/environments/").text
    for address in (CHOSEN, *(f"/aurora/environments/changes/{job.uuid}{end}" for end in ("/", "/revert/", ".csv"))):
        assert vic.get(address).status_code == 403
    assert vic.post(f"{CHOSEN}&{SET}").status_code == 403


def test_a_job_of_another_organisation_is_not_found(client, ada):
    job = run(ada)
    assert client.get(f"/bakker/environments/changes/{job.uuid}/").status_code == 404


def test_a_preview_of_something_else_starts_nothing(client):
    shown = client.get(f"{CHOSEN}&{SET}").context["preview"].token
    answer = client.post(f"{CHOSEN}&archival=keep&require_mfa=", {"shown": shown})
    assert "Check the preview" in answer.text
    assert not BulkChange.objects.exists()


def test_more_that_would_be_deleted_than_was_shown_is_shown_first(client):
    shown = client.get(f"{CHOSEN}&{SET}").context["preview"].token
    old_data(*["shop"] * 60)
    answer = client.post(f"{CHOSEN}&{SET}", {"shown": shown})
    assert "It would affect more than was shown." in answer.text
    assert not BulkChange.objects.exists()
    assert client.post(f"{CHOSEN}&{SET}", {"shown": answer.context["preview"].token}).status_code == 302


def test_where_nothing_waits_the_name_is_typed(client, settings):
    settings.COOLING_OFF_HOURS = 0
    old_data("shop")
    assert confirm(client, f"{CHOSEN}&{SET}", typed_name="Bakker").status_code == 200
    assert not BulkChange.objects.exists()
    assert confirm(client, f"{CHOSEN}&{SET}", typed_name="Aurora").status_code == 302
    job = BulkChange.objects.get()
    run_bulk_change(job.pk)
    assert states(job) == {"shop": "changed", "depot": "changed"}


def test_where_nothing_waits_no_data_goes_without_a_typed_name(agency, ada, settings):
    settings.COOLING_OFF_HOURS = 0
    job = start(ada, ["shop", "depot"])
    old_data("shop")  # after the preview
    run_bulk_change(job.pk)
    assert states(job) == {"shop": "refused", "depot": "changed"}


def test_where_nothing_waits_a_reversal_asks_for_the_name_too(client, ada, settings):
    settings.COOLING_OFF_HOURS = 0
    job = run(ada, ["lab"])
    address = f"/aurora/environments/changes/{job.uuid}/revert/"
    assert client.post(address).status_code == 200
    assert client.post(address, {"typed_name": "Aurora"}).status_code == 302
    assert BulkChange.objects.get(reverts=job).deletes_at_once


def test_starting_and_reverting_take_a_step_up_and_looking_does_not(client, ada):
    job = run(ada, ["lab"])
    expire_step_up()
    assert client.get(f"{CHOSEN}&{SET}").status_code == 200
    assert client.post(f"{CHOSEN}&{SET}").url.startswith("/profile/security/confirm/")
    assert client.get(f"/aurora/environments/changes/{job.uuid}/revert/").url.startswith("/profile/security/confirm/")


def test_a_reversal_that_requires_mfa_again_takes_a_factor_of_ones_own(client, ada):
    set_require_mfa(get("shop"), to=MfaRule.on(), by=SYSTEM, now=timezone.now())
    job = run(ada, ["shop"], Wanted(mfa=MfaRule.off()))
    SessionRecord.objects.update(factor="", factor_at=None)
    answer = client.post(f"/aurora/environments/changes/{job.uuid}/revert/", follow=True)
    assert "Pass a second factor yourself before you require it of others." in answer.text
    assert not job.reversals.exists()


def test_the_page_of_a_job_reverts_it(client, ada):
    job = run(ada, ["lab"])
    answer = client.post(f"/aurora/environments/changes/{job.uuid}/revert/")
    reversal = BulkChange.objects.get(reverts=job)
    assert answer.url == f"/aurora/environments/changes/{reversal.uuid}/"
    assert "was reverted" in client.get(f"/aurora/environments/changes/{job.uuid}/").text


def test_the_file_has_the_result_of_every_environment(client, ada):
    prepare()
    job = run(ada)
    text = client.get(f"/aurora/environments/changes/{job.uuid}.csv").getvalue().decode("utf-8-sig")
    rows = {row["environment"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {name: row["result"] for name, row in rows.items()} == {
        "Shop": "pending", "Depot": "unchanged", "Desk": "refused", "Lab": "changed",
    }  # fmt: skip
    assert (rows["Lab"]["own_days_before"], rows["Lab"]["own_days"], rows["Shop"]["conversations"]) == ("40", "90", "1")


@pytest.mark.parametrize("rows", [1, 50])
def test_pages_cost_as_few_queries_for_one_environment_as_for_fifty(client, ada, agency, rows):
    for number in range(rows):
        made = environment(parent=agency, slug=f"more-{number}")
        conversation(of=made, days_ago=400, now=timezone.now())
    both = "archival=limit&archive_after_days=90&require_mfa=on"
    job = run(ada, [f"more-{number}" for number in range(rows)])
    preview = f"/aurora/environments/change/?all=on&filter=q%3Dmore&{both}"
    addresses = (preview, f"/aurora/environments/changes/{job.uuid}/")
    costs = [count_queries(lambda address=address: client.get(address)) for address in addresses]
    assert costs == [19, 9]


def test_the_job_is_in_the_audit_log_of_its_organisation(agency, ada):
    run(ada, ["lab", "shop"])
    events = Event.objects.filter(organisation_id=agency.pk, action__startswith="bulk_change").order_by("pk")
    assert [(each.action, each.after) for each in events] == [
        ("bulk_change.started", {"archival": "limit", "archive_after_days": 90, "environments": 2}),
        ("bulk_change.finished", {"changed": 2}),
    ]
