"""What was submitted is not lost when a step-up or a log-in comes in between: it goes on, once, or is shown again."""

import html
import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts import interrupted
from accounts.models import SessionRecord
from environments.choices import Role
from environments.models import ApiKey, Membership, Organisation
from tests.factories import PASSWORD, member
from tests.logging_in import expire_step_up, give_password, log_in, next_code

LIMIT = {
    "do": "archival",
    "archival": "limit",
    "archive_after_days": "200",
    "archival_date": "",
    "archival_time": "",
}  # as browsers send it


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada")


@pytest.fixture
def page(client, ada):
    """The address of the page that has the form of the settings; Ada is logged in, but not stepped up any more."""
    log_in(client, ada)
    expire_step_up()
    return "/acme/settings/advanced/"


def submit(client, path, fields, *, page=None):
    return client.post(path, fields, headers={"Referer": f"http://testserver{page or path}"})


def pass_step_up(client, user, asked):
    """Send a code to the step-up page that ``asked`` redirects to, and return the address it goes on at."""
    address = asked.url
    (after,) = re.findall(r'name="next" value="([^"]+)"', client.get(address).text)[:1]
    return client.post("/profile/security/confirm/", {"code": next_code(user), "next": html.unescape(after)}).url


def go_on(client, address):
    """Send the form of the page that goes on, as its script or its button does."""
    shown = client.get(address).text
    (action,) = re.findall(r'<form class="stack" method="post" action="([^"]+)"', shown)
    (key,) = re.findall(r'name="go_on" value="([^"]+)"', shown)
    return client.post(html.unescape(action), {"go_on": key})


def days_of(acme):
    return Organisation.objects.get(pk=acme.pk).effective_archive_after_days


def test_what_was_submitted_goes_on_after_the_step_up(client, ada, acme, page):
    asked = submit(client, page, LIMIT)
    assert days_of(acme) is None

    answer = go_on(client, pass_step_up(client, ada, asked))

    assert answer.status_code == 302
    assert days_of(acme) == 200
    assert "was changed" in client.get(page).text


def test_it_goes_on_once(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    key = address.rstrip("/").rpartition("/")[2]
    go_on(client, address)
    Organisation.objects.filter(pk=acme.pk).update(archival="inherit", archive_after_days=None)

    again = client.post(page, {"go_on": key})

    assert again.url == "/"
    assert Organisation.objects.get(pk=acme.pk).archival == "inherit"
    assert client.get(address).url == "/"


def test_it_goes_on_for_ten_minutes(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))

    with time_machine.travel(timezone.now() + timedelta(seconds=interrupted.LASTS_SECONDS + 1)):
        assert client.get(address, follow=True).redirect_chain[0][0] == "/"
    assert interrupted.KEPT not in client.session
    assert days_of(acme) is None


def test_permissions_are_checked_again(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    Membership.objects.filter(user=ada).update(roles=[Role.MEMBER])

    assert go_on(client, address).status_code == 403
    assert days_of(acme) is None


def test_the_step_up_is_checked_again(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    expire_step_up()

    asked = go_on(client, address)

    assert asked.url.startswith("/profile/security/confirm/")
    assert days_of(acme) is None
    go_on(client, pass_step_up(client, ada, asked))
    assert days_of(acme) == 200


def test_another_form_does_not_get_what_was_typed(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    key = address.rstrip("/").rpartition("/")[2]

    assert client.post("/profile/security/password/", {"go_on": key}).status_code == 302
    assert days_of(acme) is None


def test_whoever_guesses_its_key_goes_on_with_nothing(client, ada, acme, page):
    pass_step_up(client, ada, submit(client, page, LIMIT))
    assert client.post(page, {"go_on": "guessed"}).url == "/"
    assert days_of(acme) is None


def test_the_session_reveals_nothing_of_it(client, ada, page):
    submit(client, "/profile/security/password/", {"password": "New-Horse-99", "again": "New-Horse-99"})
    assert "New-Horse-99" not in str(dict(client.session))
    assert interrupted.KEPT in client.session


def test_a_cancelled_step_up_leads_back_to_what_was_typed(client, ada, acme, page):
    asked = submit(client, page, LIMIT)
    (back,) = re.findall(r'<p><a href="([^"]+)">Cancel', client.get(asked.url).text)

    shown = client.get(html.unescape(back)).text

    assert 'value="200"' in shown
    assert re.search(r'value="limit"[^>]* checked', shown)
    assert "What you typed is still here" in shown
    assert 'value="200"' not in client.get(page).text, "only once"
    assert days_of(acme) is None


def test_after_a_log_in_the_form_has_what_was_typed_when_the_session_had_ended(client, ada, acme, page):
    SessionRecord.objects.update(ended_at=timezone.now())

    asked = submit(client, page, LIMIT)
    assert asked.url == f"/login/?next={page}"
    give_password(client, ada, next=page)
    answer = client.post("/verify/", {"code": next_code(ada)})

    assert answer.url == page
    assert 'value="200"' in client.get(page).text
    assert days_of(acme) is None


def test_whoever_logs_in_instead_sees_nothing_of_it(client, ada, acme, page):
    vic = member(acme, Role.ADMINISTRATOR, email="vic@acme.test")
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, page, LIMIT)

    client.post("/login/", {"email": vic.email, "password": PASSWORD, "next": page})

    assert 'value="200"' not in client.get(page).text


def test_of_somebody_who_never_logged_in_nothing_is_kept(acme):
    visitor = Client()
    assert submit(visitor, "/acme/settings/", {"name": "Mine"}).status_code == 302
    assert interrupted.KEPT not in visitor.session


def test_a_key_is_made_after_the_step_up_with_its_name_and_days(client, ada, acme, page):
    asked = submit(client, "/acme/api-keys/", {"name": "Importer", "roles": ["member"], "lasts": "30"})
    answer = go_on(client, pass_step_up(client, ada, asked))
    assert answer.status_code in {200, 302}
    assert ApiKey.objects.filter(name="Importer").exists()


def test_what_is_too_long_to_keep_leads_back_to_the_form(client, ada, page):
    asked = submit(client, page, LIMIT | {"more": "x" * interrupted.MOST_CHARACTERS})
    assert asked.url == f"/profile/security/confirm/?next={page}"
