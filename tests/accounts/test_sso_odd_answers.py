"""What a provider should not say, and a log-in that is refused half-way: neither breaks a page nor leaves anything."""

import time

import pytest
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord, User
from audit.models import Event
from environments.models import Membership, Organisation, OrganisationDomain
from tests.accounts.conftest import open_invitation, require_mfa
from tests.factories import member
from tests.logging_in import is_let_in
from tests.mailbox import sent_mails


@pytest.fixture
def joinable(acme, provider) -> Organisation:
    """Acme has proven acme.test, lets its people join, and the provider may speak for them."""
    provider["domains"] = ["acme.test"]
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    OrganisationDomain.objects.create(organisation=acme, domain="acme.test", verified_at=timezone.now())
    return acme


@pytest.mark.parametrize("has_account", [False, True])
def test_an_invitation_that_is_refused_leaves_no_account_and_no_identity(
    client, invitation, acme, ada, through_sso, has_account
):
    if has_account:
        member(acme, email="ivy@acme.test", password=None)
    open_invitation(client)
    Membership.objects.filter(user=ada).delete()  # she may invite nobody any more
    before = User.objects.count()
    assert through_sso("ivy", email="ivy@acme.test", email_verified=True).url == "/login/"
    assert (User.objects.count(), UserSocialAuth.objects.count()) == (before, 0)
    through_sso("ivy", email="ivy@acme.test", email_verified=True)
    assert not is_let_in(client)


def test_an_account_made_by_a_provider_is_on_record_and_its_identity_is_mailed(
    client, joinable, through_sso, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        through_sso("nora", email="nora@acme.test", email_verified=True, name="Nora")
    assert is_let_in(client)
    told = set(Event.objects.filter(subject_id=User.objects.get().pk).values_list("action", flat=True))
    assert {"user.created", "identity.linked", "membership.granted", "session.opened"} <= told
    assert [one.to for one in sent_mails()] == [["nora@acme.test"]]


NO_ADDRESSES = [
    "x y@acme.test",
    "a\0b@acme.test",
    "@acme.test",
    "ünï@acme.test",
    "a..b@acme.test",
    f"{'a' * 250}@acme.test",
]


@pytest.mark.parametrize("email", NO_ADDRESSES)
def test_a_malformed_email_address_makes_no_account(client, joinable, through_sso, email):
    assert through_sso("nora", email=email, email_verified=True).url == "/login/"
    assert User.objects.count() == 0


@pytest.mark.parametrize("at", [1_795_600_000_000, -(10**12), 10**30, 1.5, True, "yesterday"])
def test_a_log_in_with_an_impossible_auth_time_is_not_stepped_up(client, sam, through_sso, at):
    through_sso("sam", auth_time=at)
    assert is_let_in(client)
    assert SessionRecord.objects.get().stepped_up_at is None


@pytest.mark.parametrize("at", [7200, 10**15, -(10**12)])
def test_an_auth_time_far_from_now_steps_nobody_up(client, sam, through_sso, at):
    through_sso("sam")
    SessionRecord.objects.update(stepped_up_at=None)
    through_sso("sam", auth_time=int(time.time()) + at, form={"purpose": "step up"})
    assert SessionRecord.objects.get().stepped_up_at is None


@pytest.mark.parametrize("held", ["sam", "ada"])
def test_a_session_that_the_gate_held_ends_when_a_provider_opens_another(client, sam, ada, acme, through_sso, held):
    client.force_login(User.objects.get(email=f"{held}@acme.test"))
    require_mfa(acme)
    through_sso("sam")
    assert is_let_in(client)
    assert [one.opened_by for one in SessionRecord.objects.open()] == ["sso"]
