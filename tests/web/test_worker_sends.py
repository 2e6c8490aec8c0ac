"""A real worker takes the task from the real broker, and the mail is in the mailbox of development."""

import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from tests.archival.celery_processes import celery
from tests.factories import UserFactory
from tests.running.processes import wait_until
from web.models import Delivery


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
@pytest.mark.xdist_group("beat")
def test_a_code_is_in_the_mailbox_soon_after_the_commit(client, tmp_path):
    shutil.rmtree(settings.DEV_MAILBOX, ignore_errors=True)
    ada = UserFactory(email="ada@acme.test")
    log = tmp_path / "worker.log"
    with celery("worker", "-c", "1", "-l", "INFO", folder=tmp_path):
        for purpose in MailPurpose:  # the second after the worker was idle
            wait_until(lambda: "ready" in log.read_text(), 60, log.read_text)
            factors.send_mailbox_code(ada, purpose=purpose, now=timezone.now())
            wait_until(lambda: not Delivery.objects.waiting().exists(), 30, log.read_text)
    assert client.get("/dev/mail/").content.decode().count("Your code for Studio") == len(MailPurpose)
    assert [path for path in Path(settings.DEV_MAILBOX).iterdir() if "ada@acme.test" in path.read_text()]
    assert "Traceback" not in log.read_text()
