"""Whoever mails strangers is slowed: by recipient, by inviter and by organisation, whichever way the mail begins."""

import pytest

from accounts.models import FailureBudget
from accounts.throttle.budgets import FREE
from environments.models import Invitation
from tests.factories import environment, member
from tests.logging_in import log_in
from tests.mailbox import sent_mails
from web.models import Delivery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme(transactional_db):
    return environment(name="Acme", slug="acme")


def invite(client, email: str, slug: str = "acme") -> int:
    status = client.post(f"/{slug}/members/", {"email": email, "roles": ["member"]}).status_code
    sent_mails()
    return status


def test_one_stranger_is_invited_a_few_times_and_no_more(client, ada):
    log_in(client, ada)
    statuses = [invite(client, email) for email in ["Ivy@straße.test", "ivy@xn--strae-oqa.test"] * 5]
    assert statuses == [302] * FREE["stranger"] + [429] * (10 - FREE["stranger"])
    assert len(sent_mails()) == FREE["stranger"]
    assert invite(client, "otto@acme.test") == 302


def test_whoever_asks_for_access_without_end_fills_no_queue_and_reads_so(client, ada):
    mallory = member(environment(), email="mallory@other.test")
    client.force_login(mallory)
    answers = [client.post(f"/access/{slug}/") for slug in ["acme", "nowhere"] * 15]
    assert Delivery.objects.filter(name="environments.tasks.ask_for_access").count() == FREE["asking"]
    assert [answer.url for answer in answers[-2:]] == ["/", "/"]
    assert "Too many tries" in client.get("/", follow=True).content.decode()


def test_an_invitation_that_is_mailed_again_counts_too(client, ada):
    log_in(client, ada)
    invite(client, "ivy@other.test")
    for _time in range(10):
        client.post(f"/acme/invitations/{Invitation.objects.get().pk}/", {"do": "again"})
        sent_mails()
    assert len(sent_mails()) == FREE["stranger"]


def test_a_stranger_is_counted_over_all_who_have_mails_sent_to_them(client, ada):
    log_in(client, ada)
    for _time in range(3):
        invite(client, "ivy@other.test")
    bo = member(environment(name="Beta", slug="beta"), email="bo@beta.test")
    log_in(client, bo)
    assert [invite(client, "ivy@other.test", "beta") for _time in range(3)] == [302, 302, 429]
    assert client.post("/profile/email/", {"email": "ivy@other.test"}).status_code == 429


@pytest.mark.parametrize("door", ["inviter", "inviting"])
def test_one_person_and_one_organisation_invite_so_many_at_a_time(client, ada, acme, door):
    log_in(client, ada)
    assert invite(client, "first@other.test") == 302
    budgets = FailureBudget.objects.filter(key__startswith=f"{door}:")
    budgets.update(failures=FREE[door] - 1)
    assert [invite(client, f"person-{n}@other.test") for n in range(3)] == [302, 429, 429]
    assert Invitation.objects.count() == 2


def test_an_invitation_that_is_refused_costs_nothing(client, ada):
    log_in(client, ada)
    for email in ("no address", "josé@acme.test"):
        invite(client, email)
    assert not FailureBudget.objects.filter(key__startswith="stranger:").exists()
