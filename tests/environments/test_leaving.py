"""Members leave by themselves, on their profile: with the same consequences as if somebody had removed them."""

import pytest
from django.utils import timezone

from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.invitations.services import invite
from environments.keys.services import create_organisation_key, create_personal_key
from environments.members.services import change_end
from environments.models import ApiKey, Invitation, Membership, Organisation
from tests import factories
from tests.at_once import at_once
from tests.logging_in import expire_step_up, log_in, logged_in_client

pytestmark = pytest.mark.django_db


def path_of(user) -> str:
    return f"/profile/memberships/{Membership.objects.get(user=user).pk}/leave/"


@pytest.fixture
def bea(acme):
    return factories.member(acme, email="bea@acme.test", name="Bea")


def test_the_profile_lists_where_one_is_a_member_with_roles_since_and_until(client, acme, agency, bea):
    Membership.objects.create(user=bea, organisation=agency, roles=["member", "developer"], accepted_at=timezone.now())
    Membership.objects.create(user=bea, organisation=factories.environment(name="Soon"), roles=["member"])
    change_end(
        bea.memberships.get(organisation=agency), until=factories.NOW.replace(year=2040), by=SYSTEM, now=factories.NOW
    )
    factories.member(acme, name="Somebody else")
    log_in(client, bea)

    answer = client.get("/profile/")

    shown = [(one.organisation.name, one.role_labels) for one in answer.context["memberships"]]
    assert shown == [("Acme", ["Administrator"]), ("Noorderlicht Digital", ["Developer", "Member"])]
    assert "22 Nov 2040" in answer.text


def test_whoever_leaves_loses_what_removal_takes_and_the_audit_log_says_that_they_left(client, acme, bea):
    factories.member(acme)
    by, now = Caller.of(bea), timezone.now()
    create_organisation_key(acme, name="Import", roles=[Role.MEMBER], by=by, now=now)
    create_personal_key(bea, name="Laptop", by=by, now=now)
    invite(acme, email="nina@acme.test", roles=["member"], by=by, now=now)
    log_in(client, bea)

    answer = client.post(path_of(bea), follow=True)

    assert "You have left Acme." in answer.text
    assert not bea.memberships.exists()
    assert client.get("/acme/").status_code == 404
    assert ApiKey.objects.get(name="Import").rests_because == "lost"
    assert ApiKey.objects.get(name="Laptop").revoked_at is not None
    assert not Invitation.objects.exists()
    event = Event.objects.get(action="membership.left")
    assert (event.actor_label, event.subject_label, event.before) == (
        "bea@acme.test",
        "bea@acme.test",
        {"roles": ["administrator"]},
    )


def test_the_last_administrator_of_a_root_is_refused_before_the_question_and_after_it(client, agency):
    ada = factories.member(agency)
    log_in(client, ada)
    for answer in (client.get(path_of(ada), follow=True), client.post(path_of(ada), follow=True)):
        assert "The last Administrator of Noorderlicht Digital cannot be removed or demoted." in answer.text
    assert ada.memberships.exists()


def test_asking_ends_nothing(client, bea):
    log_in(client, bea)
    assert client.get(path_of(bea)).status_code == 200
    assert bea.memberships.exists()


def test_nobody_leaves_for_somebody_else(client, acme, bea, elsewhere):
    for other in (factories.member(acme), factories.member(elsewhere), factories.UserFactory(is_superuser=True)):
        log_in(client, other)
        assert [client.get(path_of(bea)).status_code, client.post(path_of(bea)).status_code] == [404, 404]
    assert bea.memberships.exists()


def test_leaving_a_sensitive_role_requires_step_up_and_another_does_not(client, acme, bea):
    vic = factories.member(acme, Role.MEMBER)
    for person, is_gone in ((bea, False), (vic, True)):
        log_in(client, person)
        expire_step_up()
        client.post(path_of(person))
        assert person.memberships.exists() is not is_gone


def test_a_suspended_organisation_can_be_left(client, acme):
    vic = factories.member(acme, Role.MEMBER)
    Organisation.objects.filter(pk=acme.pk).update(is_suspended=True)
    log_in(client, vic)
    assert "Suspended" in client.get("/profile/").text
    client.post(path_of(vic))
    assert not vic.memberships.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_last_administrators_who_leave_at_once_one_stays():
    top = factories.organisation(name="Top", slug="top")
    both = [factories.member(top), factories.member(top)]
    browsers = [(logged_in_client(person), path_of(person)) for person in both]
    answers = at_once(*[lambda one=one: one[0].post(one[1]).status_code for one in browsers])
    assert answers == [302, 302]
    assert Membership.objects.filter(organisation=top).count() == 1
