"""The page of a development server that shows the mails it sent."""

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend


@pytest.fixture
def mailbox(tmp_path, settings):
    settings.DEV_MAILBOX = tmp_path
    return EmailBackend(file_path=str(tmp_path))


def send(mailbox, text):
    mail = EmailMultiAlternatives("A code for Studio", text, to=["ada@acme.test"])
    mail.attach_alternative(f"<p>{text}</p>", "text/html")
    mailbox.send_messages([mail])


def first_of(listed):
    return next(part.split('"')[0] for part in listed.split('href="') if part.startswith("/dev/mail/2"))


@pytest.mark.django_db
def test_a_mail_that_was_sent_can_be_read_in_the_list_and_alone(client, mailbox):
    send(mailbox, "Your code is 123456.")

    listed = client.get("/dev/mail/")
    alone = client.get(first_of(listed.text))

    assert listed.status_code == alone.status_code == 200
    assert "A code for Studio" in listed.text
    assert "123456" in alone.text


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_long_mail_is_read_without_scrolling_sideways(page, mailbox):
    send(mailbox, "The link holds for three days and works once. " * 8 + "https://studio.test/" + "x" * 90)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/dev/mail/")
    page.goto(first_of(page.content()))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    height = page.locator(".mail-html").bounding_box()["height"]
    assert height > page.viewport_size["height"] / 3, "the frame is tall enough to read in"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "20261125-094900-1.0/", "20261125-094900-1.0/html/"])
def test_no_server_but_one_for_development_has_a_mailbox(client, settings, path):
    settings.DEV_MAILBOX = None
    assert client.get(f"/dev/mail/{path}").status_code == 404
