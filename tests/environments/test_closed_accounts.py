"""Whose account is closed becomes no member, and what ended with the account stays ended when it is opened again."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from environments.access_requests.services import ask_for_access
from environments.choices import Role
from environments.models import AccessRequest, Membership
from tests import factories
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada, client):
    log_in(client, ada)
    return ada


@pytest.fixture
def closed():
    return factories.UserFactory(email="closed@example.test", is_active=False)


@pytest.fixture
def asked(acme):
    """Somebody asked for access, and their account was closed while they waited."""
    nora = factories.UserFactory(email="nora@example.test")
    request = ask_for_access(nora, "acme", message="", now=timezone.now())
    User.objects.filter(pk=nora.pk).update(is_active=False)
    return request


def test_accepting_the_request_of_a_closed_account_makes_nobody_a_member(client, acme, ada, asked):
    answer = client.post(f"/acme/access-requests/{asked.uuid}/", {"roles": [Role.MEMBER]}, follow=True)
    assert "The account of nora@example.test is closed." in answer.content.decode()
    assert not Membership.objects.filter(user=asked.user).exists()
    assert AccessRequest.objects.get().state == AccessRequest.State.WAITING


def test_the_request_of_a_closed_account_is_not_offered_and_can_be_rejected(client, acme, ada, asked):
    assert "nora@example.test" not in client.get("/acme/access-requests/").content.decode()
    client.post(f"/acme/access-requests/{asked.uuid}/", {"do": "reject"})
    assert AccessRequest.objects.get().state == AccessRequest.State.REJECTED


def test_the_command_makes_no_closed_account_a_member(acme, closed):
    with pytest.raises(CommandError, match="closed"):
        call_command("create_member", closed.email, organisation="acme", role="member", stdout=StringIO())
    assert not closed.memberships.exists()
