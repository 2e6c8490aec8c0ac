"""Every security event is mailed, in the reader's language, as text and as HTML that tell the same."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from django.core import mail
from django.db import transaction
from django.template import engines
from django.test import Client, TestCase
from django.utils import timezone, translation

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from accounts.models import User
from accounts.passwords import services as passwords
from accounts.profile import email_change
from accounts.sso import identities
from environments.caller import SYSTEM, Caller
from environments.keys.services import create_personal_key, revoke_key
from environments.lost_device.services import reset_factors
from tests.factories import UserFactory
from tests.logging_in import code, give_app, give_password
from tests.mailbox import sent_mails

ROOT = Path(__file__).resolve().parent.parent.parent
MAILS = ROOT / "templates" / "mail"
SENDS = re.compile(r'mail\.send(?:_to)?\(\s*[^,"]+,\s*"(\w+)"')
FACT = re.compile(r"[\w.+-]+@[\w.-]+\w|https?://[^\s<\"]+|[\w:.]*\d[\w:.]*")
NOT_FILLED_IN = "⟦%s⟧"
FOOT = {"en": "You get this mail because", "nl": "U krijgt deze e-mail"}


def add_factor(user: User) -> None:
    key = b"another key, 20 byte"
    factors.add_app(user, key, code(key=key), name="Pixel", now=timezone.now())


def remove_factor(user: User) -> None:
    give_app(user, name="Old phone")
    factors.remove(user, give_app(user).persistent_id, by=user, now=timezone.now())


def make_recovery_codes(user: User) -> None:
    give_app(user)
    factors.make_recovery_codes(user, now=timezone.now())
    factors.make_recovery_codes(user, now=timezone.now())


def use_recovery_code(user: User) -> None:
    give_app(user)
    codes = factors.make_recovery_codes(user, now=timezone.now())
    factors.use_recovery_code(user, codes[0], now=timezone.now())


def lose_device(user: User) -> None:
    give_app(user)
    reset_factors(user, by=Caller.of(UserFactory(name="Root", is_superuser=True)), now=timezone.now())


def log_in_from_elsewhere(user: User) -> None:
    for address in ("192.0.2.1", "198.51.100.7"):
        give_password(Client(REMOTE_ADDR=address), user)


def unlink_identity(user: User) -> None:
    linked = user.social_auth.create(provider="oidc-acme", uid="ada")
    identities.unlink(user, str(linked.pk), now=timezone.now())


def want_email(user: User, email: str = "new@acme.test") -> None:
    email_change.send_link(user, email, auth_hash=user.get_session_auth_hash(), now=timezone.now())


def want_a_taken_email(user: User) -> None:
    want_email(UserFactory(), user.email)


def change_email(user: User) -> None:
    link = re.findall(r"/confirm/(\S+)/", sent_by(lambda: want_email(user))[-1].body)[0]
    email_change.confirm(user, link, now=timezone.now())


def create_key(user: User) -> None:
    create_personal_key(user, name="Nightly import", by=Caller.of(user), now=timezone.now())


def lose_key(user: User) -> None:
    now = timezone.now()
    key = create_personal_key(user, name="Nightly import", by=Caller.of(user), now=now)[0]
    revoke_key(key, by=Caller.of(UserFactory()), now=now)


ACTS: dict[str, Callable[[User], None]] = {
    "api_key_created": create_key,
    "api_key_revoked": lose_key,
    "email_change": want_email,
    "email_changed": change_email,
    "email_taken": want_a_taken_email,
    "factor_added": add_factor,
    "factor_removed": remove_factor,
    "factors_reset": lose_device,
    "identity_linked": lambda user: identities.announce_link(user, "oidc-acme", now=timezone.now()),
    "identity_unlinked": unlink_identity,
    "mailbox_code": lambda user: factors.send_mailbox_code(user, purpose=MailPurpose.ENROL, now=timezone.now()),
    "new_browser": log_in_from_elsewhere,
    "password_changed": lambda user: passwords.set_by_link(user, "New-Horse-9", now=timezone.now()),
    "password_reset": lambda user: passwords.send_reset(user.email, language="en"),
    "recovery_code_used": use_recovery_code,
    "recovery_codes_made": make_recovery_codes,
}


def sent_by(act: Callable[[], object]) -> list[mail.EmailMultiAlternatives]:
    before = len(sent_mails())
    with TestCase.captureOnCommitCallbacks(execute=True):
        act()
    return sent_mails()[before:]


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{2,}", text.lower()))


def seen(html: str) -> str:
    """Return what a reader sees of the HTML, and where its links lead."""
    body = html[html.index("<body") :]
    links = " ".join(re.findall(r'href="([^"]+)"', body))
    return unescape(re.sub(r"<[^>]+>", " ", body) + " " + links)


@pytest.fixture
def strict_templates(monkeypatch):
    monkeypatch.setattr(engines["django"].engine, "string_if_invalid", NOT_FILLED_IN)


@pytest.mark.parametrize("language", ["en", "nl"])
@pytest.mark.parametrize("template", ACTS)
def test_an_event_is_mailed_in_the_readers_language_and_text_and_html_say_the_same(
    ada, provider, strict_templates, template, language
):
    ada.language = language
    ada.save()
    message = sent_by(lambda: ACTS[template](ada))[-1]
    html = message.alternatives[0].content
    title = re.search(r"{% block title %}(.*?){% endblock %}", (MAILS / f"{template}.html").read_text())[1]
    with translation.override(language):
        expected = engines["django"].from_string("{% load i18n %}" + title).render({})
    assert message.subject == unescape(expected)
    text = message.body
    assert "⟦" not in message.subject + text + html
    assert FOOT[language] in text
    assert f'<html lang="{language}">' in html
    assert set(FACT.findall(text)) == set(FACT.findall(seen(html)))
    assert words_of(text) - words_of(seen(html)) == set()


def test_the_list_of_tried_mails_has_every_mail_about_an_account():
    sent = {name for path in (ROOT / "accounts").rglob("*.py") for name in SENDS.findall(path.read_text())}
    assert sent | {"api_key_created", "api_key_revoked"} == set(ACTS)


def test_every_mail_is_both_text_and_html():
    kinds = {
        kind: {path.stem for path in MAILS.glob(f"*.{kind}") if f'extends "mail/base.{kind}"' in path.read_text()}
        for kind in ("txt", "html")
    }
    assert kinds["txt"] == kinds["html"]
    assert kinds["txt"] >= set(ACTS)


def test_no_mail_about_an_event_has_a_link_to_log_in():
    with_link = {name for name in ACTS if re.search(r"href=|mail/action", (MAILS / f"{name}.html").read_text())}
    assert with_link == {"email_change", "password_reset"}


def test_a_mail_is_sent_only_if_the_event_is_committed(ada):
    give_app(ada)
    with transaction.atomic():
        make_recovery_codes(ada)
        transaction.set_rollback(True)
    assert sent_mails() == []


def test_every_time_of_day_in_a_mail_names_its_zone():
    without = [path.name for path in MAILS.iterdir() if re.search(r'date:"[^"]*H:i"', path.read_text())]
    assert without == []


def test_a_mail_about_a_new_password_says_what_to_do_if_it_was_not_you(ada):
    """Whoever did not set it cannot log in with the old one any more."""
    assert (
        "Forgot your password?"
        in sent_by(lambda: passwords.set_by_link(ada, "Other-Horse-8", now=timezone.now()))[-1].body
    )


def test_the_facts_in_a_mail_too_are_in_the_readers_language(ada):
    ada.language = "nl"
    ada.save()
    assert "Onbekende browser" in sent_by(lambda: log_in_from_elsewhere(ada))[-1].body
    give_app(ada)
    assert "een supergebruiker" in sent_by(lambda: reset_factors(ada, by=SYSTEM, now=timezone.now()))[-1].body


@pytest.mark.parametrize("template", ACTS)
def test_the_first_sentence_says_when_it_happened_with_the_zone(ada, provider, template):
    ada.time_zone = "Europe/Amsterdam"
    ada.save()
    message = sent_by(lambda: ACTS[template](ada))[-1]
    first_sentence = re.split(r"(?<=[.?])\s", message.body.split("\n\n")[1])[0]
    assert re.search(r"\d{1,2} \w+ \d{4}, \d\d:\d\d (CES?T|UTC)\b", first_sentence), first_sentence


def test_a_mail_says_that_no_person_wrote_it(ada):
    assert sent_by(lambda: create_key(ada))[-1].message()["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("purpose", "words"),
    [(MailPurpose.ENROL, "setting up a first factor"), (MailPurpose.STEP_UP, "confirming who you are")],
)
def test_a_code_says_what_it_is_for(ada, purpose, words):
    message = sent_by(lambda: factors.send_mailbox_code(ada, purpose=purpose, now=timezone.now()))[-1]
    assert f"asked for this code for {words}." in message.body


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 360])
def test_long_words_wrap_on_a_narrow_screen(ada, page, width):
    key = create_personal_key(ada, name="Nightly" * 20, by=Caller.of(ada), now=timezone.now())[0]
    html = sent_by(lambda: revoke_key(key, by=Caller.of(UserFactory()), now=timezone.now()))[-1].alternatives[0].content
    page.set_viewport_size({"width": width, "height": 640})
    page.set_content(html)
    assert page.evaluate("document.documentElement.scrollWidth") == width
