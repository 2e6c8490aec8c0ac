"""Joining by one's own mailbox: a link that only the mailbox sees, and an answer that tells nobody anything."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import DomainProof, Role
from environments.domains import services as domains
from environments.invitations import services as invitations
from environments.joining import services as joining
from environments.joining import tasks as joining_tasks
from environments.members import services as members
from environments.models import Invitation, Membership, Organisation, OrganisationDomain
from environments.tree import services
from tests.factories import PASSWORD, UserFactory, environment, member
from tests.logging_in import give_password, log_in
from tests.mailbox import clear_mails, sent_mails


@pytest.fixture
def acme(db):
    """Acme has proven acme.test and bücher.example, and lets their people in as members."""
    acme = environment(name="Acme", slug="acme")
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    for name in ("acme.test", "xn--bcher-kva.example"):
        OrganisationDomain.objects.create(
            organisation=acme, domain=name, verified_at=timezone.now(), proof=DomainProof.DNS
        )
    acme.refresh_from_db()
    return acme


@pytest.fixture
def linked(django_capture_on_commit_callbacks):
    """Ask for a link for an address, and return the path that was mailed to it, or None."""

    def link(email: str) -> str | None:
        clear_mails()
        with django_capture_on_commit_callbacks(execute=True):
            joining_tasks.mail_link_to_join(email, "en")
        if not sent_mails():
            return None
        assert sent_mails()[0].to[0].lower() == User.objects.normalise(email)
        return re.findall(r"(/invitation/\S+/)", sent_mails()[0].body)[0]

    return link


def test_every_address_gets_the_same_answer(client, acme):
    member(acme, email="vic@acme.test")
    emails = ["new@acme.test", "vic@acme.test", "x@nobody.test", "x@gmail.com", "x@xn--bcher-kva.example"]
    answers = [client.post("/join/", {"email": email}) for email in emails]
    assert {(answer.status_code, answer.url) for answer in answers} == {(302, "/join/sent/")}
    assert Invitation.objects.count() == 0  # the work is left to the worker, so that it takes the same time
    assert client.get("/join/sent/").status_code == 200


def test_every_address_costs_the_same(client, acme):
    member(acme, email="vic@acme.test")
    client.get("/join/")
    counts = []
    for email in ("new@acme.test", "vic@acme.test", "x@nobody.test", "x@gmail.com"):
        with CaptureQueriesContext(connection) as queries:
            client.post("/join/", {"email": email})
        counts.append(len(queries))
    assert len(set(counts)) == 1


def test_links_that_ran_out_are_forgotten_and_invitations_are_not(acme, linked):
    ada = member(acme, email="ada@acme.test")
    invited = invitations.invite(acme, email="ivy@acme.test", roles=["member"], by=Caller.of(ada), now=timezone.now())
    linked("nora@acme.test")
    joining_tasks.forget_join_links()
    assert Invitation.objects.count() == 2
    Invitation.objects.update(expires_at=timezone.now())
    joining_tasks.forget_join_links()
    assert Invitation.objects.get() == invited


def test_the_log_in_page_leads_to_it(client, db):
    assert 'href="/join/"' in client.get("/login/").content.decode()


@pytest.mark.way("Doors: a joining link that logs in")
def test_a_mailed_link_makes_an_account_and_a_member_and_opens_no_session(client, acme, linked):
    path = linked("New@Acme.test")
    assert "Member" in client.get(path).content.decode()
    answer = client.post(path, {"name": "New Person", "password": PASSWORD})
    assert answer.url.startswith("/login/")
    assert Membership.objects.get(user__email="new@acme.test").roles == ["member"]
    assert client.get("/acme/").status_code == 302
    assert client.get(path).status_code == 404


def test_somebody_who_has_an_account_joins_by_logging_in_and_accepting(client, acme, linked):
    nora = UserFactory(email="nora@acme.test")
    path = linked("nora@acme.test")
    client.post(path, {"name": "Thief", "password": "Other-Horse-9"})
    assert Membership.objects.count() == 0
    give_password(client, nora)
    client.post(path)
    assert Membership.objects.get(user=nora).roles == ["member"]


def test_a_name_in_another_script_is_the_same_domain(acme, linked):
    assert linked("nora@bücher.example") or linked("nora@xn--bcher-kva.example")


@pytest.mark.parametrize(
    "lacking",
    ["proof", "roles", "domain", "a live organisation", "an open account", "a reason: a member", "an address"],
)
def test_no_link_is_mailed_where_something_is_lacking(acme, linked, lacking):
    email = "nora@acme.test"
    if lacking == "proof":
        OrganisationDomain.objects.update(verified_at=None, proof="")
    if lacking == "roles":
        Organisation.objects.update(auto_invite_roles=[])
    if lacking == "domain":
        email = "nora@sub.acme.test"
    if lacking == "a live organisation":
        services.suspend(acme, by=SYSTEM, now=timezone.now())
    if lacking == "an open account":
        UserFactory(email=email, is_active=False)
    if lacking == "a reason: a member":
        member(acme, email=email)
    if lacking == "an address":
        email = "nora@acme.test@acme.test"
    assert linked(email) is None
    assert Invitation.objects.count() == 0


def test_an_open_invitation_is_left_as_it_is(acme, linked):
    ada = member(acme, email="ada@acme.test")
    invited = invitations.invite(
        acme, email="ivy@acme.test", roles=["developer"], by=Caller.of(ada), now=timezone.now()
    )
    assert linked("ivy@acme.test") is None
    assert Invitation.objects.get() == invited


def test_a_newer_link_replaces_the_older(client, acme, linked):
    first, second = linked("nora@acme.test"), linked("nora@acme.test")
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200


@pytest.mark.parametrize("change", ["removed", "lapsed", "roles", "time"])
def test_a_link_ends_with_what_it_rests_on(client, acme, linked, change):
    nora = UserFactory(email="nora@acme.test")
    path = linked("nora@acme.test")
    domain = OrganisationDomain.objects.get(domain="acme.test")
    if change == "removed":
        domains.remove_domain(domain, by=Caller.of(member(acme)), now=timezone.now())
    if change == "lapsed":
        OrganisationDomain.objects.update(verified_at=None, proof="")
    if change == "roles":
        Organisation.objects.update(auto_invite_roles=["developer"])
    if change == "time":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    give_password(client, nora)
    assert client.post(path).status_code in {403, 404}
    assert not Membership.objects.filter(user=nora).exists()


def test_asking_is_throttled_for_a_mailbox_and_for_an_address(client, acme):
    answers = [client.post("/join/", {"email": "Nora@acme.test"}).status_code for _number in range(4)]
    assert answers == [302, 302, 302, 429]
    assert client.post("/join/", {"email": "other@acme.test"}).status_code == 302
    statuses = [client.post("/join/", {"email": f"x{n}@nobody.test"}).status_code for n in range(50)]
    assert statuses[-1] == 429


def test_the_link_is_kept_as_a_hash_and_written_down(acme, linked):
    path = linked("nora@acme.test")
    assert Invitation.objects.get().token_hash == Invitation.hash_of(path.split("/")[2])
    assert Event.objects.get(action="invitation.asked_for").organisation_id == acme.pk


def test_nobody_sets_auto_invite_roles_with_more_permissions_than_their_own(client, acme):
    emma = member(acme, Role.ENVIRONMENT_MANAGER)
    log_in(client, emma)
    client.post("/acme/settings/", {"do": "auto-invite", "roles": ["administrator"]})
    acme.refresh_from_db()
    assert acme.auto_invite_roles == ["member"]
    with pytest.raises(members.PermissionDenied):
        domains.set_auto_invite_roles(acme, roles=["administrator"], by=Caller.of(emma))
    domains.set_auto_invite_roles(acme, roles=["environment_manager"], by=Caller.of(emma))
    domains.set_auto_invite_roles(acme, roles=[], by=Caller.of(emma))


def test_a_provider_that_is_pinned_lets_people_with_a_name_in_another_script_join(acme):
    found = joining.joinable_domain("nora@bücher.example")
    assert found is not None
    assert found.organisation == acme
