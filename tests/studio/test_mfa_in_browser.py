"""Requiring MFA from a date, as an administrator and a member walk it, with and without JavaScript."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.models import MfaChange
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.tasks import apply_mfa_changes
from tests.browser import assert_accessible, log_in_page
from tests.factories import PASSWORD, environment, member, organisation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
PAGE = "/acme/settings/advanced/"
SOON = "/profile/security/soon/"


@pytest.fixture
def acme(transactional_db):
    return environment(parent=organisation(name="Noorderlicht", slug="noorderlicht"), name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada Lovelace")


@pytest.fixture
def lotte(acme):
    return member(acme, Role.MEMBER, email="lotte@acme.test", name="Lotte de Vries")


def save_on(page, *, date: str, time: str) -> None:
    page.goto(PAGE)
    page.locator("#id_require_mfa_on").check()
    page.locator("#id_require_mfa_date").fill(date)
    page.locator("#id_require_mfa_time").fill(time)
    page.get_by_role("button", name="Save the MFA setting").click()


def give_password(page, user) -> None:
    page.goto("/login/?next=/profile/security/")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_an_administrator_schedules_it_and_a_member_says_not_now(open_page, ada, lotte, script):
    page = open_page(java_script_enabled=script)
    log_in_page(page, ada)
    save_on(page, date="2035-07-01", time="09:00")
    expect(page.get_by_text("On from 1 Jul 2035, 09:00")).to_be_visible()
    page.get_by_role("link", name="Show the 1 person without a second factor").click()
    expect(page.get_by_role("rowheader", name="Lotte de Vries")).to_be_visible()

    theirs = open_page(java_script_enabled=script)
    give_password(theirs, lotte)
    expect(theirs.get_by_role("heading", name="From 1 Jul 2035, 09:00 you need a second factor")).to_be_visible()
    expect(theirs.get_by_text("Acme")).to_be_visible()
    theirs.get_by_role("link", name="Not now").click()
    theirs.wait_for_url("**/profile/security/")
    theirs.get_by_role("link", name="See which, and set it up").click()
    theirs.get_by_role("link", name="Set up a second factor").click()
    expect(theirs.get_by_role("heading", name="Confirm that this mailbox is yours")).to_be_visible()

    page.get_by_role("button", name="Cancel the schedule").click()
    expect(page.get_by_text("The scheduled requirement was cancelled.")).to_be_visible()
    theirs.goto("/profile/security/")
    expect(theirs.get_by_text("you need a second factor")).to_be_hidden()


def test_a_member_who_said_not_now_must_enrol_at_the_date(open_page, acme, lotte):
    now = timezone.now()
    schedule_mfa(acme, to=MfaRule.on(), acts_at=now + timedelta(days=3), by=SYSTEM, now=now)
    page = open_page()
    give_password(page, lotte)
    page.get_by_role("link", name="Not now").click()
    page.wait_for_url("**/profile/security/")
    MfaChange.objects.update(acts_at=timezone.now())
    apply_mfa_changes()
    page.reload()
    page.wait_for_url("**/enrol/**")
    expect(page.get_by_text("Acme requires multi-factor authentication.")).to_be_visible()
    expect(page.get_by_text("Not now")).to_be_hidden()


def test_the_setting_with_a_schedule_of_somebody_without_a_factor_is_accessible(page, acme, ada, lotte):
    now = timezone.now()
    for number in range(25):
        member(acme, Role.MEMBER, email=f"person-{number}@acme.test", name=f"Person {number}")
    schedule_mfa(acme, to=MfaRule.on(), acts_at=now + timedelta(days=20), by=Caller.of(ada), now=now)
    log_in_page(page, ada)
    ada.totpdevice_set.all().delete()
    ada.sessions.update(factor="", factor_at=None)
    assert_accessible(page, PAGE)
