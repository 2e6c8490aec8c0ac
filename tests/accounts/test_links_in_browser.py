"""Mailed links in a real browser, which sends Origin and Referer as the page's policy says."""

import re

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.passwords import services as passwords
from accounts.profile import email_change
from environments.caller import Caller
from environments.choices import Role
from environments.invitations.services import invite
from tests.browser import log_in_page
from tests.mailbox import sent_mails

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW_PASSWORD = "Another-Horse-9"


def mailed_path() -> str:
    return re.findall(r"http://[^/]+(/\S+)", sent_mails()[-1].body)[0]


@pytest.fixture
def referers(page) -> list[str]:
    """Every Referer that the page sends from now on."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.all_headers().get("referer", "")))
    return sent


def test_a_forgotten_password_is_set_by_the_mailed_link(page, ada, referers):
    passwords.send_reset(ada.email, language="en")
    link = mailed_path()
    page.goto(link)
    page.fill("[name=password]", NEW_PASSWORD)
    page.fill("[name=again]", NEW_PASSWORD)
    page.press("[name=again]", "Enter")

    page.wait_for_url("**/login/")
    ada.refresh_from_db()
    assert ada.check_password(NEW_PASSWORD)
    assert len(referers) > 2
    assert not [one for one in referers if link in one]


def test_another_address_is_confirmed_by_the_mailed_link(page, ada, referers):
    log_in_page(page, ada)
    email_change.send_link(ada, "lovelace@acme.test", auth_hash=ada.get_session_auth_hash(), now=timezone.now())
    link = mailed_path()
    page.goto(link)
    page.click("main form .button--primary")

    page.wait_for_url("**/profile/")
    ada.refresh_from_db()
    assert ada.email == "lovelace@acme.test"
    assert not [one for one in referers if link in one]


def test_an_invitation_is_accepted_by_the_mailed_link(page, acme, ada, referers):
    invite(acme, email="new@acme.test", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    link = mailed_path()
    page.goto(link)
    page.fill("[name=name]", "Nina")
    page.fill("[name=password]", NEW_PASSWORD)
    page.press("[name=password]", "Enter")

    page.wait_for_url("**/login/**")
    assert User.objects.get(email="new@acme.test").memberships.get().organisation == acme
    assert not [one for one in referers if link in one]
