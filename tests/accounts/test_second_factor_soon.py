"""Between the announcement and the date: "Not now" puts it off, and lets nobody in whom the gate would not let in."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from environments.caller import SYSTEM
from environments.models import MfaChange, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import cancel_scheduled_mfa, schedule_mfa
from environments.tasks import apply_mfa_changes
from tests.accounts.conftest import require_mfa
from tests.factories import environment, member
from tests.logging_in import code, give_app, give_password, log_in

PAGE = "/profile/security/soon/"
SECURITY = "/profile/security/"


@pytest.fixture
def coming(acme) -> MfaChange:
    """Acme will require MFA in ten days."""
    now = timezone.now()
    change = schedule_mfa(acme, to=MfaRule.on(), acts_at=now + timedelta(days=10), by=SYSTEM, now=now)
    assert change is not None
    return change


def come_true() -> None:
    MfaChange.objects.update(acts_at=timezone.now())
    apply_mfa_changes()


def test_after_the_password_people_see_which_environments_will_require_it_and_when(client, ada, coming):
    answer = give_password(client, ada, next=SECURITY)
    assert answer.url == f"{PAGE}?next={SECURITY}"
    page = client.get(answer.url).content.decode()
    assert "Acme" in page
    assert coming.acts_at.strftime("%Y-%m-%d %H:%M") in page
    assert f'href="/enrol/?next={SECURITY}"' in page
    assert f'<a class="button" href="{SECURITY}">Not now</a>' in page
    assert client.get(SECURITY).status_code == 200


def test_only_environments_that_the_person_reaches_are_named(client, ada, acme, coming):
    agency = Organisation.objects.get_parent(acme)
    environment(parent=agency, name="Hidden from Ada")
    schedule_mfa(agency, to=MfaRule.on(), acts_at=coming.acts_at, by=SYSTEM, now=timezone.now())
    give_password(client, ada)
    page = client.get(PAGE).content.decode()
    assert "Acme" in page
    assert "Hidden from Ada" not in page


@pytest.mark.way("Policy: a scheduled requirement put off past its date")
def test_the_choice_not_now_ends_at_the_date_in_the_middle_of_a_session(client, ada, coming):
    give_password(client, ada)
    assert client.get(SECURITY).status_code == 200
    come_true()
    assert client.get(PAGE).url == f"/enrol/?next={PAGE}"
    assert client.get(SECURITY).url == f"/enrol/?next={SECURITY}"
    assert client.get(SECURITY, headers={"HX-Request": "true"}).status_code == 403
    client.post("/logout/")
    assert give_password(client, ada).url == "/enrol/"


def test_an_sso_session_passes_on_when_the_date_comes(client, ada, coming, through_sso):
    ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
    through_sso("ada")
    come_true()
    assert client.get(SECURITY).status_code == 200


def test_a_session_that_passed_a_factor_passes_on_when_the_date_comes(client, ada, coming):
    log_in(client, ada)
    come_true()
    assert client.get(SECURITY).status_code == 200


def test_whoever_must_have_a_factor_for_another_environment_cannot_choose_not_now(client, ada, coming):
    other = environment()
    require_mfa(other)
    other.memberships.create(user=ada, roles=["member"], accepted_at=timezone.now())
    assert give_password(client, ada, next=SECURITY).url == "/enrol/"
    assert client.get(PAGE).url == "/login/?next=" + PAGE
    assert b"Not now" not in client.get("/enrol/").content


@pytest.mark.way("Policy: a scheduled requirement put off past its date")
def test_a_session_held_by_the_gate_cannot_choose_not_now(client, ada, coming):
    client.force_login(ada)
    assert client.get(PAGE).status_code == 200
    other = environment()
    require_mfa(other)
    other.memberships.create(user=ada, roles=["member"], accepted_at=timezone.now())
    assert client.get(PAGE).url == f"/enrol/?next={PAGE}"


def test_super_users_cannot_choose_not_now(client, acme, coming):
    root = member(acme, is_superuser=True)
    assert give_password(client, root).url == "/enrol/"


def test_whoever_has_a_factor_is_asked_for_it_and_sees_no_announcement(client, ada, coming):
    give_app(ada)
    assert give_password(client, ada, next=SECURITY).url == "/verify/"
    assert client.post("/verify/", {"code": code()}).url == SECURITY
    assert "you need a second factor" not in client.get(SECURITY).content.decode()
    assert client.get(f"{PAGE}?next={SECURITY}").url == SECURITY


def test_strangers_and_people_of_other_environments_see_no_announcement(client, coming):
    assert client.get(PAGE).url == f"/login/?next={PAGE}"
    elsewhere = member(environment())
    assert give_password(client, elsewhere, next=SECURITY).url == SECURITY
    assert client.get(PAGE).url == "/"


@pytest.mark.parametrize("address", ["https://evil.test/", "//evil.test/", "javascript:alert(1)"])
@pytest.mark.way("Single sign-on: next to another host: at enrolment")
def test_the_button_not_now_leads_to_no_other_host(client, ada, coming, address):
    give_password(client, ada)
    page = client.get(PAGE, {"next": address}).content.decode()
    assert '<a class="button" href="/">Not now</a>' in page
    assert 'href="/enrol/?next="' in page


def test_every_page_of_an_open_session_shows_the_announcement_until_it_is_cancelled(client, ada, acme):
    client.force_login(ada)
    assert "you need a second factor" not in client.get(SECURITY).content.decode()
    now = timezone.now()
    schedule_mfa(acme, to=MfaRule.on(), acts_at=now + timedelta(days=10), by=SYSTEM, now=now)
    for page in (SECURITY, "/acme/"):
        assert "you need a second factor" in client.get(page).content.decode()
    assert client.get(PAGE).content.decode().count("you need a second factor") == 1
    cancel_scheduled_mfa(acme, by=SYSTEM, now=now)
    assert "you need a second factor" not in client.get(SECURITY).content.decode()


def test_the_banner_costs_one_query_and_only_a_session_without_a_factor(client, ada):
    def asked() -> int:
        client.get(SECURITY)
        with CaptureQueriesContext(connection) as captured:
            client.get(SECURITY)
        return len([query for query in captured if "min(c.acts_at)" in query["sql"]])

    client.force_login(ada)
    assert asked() == 1
    log_in(client, ada)
    assert asked() == 0


def test_the_gate_asks_one_query_however_much_is_scheduled(client, ada, coming, django_assert_num_queries):
    client.force_login(ada)
    with django_assert_num_queries(4):  # session, user, the session's record, the gate's question
        assert client.get("/profile/security/sessions/end/").status_code == 405
