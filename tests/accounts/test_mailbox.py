"""The page of a development server that shows the mails it sent."""

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend


@pytest.fixture
def mailbox(tmp_path, settings):
    settings.DEV_MAILBOX = tmp_path
    return EmailBackend(file_path=str(tmp_path))


@pytest.mark.django_db
def test_a_mail_that_was_sent_can_be_read_in_the_list_and_alone(client, mailbox):
    mail = EmailMultiAlternatives("A code for Studio", "Your code is 123456.", to=["ada@acme.test"])
    mail.attach_alternative("<p>Your code is <b>123456</b>.</p>", "text/html")
    mailbox.send_messages([mail])

    listed = client.get("/dev/mail/")
    address = next(part.split('"')[0] for part in listed.text.split('href="') if part.startswith("/dev/mail/2"))
    alone = client.get(address)

    assert listed.status_code == alone.status_code == 200
    assert "A code for Studio" in listed.text
    assert "123456" in alone.text
