"""A new password by a mailed link: logs nobody in and tells nobody who has an account."""

import re

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.models import SessionRecord, User
from accounts.passwords import tasks as password_tasks
from accounts.passwords.services import path_to_set
from tests.factories import PASSWORD, member
from tests.logging_in import give_app, give_password, log_in
from tests.mailbox import sent_mails
from web.models import Delivery


def test_every_address_gets_the_same_answer(client, ada):
    known = client.post("/password/reset/", {"email": ada.email})
    unknown = client.post("/password/reset/", {"email": "nobody@acme.test"})
    assert known.url == unknown.url == "/password/reset/sent/"
    assert (mail.outbox, Delivery.objects.count()) == ([], 2)  # the worker does the rest: it takes the same time


def test_an_unknown_address_and_one_without_a_password_get_no_mail(db, acme):
    member(acme, email="sam@acme.test", password=None)
    for email in ("nobody@acme.test", "sam@acme.test"):
        password_tasks.send_password_reset(email, "en")
    assert sent_mails() == []


@pytest.mark.way(
    "Doors: a password reset that logs in",
    "Traps of the libraries: a reset that logs in, and other doors for a password alone",
)
def test_a_reset_logs_nobody_in_and_ends_every_session(client, ada, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        log_in(client, ada)
        password_tasks.send_password_reset(ada.email, "en")
    link = re.findall(r"(/password/set/\S+)", sent_mails()[-1].body)[0]
    answer = client.post(link, {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert answer.url == "/login/"
    assert client.get("/profile/security/").status_code == 302
    assert SessionRecord.objects.open().count() == 0
    assert give_password(client, ada).status_code == 200
    assert client.post("/login/", {"email": ada.email, "password": "New-Horse-9"}).url == "/verify/"


@pytest.mark.way("Doors: a password reset that logs in")
def test_a_reset_does_not_get_around_the_factor(client, ada, strict, django_capture_on_commit_callbacks):
    give_app(ada)
    with django_capture_on_commit_callbacks(execute=True):
        password_tasks.send_password_reset(ada.email, "en")
    link = re.findall(r"(/password/set/\S+)", sent_mails()[-1].body)[0]
    client.post(link, {"password": "New-Horse-9", "again": "New-Horse-9"})
    client.post("/login/", {"email": ada.email, "password": "New-Horse-9"})
    assert client.get("/profile/security/").url.startswith("/login/")


def test_a_link_that_an_older_release_mailed_works_on(client, ada):
    """Django made those tokens."""
    link = f"/password/set/{urlsafe_base64_encode(force_bytes(ada.pk))}/{default_token_generator.make_token(ada)}/"
    client.post(link, {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert give_password(client, ada, password="New-Horse-9").url == "/"
    assert client.get(link).status_code == 410


@pytest.mark.usefixtures("real_cost_of_hashes")
def test_a_hash_takes_a_hundred_megabytes_and_two_passes(ada):
    assert ada.password.startswith("argon2$argon2id$v=19$m=102400,t=2,p=8$")


def test_a_log_in_renews_an_old_hash_but_never_over_a_password_that_was_changed_meanwhile(client, ada):
    User.objects.filter(pk=ada.pk).update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    thief = User.objects.get(pk=ada.pk)  # as the thief's log-in read it
    link = path_to_set(ada_now := User.objects.get(pk=ada.pk))
    client.post(link, {"password": "New-Horse-9", "again": "New-Horse-9"})
    thief.check_password(PASSWORD)
    assert give_password(client, ada_now, password=PASSWORD).status_code == 200
    assert give_password(client, ada_now, password="New-Horse-9").status_code == 302

    User.objects.filter(pk=ada.pk).update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    assert give_password(Client(), ada_now).status_code == 302
    assert User.objects.get(pk=ada.pk).password.startswith("argon2")


def test_a_link_works_once(client, ada, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        password_tasks.send_password_reset(ada.email, "en")
    link = re.findall(r"(/password/set/\S+)", sent_mails()[-1].body)[0]
    client.post(link, {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert client.get(link).status_code == 410
    assert client.get("/password/set/x/y/").status_code == 410


def test_password_managers_find_the_page_that_changes_the_password(client, ada):
    where = "/.well-known/change-password"
    asked = client.get(where).url
    assert asked == f"/login/?next={where}"
    assert client.post(asked, {"email": ada.email, "password": PASSWORD, "next": where}).url == where
    assert client.get(where).url == "/profile/security/password/"


@pytest.mark.parametrize("page", ["change", "set", "invitation"])
def test_password_managers_read_whose_new_password_it_is(client, ada, invitation, page):
    if page == "change":
        log_in(client, ada)
    address = {"change": "/profile/security/password/", "set": path_to_set(ada), "invitation": "/invitation/token/"}[
        page
    ]
    form = client.get(address, follow=True).content.decode()
    email = "ivy@acme.test" if page == "invitation" else ada.email
    assert f'<input type="text" name="username" value="{email}" autocomplete="username" readonly hidden>' in form
    passwords = re.findall(r'id="(\w+)"', " ".join(re.findall(r"<input type=\"password\"[^>]*>", form)))
    assert passwords
    assert re.findall(r'data-reveal="(\w+)"', form) == passwords
