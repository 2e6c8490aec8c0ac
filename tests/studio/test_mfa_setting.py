"""Require MFA on the page of the advanced settings: from a date, by whom, and whom it hits."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import SessionRecord, User
from environments.caller import SYSTEM
from environments.choices import Role
from environments.keys.services import create_personal_key, revoke_key
from environments.models import MfaChange
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.services import set_require_mfa
from tests import factories
from tests.logging_in import expire_step_up, give_app, log_in
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGE = "/acme/settings/advanced/"
AGENCY_PAGE = "/noorderlicht/settings/advanced/"


@pytest.fixture
def ada(client, acme):
    user = factories.member(acme, Role.ORGANISATION_MANAGER, email="ada@acme.test")
    log_in(client, user)
    return user


def post(client, *, to=PAGE, **fields):
    return client.post(to, {"do": "mfa", **fields})


def dated(client, *, date="2035-07-01", time="09:00", **fields):
    return post(client, require_mfa="on", require_mfa_date=date, require_mfa_time=time, **fields)


def test_on_from_a_date_is_read_in_the_viewers_zone_and_kept_in_utc(client, ada, acme):
    assert dated(client).status_code == 302
    change = MfaChange.objects.get()
    assert (change.acts_at, change.requested_by) == (datetime(2035, 7, 1, 7, 0, tzinfo=UTC), ada)
    acme.refresh_from_db()
    assert acme.require_mfa == "inherit"
    page = client.get(PAGE).content.decode()
    assert "Set by ada@acme.test" in page
    assert 'value="2035-07-01"' in page
    assert 'value="09:00"' in page


@pytest.mark.parametrize(
    ("zone", "date", "starts_at"),
    [
        ("Europe/Amsterdam", "2035-07-01", datetime(2035, 6, 30, 22, 0, tzinfo=UTC)),
        ("America/Havana", "2035-03-11", datetime(2035, 3, 11, 5, 0, tzinfo=UTC)),  # the clock goes from 24:00 to 01:00
    ],
)
def test_a_date_without_a_time_is_its_first_instant_in_the_viewers_zone(client, ada, zone, date, starts_at):
    User.objects.update(time_zone=zone)
    assert dated(client, date=date, time="").status_code == 302
    assert MfaChange.objects.get().acts_at == starts_at


def test_saving_the_page_again_leaves_the_schedule_as_it_is(client, ada):
    dated(client)
    dated(client)
    assert [change.state for change in MfaChange.objects.all()] == ["pending"]


def test_saving_leads_to_the_message_that_says_so(client, ada):
    """The form's own address leads to its section, which stands below the message."""
    assert post(client, require_mfa="on").url == f"{PAGE}#main"


def test_the_schedule_is_cancelled_by_whoever_can_change_the_setting(client, ada, acme):
    dated(client)
    log_in(client, factories.member(acme, Role.ADMINISTRATOR))
    assert post(client, do="cancel-mfa").status_code == 302
    assert MfaChange.objects.get().state == "cancelled"
    assert "no longer pending" in client.post(PAGE, {"do": "cancel-mfa"}, follow=True).content.decode()


@pytest.mark.parametrize("value", ["on", "off", "inherit"])
def test_saving_without_a_date_acts_now_and_replaces_the_schedule(client, ada, acme, value):
    dated(client)
    date = {} if value == "on" else {"require_mfa_date": "2035-07-01", "require_mfa_time": "09:00"}
    assert post(client, require_mfa=value, **date).status_code == 302
    acme.refresh_from_db()
    assert (acme.require_mfa, MfaChange.objects.get().state) == (value, "replaced")


@pytest.mark.parametrize("is_scheduled", [True, False])
@pytest.mark.parametrize("value", ["off", "inherit"])
def test_a_date_typed_beside_another_choice_is_refused_and_stays_typed(client, ada, acme, value, is_scheduled):
    if is_scheduled:
        dated(client)
    answer = post(client, require_mfa=value, require_mfa_date="2036-08-02", require_mfa_time="09:00").content.decode()
    assert f"“2036-08-02” goes with On, but {value.title()} is chosen." in answer
    assert 'value="2036-08-02"' in answer
    acme.refresh_from_db()
    assert acme.require_mfa == "inherit"
    assert [change.state for change in MfaChange.objects.all()] == ["pending"] * is_scheduled


@pytest.mark.parametrize(
    ("date", "time", "says"),
    [
        ("", "09:00", "Give a date too, or empty the time."),
        ("2020-07-01", "", "Choose a moment in the future."),
        ("0001-01-01", "", "Choose a moment in the future."),
        ("9999-12-31", "", "Choose a moment within ten years."),
        ("tomorrow", "09:00", "Enter a valid date."),
        ("2035-07-01", "25:00", "Enter a valid time."),
        ("2020-07-01", "09:00", "Choose a moment in the future."),
        ("0001-01-01", "00:00", "Choose a moment in the future."),
        ("9999-12-31", "23:59", "Choose a moment within ten years."),
        ("2035-03-25", "02:30", "couldn’t be interpreted in time zone Europe/Amsterdam"),
    ],
)
def test_a_date_that_is_none_is_refused_with_the_reason(client, ada, acme, date, time, says):
    answer = dated(client, date=date, time=time)
    assert (answer.status_code, MfaChange.objects.count()) == (200, 0)
    assert says in answer.content.decode()
    acme.refresh_from_db()
    assert acme.require_mfa == "inherit"


