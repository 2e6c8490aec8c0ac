"""What was submitted is not lost when a step-up or a log-in comes in between: it goes on, once, or is shown again."""

import html
import re
from datetime import timedelta
from io import BytesIO

import pytest
import time_machine
from django import forms
from django.test import Client
from django.utils import timezone

from accounts import interrupted
from accounts.fields import CodeField, PasswordField
from accounts.models import SessionRecord
from environments.choices import Role
from environments.models import ApiKey, Membership, Organisation
from tests.at_once import at_once
from tests.factories import PASSWORD, member
from tests.logging_in import expire_step_up, give_password, log_in, next_code
from web.kept import KEPT_SECONDS

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

    with time_machine.travel(timezone.now() + timedelta(seconds=KEPT_SECONDS + 1)):
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
    submit(client, "/profile/email/", {"email": "ada.lovelace@elsewhere.test"})
    assert "elsewhere" not in str(dict(client.session))
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
    assert "is not kept" in client.get(asked.url).text


# -- What somebody could try -------------------------------------------------------------------------


def key_in(address):
    return address.rstrip("/").rpartition("/")[2]


def test_no_password_and_no_code_is_kept_and_the_page_says_so(client, ada, page):
    asked = submit(client, "/profile/security/password/", {"password": "New-Horse-99", "again": "New-Horse-99"})
    assert interrupted.KEPT not in client.session
    assert "What you sent was not saved" in client.get(asked.url).text


def test_a_step_up_that_is_sent_after_the_end_of_the_session_is_not_kept(client, ada, page):
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, "/profile/security/confirm/", {"password": PASSWORD, "mailcode": "123456"})
    assert interrupted.KEPT not in client.session


def test_every_field_for_a_secret_is_named_among_those_that_are_never_kept(client, ada, page):
    client.get("/login/")  # imports every form
    rooms = ("studio", "agencies", "archival", "conversations", "environments", "accounts")
    todo, kinds = [forms.Form], []
    while todo:
        kinds += (found := todo.pop().__subclasses__())
        todo += found
    names = {
        name
        for kind in kinds
        if kind.__module__.startswith(rooms)
        for name, field in kind.base_fields.items()
        if isinstance(field, CodeField | PasswordField) or isinstance(field.widget, forms.PasswordInput)
    }
    assert names == interrupted.SECRETS


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_the_same_moment_one_goes_on(client, ada, page):
    asked = submit(client, "/profile/api-keys/", {"name": "Importer", "lasts": "30"})
    key = key_in(pass_step_up(client, ada, asked))
    twins = [Client(), Client(), Client()]
    for twin in twins:
        twin.cookies = client.cookies

    at_once(*[lambda twin=twin: twin.post("/profile/api-keys/", {"go_on": key}) for twin in twins])

    assert ApiKey.objects.count() == 1


def test_back_and_reload_do_not_claim_that_nothing_was_saved(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    go_on(client, address)
    client.get(page)

    for again in (lambda: client.get(address), lambda: client.post(page, {"go_on": key_in(address)})):
        assert again().url == "/"
        shown = client.get(page).text
        assert "This was sent already" in shown
        assert "Nothing was saved" not in shown


def test_an_old_tab_does_not_end_what_a_newer_one_keeps(client, ada, acme, page):
    older = pass_step_up(client, ada, submit(client, page, LIMIT))
    expire_step_up()
    newer = pass_step_up(client, ada, submit(client, page, LIMIT | {"archive_after_days": "150"}))

    assert client.post(page, {"go_on": key_in(older)}).url == "/"
    assert days_of(acme) is None
    go_on(client, newer)
    assert days_of(acme) == 150


def test_what_was_typed_stays_until_its_page_shows_it(client, ada, acme, page):
    """As when the page of the form asks for step-up too, which a log-in by password alone does not give."""
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, "/profile/email/", {"email": "ada@elsewhere.test"})
    give_password(client, ada)
    client.post("/verify/", {"code": next_code(ada)})
    expire_step_up()

    asked = client.get("/profile/email/")
    assert "What you typed" not in client.get(asked.url).text
    pass_step_up(client, ada, asked)

    shown = client.get("/profile/email/").text
    assert 'value="ada@elsewhere.test"' in shown
    assert "What you typed is still here" in shown


def test_what_was_typed_does_not_replace_what_somebody_else_saved_meanwhile(client, ada, acme, page):
    seen = re.findall(r'name="seen" value="(\w+)"', client.get("/acme/settings/").text)[0]
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, "/acme/settings/", {"do": "name", "name": "Mine", "seen": seen})
    Organisation.objects.filter(pk=acme.pk).update(name="Theirs")
    give_password(client, ada)
    client.post("/verify/", {"code": next_code(ada)})

    shown = client.get("/acme/settings/").text
    assert 'value="Mine"' in shown
    still = re.findall(r'name="seen" value="(\w+)"', shown)[0]
    answer = client.post("/acme/settings/", {"do": "name", "name": "Mine", "seen": still})
    assert "while you had the page open" in answer.text
    assert Organisation.objects.get(pk=acme.pk).name == "Theirs"


