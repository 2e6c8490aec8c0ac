"""Every journey that sends mail, while the mail server refuses or hangs, and while the broker is away.

No page fails, nothing is spent or half done, and the mail arrives once all are back.
"""

import re
import socket

import pytest
from django.test import Client, TestCase
from django.utils import timezone

from accounts.factors import services as factors
from accounts.models import FailureBudget, User
from archival.models import Deletion, PolicyChange
from environments.models import Invitation, MfaChange, OrganisationDomain
from studio.celery import app
from tests.factories import PASSWORD, conversation
from tests.logging_in import give_app, give_password, is_let_in, log_in
from tests.mailbox import send_what_waited, sent_mails

ELSEWHERE = "198.51.100.7"


def answered(answer, status):
    assert answer.status_code == status, answer.content
    return answer


def log_in_from_elsewhere(client, ada, acme):
    give_password(Client(REMOTE_ADDR="192.0.2.1"), ada)
    other = Client(REMOTE_ADDR=ELSEWHERE)
    give_password(other, ada)
    assert is_let_in(other)


def be_made_to_enrol(client, ada, acme):
    User.objects.filter(pk=ada.pk).update(is_superuser=True)  # who need a factor everywhere
    assert give_password(client, ada).url == "/enrol/"
    assert ada.mailbox_codes.count() == 1


def use_a_recovery_code(client, ada, acme):
    give_app(ada)
    codes = factors.make_recovery_codes(ada, now=timezone.now())
    give_password(client, ada)
    answered(client.post("/verify/", {"with": "recovery", "code": codes[0]}), 302)
    assert is_let_in(client)
    assert ada.recovery_codes.filter(used_at=None).count() == 9
    assert not FailureBudget.objects.filter(failures__gt=0).exists()


def make_recovery_codes(client, ada, acme):
    factors.make_recovery_codes(ada, now=timezone.now())
    log_in(client, ada)
    page = answered(client.post("/profile/security/recovery-codes/", follow=True), 200)
    assert len(page.context["codes"]) == 10


def create_a_key(client, ada, acme):
    log_in(client, ada)
    page = answered(client.post("/profile/api-keys/", {"name": "Import", "lasts": "365"}), 200)
    assert re.search(r"studio_[a-z0-9]{10}_[\w-]{43}", page.content.decode())


def ask_for_a_code(client, ada, acme):
    client.force_login(ada)
    answered(client.post("/profile/security/confirm/", {"do": "send"}), 200)
    assert ada.mailbox_codes.count() == 1


def ask_for_a_new_password(client, ada, acme):
    answered(client.post("/password/reset/", {"email": ada.email}), 302)


def change_the_password(client, ada, acme):
    log_in(client, ada)
    typed = {"current": PASSWORD, "password": "New-Horse-9", "again": "New-Horse-9"}
    answered(client.post("/profile/security/password/", typed), 302)
    ada.refresh_from_db()
    assert ada.check_password("New-Horse-9")


def invite_somebody(client, ada, acme):
    log_in(client, ada)
    answered(client.post("/acme/members/", {"email": "ivy@acme.test", "roles": ["member"]}), 302)
    assert Invitation.objects.get().email == "ivy@acme.test"
    return "ivy@acme.test"


def add_a_domain(client, ada, acme):
    log_in(client, ada)
    answered(client.post("/acme/settings/domains/", {"do": "add", "domain": "acme.test"}), 302)
    assert OrganisationDomain.objects.count() == 1


def require_mfa_from_a_date(client, ada, acme):
    log_in(client, ada)
    body = {"require_mfa_from": "2035-01-01T09:00Z"}
    answered(client.patch("/api/v1/organisations/acme/settings/", body, content_type="application/json"), 200)
    assert MfaChange.objects.count() == 1


def shorten_retention(client, ada, acme):
    conversation(of=acme, days_ago=40, now=timezone.now())
    log_in(client, ada)
    body = {"archival": "limit", "archive_after_days": 30}
    answer = client.patch("/api/v1/organisations/acme/settings/", body, content_type="application/json")
    assert answer.status_code < 300
    assert PolicyChange.objects.get().is_pending


def delete_an_organisation(client, ada, acme):
    log_in(client, ada)
    answered(client.post("/acme/delete/", {"typed_name": "Acme"}), 302)
    assert Deletion.objects.get().state == "running"


JOURNEYS = [
    log_in_from_elsewhere, be_made_to_enrol, use_a_recovery_code, make_recovery_codes, create_a_key, ask_for_a_code,
    ask_for_a_new_password, change_the_password, invite_somebody, add_a_domain, require_mfa_from_a_date,
    shorten_retention, delete_an_organisation,
]  # fmt: skip


@pytest.fixture
def hanging():
    """A mail server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["refuses", "hangs", "broker"])
def mend(request, settings, hanging, monkeypatch):
    """Something is away; return what brings it back."""
    back = settings.EMAIL_BACKEND
    if request.param == "broker":
        monkeypatch.setattr(app.amqp, "_producer_pool", None)
        monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    else:
        settings.EMAIL_BACKEND, settings.EMAIL_TIMEOUT = "django.core.mail.backends.smtp.EmailBackend", 0.3
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", hanging if request.param == "hangs" else 1

    def bring_back():
        settings.EMAIL_BACKEND = back
        monkeypatch.undo()

    return bring_back


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
def test_each_flow_ends_well_and_its_mail_arrives_later(client, ada, acme, journey, mend):
    with TestCase.captureOnCommitCallbacks(execute=True):
        to = journey(client, ada, acme) or ada.email
    sent_mails()  # tries, and fails, but where the broker alone is away
    mend()
    send_what_waited()
    assert to in [address for mail in sent_mails() for address in mail.to]