def test_every_way_of_saving_asks_for_step_up(client, ada, acme):
    dated(client)
    expire_step_up()
    for fields in [
        {"require_mfa": "on"}, {"require_mfa": "off"}, {"require_mfa": "inherit"}, {"do": "cancel-mfa"},
        {"require_mfa": "on", "require_mfa_date": "2036-07-01", "require_mfa_time": "09:00"},
    ]:  # fmt: skip
        assert post(client, **fields).url.startswith("/profile/security/confirm/"), fields
    assert MfaChange.objects.get().state == "pending"


def test_a_step_up_by_mailed_code_is_too_little_to_require_it_and_the_page_leads_to_enrolment(client, acme):
    client.force_login(factories.member(acme, Role.ADMINISTRATOR))
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    assert f'href="/enrol/?next={PAGE}"' in client.get(PAGE).content.decode()
    for answer in (post(client, require_mfa="on"), dated(client)):
        assert "Pass a second factor yourself before you require it of others." in answer.content.decode()
    acme.refresh_from_db()
    assert (acme.require_mfa, MfaChange.objects.count()) == ("inherit", 0)
    assert post(client, require_mfa="off").status_code == 302


def test_whoever_has_a_factor_but_did_not_pass_it_is_led_to_it(client, acme):
    user = factories.member(acme, Role.ADMINISTRATOR)
    client.force_login(user)
    give_app(user)
    assert f'href="/profile/security/confirm/?next={PAGE}"' in client.get(PAGE).content.decode()


@pytest.mark.parametrize("role", [Role.ENVIRONMENT_MANAGER, Role.DEVELOPER, Role.MEMBER])
def test_lower_roles_neither_schedule_nor_cancel(client, acme, role):
    change = schedule_mfa(
        acme, to=MfaRule.on(), acts_at=timezone.now() + timedelta(days=9), by=SYSTEM, now=timezone.now()
    )
    log_in(client, factories.member(acme, role))
    assert (dated(client).status_code, post(client, do="cancel-mfa").status_code) == (403, 403)
    change.refresh_from_db()
    assert change.state == "pending"


def test_who_is_hit_is_counted_by_how_they_log_in(client, ada, acme, agency):
    factories.member(agency, Role.MEMBER)
    by_sso = factories.member(acme, Role.MEMBER, password=None)
    by_sso.social_auth.create(provider="oidc-acme", uid="sso", id_key="sub")
    both = factories.member(acme, Role.MEMBER)
    both.social_auth.create(provider="oidc-acme", uid="both", id_key="sub")
    factories.member(factories.environment(parent=agency))
    counts = client.get(PAGE).context["counts"]
    assert (counts.ready, counts.by_sso, counts.lacking, counts.all) == (1, 1, 2, 4)
    assert (counts.with_password, counts.with_sso, counts.with_passkey) == (3, 2, 0)


def test_environments_that_stay_off_hit_nobody_unless_on_is_locked(client, agency, acme):
    log_in(client, factories.member(agency, Role.ADMINISTRATOR))
    off = factories.environment(parent=agency)
    set_require_mfa(off, to=MfaRule.off(), by=SYSTEM, now=timezone.now())
    factories.member(off, Role.MEMBER)
    factories.member(acme, Role.MEMBER)
    means = client.get(AGENCY_PAGE).context["affected"]
    assert (means.counts.lacking, means.by_lock) == (1, 1)


def test_keys_that_would_rest_are_counted(client, ada, acme):
    now = timezone.now()
    lotte = factories.member(acme, Role.DEVELOPER)
    create_personal_key(lotte, name="works", by=SYSTEM, now=now)
    revoke_key(create_personal_key(lotte, name="revoked", by=SYSTEM, now=now)[0], by=SYSTEM, now=now)
    create_personal_key(
        lotte, name="expired", by=SYSTEM, expires_at=now - timedelta(days=1), now=now - timedelta(days=2)
    )
    create_personal_key(ada, name="of somebody ready", by=SYSTEM, now=now)
    means = client.get(PAGE, {"page": "1"}).context["affected"]
    assert (means.counts.resting_keys, [person.user.key_count for person in means.people]) == (1, [1])


def test_people_without_a_factor_are_listed_in_pages(client, ada, acme):
    for number in range(25):
        factories.member(acme, Role.MEMBER, email=f"person-{number:02}@acme.test")
    pages = [client.get(PAGE, {"page": number}) for number in ("1", "2", "3")]
    listed = [[person.user.email for person in page.context["affected"].people] for page in pages]
    assert [len(emails) for emails in listed] == [10, 10, 5]
    assert [email for emails in listed for email in emails] == [f"person-{number:02}@acme.test" for number in range(25)]
    assert client.get(PAGE, {"page": "x"}).status_code == 200


def test_the_page_costs_the_same_for_1_and_50_people_hit_by_a_schedule(client, agency):
    log_in(client, factories.member(agency, Role.ADMINISTRATOR))
    schedule_mfa(agency, to=MfaRule.on(), acts_at=timezone.now() + timedelta(days=9), by=SYSTEM, now=timezone.now())
    costs = []
    for more in (1, 49):
        for _number in range(more):
            where = factories.environment(parent=agency)
            create_personal_key(factories.member(where, Role.DEVELOPER), name="k", by=SYSTEM, now=timezone.now())
        costs.append([count_queries(lambda page=page: client.get(AGENCY_PAGE, page)) for page in ({}, {"page": "1"})])
    assert client.get(AGENCY_PAGE).context["counts"].lacking == 50
    assert costs[0] == costs[1]
    assert costs[0][1] == costs[0][0] + 2  # the people, and their roles
