"""A log-in from somewhere new is mailed; a usual one is not."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.tasks import clear_sessions
from tests.logging_in import give_password, log_in
from tests.mailbox import clear_mails, sent_mails

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15"


def subjects_of_log_in(user, commit, *, address: str, browser: str = FIREFOX) -> list[str]:
    clear_mails()
    with commit(execute=True):
        give_password(Client(REMOTE_ADDR=address, HTTP_USER_AGENT=browser), user)
    return [sent.subject for sent in sent_mails()]


@pytest.mark.parametrize(
    ("address", "browser", "is_told"),
    [
        ("192.0.2.1", FIREFOX, False),
        ("192.0.77.9", FIREFOX.replace("140", "141"), False),  # moved through the town, and updated
        ("198.51.100.1", FIREFOX, True),
        ("2001:db8::1", FIREFOX, True),
        ("192.0.2.1", SAFARI, True),
    ],
)
def test_a_log_in_from_somewhere_new_is_mailed_and_a_usual_one_is_not(
    ada, django_capture_on_commit_callbacks, address, browser, is_told
):
    commit = django_capture_on_commit_callbacks
    assert subjects_of_log_in(ada, commit, address="192.0.2.1") == []  # the first ever: nothing to compare with
    told = subjects_of_log_in(ada, commit, address=address, browser=browser)
    assert told == (["A new log-in to Studio"] if is_told else [])
    assert subjects_of_log_in(ada, commit, address=address, browser=browser) == []  # told once


def test_the_mail_says_with_what_and_from_where(ada, django_capture_on_commit_callbacks):
    subjects_of_log_in(ada, django_capture_on_commit_callbacks, address="192.0.2.1")
    subjects_of_log_in(ada, django_capture_on_commit_callbacks, address="198.51.100.1", browser=SAFARI)
    body = sent_mails()[-1].body
    for told in ("Safari on iPad", "198.51.100.1", "password", ada.email):
        assert told in body


def test_a_log_in_after_all_old_sessions_were_deleted_is_mailed_too(ada, django_capture_on_commit_callbacks):
    commit = django_capture_on_commit_callbacks
    subjects_of_log_in(ada, commit, address="192.0.2.1")
    ada.sessions.end_sessions(now=timezone.now(), why="logged out")
    for days, is_there in ((179, True), (181, False)):
        ada.sessions.update(opened_at=timezone.now() - timedelta(days=days))
        clear_sessions()
        assert ada.sessions.exists() == is_there
    assert subjects_of_log_in(ada, commit, address="198.51.100.1") == ["A new log-in to Studio"]


def test_an_open_session_is_never_forgotten(client, ada):
    log_in(client, ada)
    ada.sessions.update(opened_at=timezone.now() - timedelta(days=1000))
    clear_sessions()
    assert ada.sessions.open().count() == 1