@pytest.mark.parametrize("page_of_form", ["//evil.test/", "/\\evil.test/"])
def test_no_link_leads_to_another_host(client, ada, page, page_of_form):
    asked = submit(client, page, LIMIT, page=page_of_form)
    after = pass_step_up(client, ada, asked)
    for address in (asked.url, after):
        links = re.findall(r'(?:href|action)="([^"]+)"', client.get(address).text)
        assert [link for link in links if "evil" in link] == []


def test_a_form_of_htmx_goes_on_and_its_page_is_shown_after_cancelling(client, ada, acme, page):
    def by_htmx():
        headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
        return client.post(page, LIMIT, headers=headers).headers["HX-Redirect"]

    shown = client.get(by_htmx()).text
    (back,) = re.findall(r'<p><a href="([^"]+)">Cancel', shown)
    assert html.unescape(back) == page
    assert 'value="200"' in client.get(page).text

    asked = by_htmx()
    (after,) = re.findall(r'name="next" value="([^"]+)"', client.get(asked).text)[:1]
    answer = client.post("/profile/security/confirm/", {"code": next_code(ada), "next": html.unescape(after)})
    go_on(client, answer.url)
    assert days_of(acme) == 200


@pytest.mark.parametrize("method", ["head", "put", "patch", "delete"])
def test_other_methods_keep_and_take_nothing(client, ada, acme, page, method):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    getattr(client, method)(page)
    assert interrupted.KEPT in client.session
    go_on(client, address)
    assert days_of(acme) == 200


def test_a_form_with_files_is_refused_and_not_kept(client, ada, page):
    file = BytesIO(b"data")
    file.name = "a.txt"
    assert submit(client, page, LIMIT | {"file": file}).status_code == 400
    assert interrupted.KEPT not in client.session


def test_an_organisation_that_was_deleted_meanwhile_is_not_found(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, "/profile/email/", {"email": "a@elsewhere.test"}))
    go_on(client, address)
    expire_step_up()
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    Membership.objects.filter(user=ada).delete()  # as its deletion does
    Organisation.objects.filter(pk=acme.pk).update(slug="gone")
    assert go_on(client, address).status_code == 404


def test_while_impersonating_nothing_goes_on(client, ada, acme, page):
    vic = member(acme, Role.MEMBER, email="vic@acme.test")
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    number = Membership.objects.get(user=vic).pk
    assert client.post(f"/acme/members/{number}/impersonate/").status_code == 302

    assert client.get(address).status_code == 403
    assert client.post(page, {"go_on": key_in(address)}).status_code == 403
    assert days_of(acme) is None


def test_impersonating_goes_on_after_the_step_up_and_ends_as_ever(client, ada, acme, page):
    vic = member(acme, Role.MEMBER, email="vic@acme.test")
    number = Membership.objects.get(user=vic).pk
    asked = submit(client, f"/acme/members/{number}/impersonate/", {}, page=f"/acme/members/{number}/")
    address = pass_step_up(client, ada, asked)

    assert go_on(client, address).url == "/acme/"
    assert "vic@acme.test" in client.get("/acme/").text
    assert client.post(f"/acme/members/{number}/impersonate/", {"go_on": key_in(address)}).url == "/"
    assert client.post(f"/acme/members/{number}/impersonate/").status_code == 403


def test_whoever_steals_the_session_gets_no_further_than_with_the_session(client, ada, acme, page):
    """The thief keeps a submission for the owner, who steps up for something else: nothing of the thief's goes on."""
    thief = Client()
    thief.cookies = client.cookies
    submit(thief, page, LIMIT)

    after = pass_step_up(client, ada, client.get("/profile/security/recovery-codes/"))

    assert after == "/profile/security/recovery-codes/"
    client.get(after)
    assert days_of(acme) is None


def test_a_log_in_that_somebody_else_made_in_this_browser_shows_nothing_and_sends_nothing(client, ada, acme, page):
    address = pass_step_up(client, ada, submit(client, page, LIMIT))
    mallory = member(acme, Role.ADMINISTRATOR, email="mallory@acme.test")
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, page, LIMIT)
    give_password(client, mallory)

    assert client.get(address).url == "/"
    assert client.post(page, {"go_on": key_in(address)}).url == "/"
    assert 'value="200"' not in client.get(page).text
    assert days_of(acme) is None


def test_what_is_too_old_is_deleted_whoever_is_logged_in(client, ada, acme, page):
    mallory = member(acme, Role.ADMINISTRATOR, email="mallory@acme.test")
    SessionRecord.objects.update(ended_at=timezone.now())
    submit(client, page, LIMIT)
    give_password(client, mallory)
    assert interrupted.KEPT in client.session

    with time_machine.travel(timezone.now() + timedelta(seconds=KEPT_SECONDS + 1)):
        client.get(page)
    assert interrupted.KEPT not in client.session
