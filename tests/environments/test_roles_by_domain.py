"""The roles that a domain gives are compared with the permissions of whoever answers for it, when they are given."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import SessionRecord, User
from audit.models import Event
from environments import tasks
from environments.choices import Role
from environments.joining import tasks as joining_tasks
from environments.models import Membership, Organisation, OrganisationDomain
from tests import factories
from tests.environments.dns_server import publish
from tests.environments.losses import lose
from tests.logging_in import expire_step_up, give_password, log_in, logged_in_client
from tests.mailbox import clear_mails, sent_mails

SETTINGS, DOMAINS = "/acme/settings/", "/acme/settings/domains/"


@pytest.fixture
def emma(acme):
    return factories.member(acme, Role.ENVIRONMENT_MANAGER, email="emma@acme.test", name="Emma")


def add_domain(by) -> object:
    return logged_in_client(by).post(DOMAINS, {"do": "add", "domain": "join.test"})


def prove(zone, by) -> None:
    found = OrganisationDomain.objects.get()
    publish(zone, found)
    logged_in_client(by).post(f"{DOMAINS}check/", {"domain": found.pk})


def let_people_join_as(role, by) -> None:
    logged_in_client(by).post(SETTINGS, {"do": "auto-invite", "roles": [role]})
    assert Organisation.objects.get(slug="acme").auto_invite_roles == [role]


@pytest.fixture
def link(django_capture_on_commit_callbacks):
    """Ask for a link to join, and return its path."""

    def path_for(email: str) -> str:
        clear_mails()
        with django_capture_on_commit_callbacks(execute=True):
            joining_tasks.mail_link_to_join(email, "en")
        return next(re.findall(r"(/invitation/\S+/)", sent.body)[0] for sent in sent_mails() if sent.to == [email])

    return path_for


def accept(path: str) -> None:
    Client().post(path, {"name": "Newcomer", "password": factories.PASSWORD})


@pytest.fixture
def roles_of_newcomer(link):
    """Let somebody new join by their mailbox, and return what they became."""

    def join(email: str = "nora@join.test") -> list[str]:
        accept(link(email))
        return Membership.objects.get(user__email=email).roles

    return join


@pytest.fixture
def proven(zone, acme, ada, bea):
    """Ada lets people join as Administrator, and added and proved the domain."""
    let_people_join_as(Role.ADMINISTRATOR, ada)
    add_domain(ada)
    prove(zone, ada)
    return OrganisationDomain.objects.get()


LOSSES = ["removed", "demoted", "expired", "closed", "gone"]


def test_nobody_adds_a_domain_that_gives_roles_with_more_permissions_than_their_own(acme, ada, emma):
    let_people_join_as(Role.ADMINISTRATOR, ada)
    answer = add_domain(emma)
    assert answer.status_code == 403
    assert "more permissions than your own" in answer.content.decode()
    assert not OrganisationDomain.objects.exists()


def test_roles_that_are_raised_later_do_not_reach_the_domain_of_somebody_with_fewer_permissions(
    zone, acme, ada, emma, roles_of_newcomer
):
    add_domain(emma)
    let_people_join_as(Role.ADMINISTRATOR, ada)
    prove(zone, emma)
    assert roles_of_newcomer() == [Role.MEMBER]


def test_roles_that_are_raised_after_the_proof_ask_for_a_confirmation_at_once(
    zone, acme, ada, emma, roles_of_newcomer, mails
):
    let_people_join_as(Role.MEMBER, ada)
    add_domain(emma)
    prove(zone, emma)
    sent = mails(lambda: let_people_join_as(Role.ADMINISTRATOR, ada))
    assert sent == [("Acme: confirm join.test", "ada@acme.test")]
    assert "People who join get only the role Member" in logged_in_client(ada).get(SETTINGS).content.decode()
    assert roles_of_newcomer() == [Role.MEMBER]


def test_whoever_answers_for_a_domain_and_its_roles_lets_people_join_with_them(proven, roles_of_newcomer):
    assert roles_of_newcomer() == [Role.ADMINISTRATOR]


@pytest.mark.parametrize("how", LOSSES)
def test_once_whoever_added_the_domain_has_lost_the_permissions_people_become_member(
    proven, ada, bea, roles_of_newcomer, how
):
    let_people_join_as(Role.ORGANISATION_MANAGER, bea)
    lose(how, ada, by=bea)
    assert roles_of_newcomer() == [Role.MEMBER]


@pytest.mark.parametrize("how", LOSSES[:-1])
def test_once_whoever_set_the_roles_has_lost_the_permissions_people_become_member(
    proven, ada, bea, roles_of_newcomer, how
):
    let_people_join_as(Role.ORGANISATION_MANAGER, bea)
    lose(how, bea, by=ada)
    assert roles_of_newcomer() == [Role.MEMBER]


def test_a_link_that_was_mailed_before_gives_member_after(proven, ada, bea, link):
    path = link("nora@join.test")
    lose("removed", ada, by=bea)
    page = Client().get(path).content.decode()
    assert ("Administrator" in page, "Member" in page) == (False, True)
    accept(path)
    assert Membership.objects.get(user__email="nora@join.test").roles == [Role.MEMBER]


def test_what_ended_stays_ended_until_an_administrator_confirms_the_domain(
    client, proven, ada, bea, emma, roles_of_newcomer
):
    lose("removed", ada, by=bea)
    Membership.objects.create(
        user=ada, organisation=proven.organisation, roles=[Role.ADMINISTRATOR], accepted_at=timezone.now()
    )
    assert roles_of_newcomer() == [Role.MEMBER]
    confirm = {"do": "confirm", "domain": proven.pk}
    assert logged_in_client(emma).post(DOMAINS, confirm).status_code == 403
    assert "Confirm the domain" not in logged_in_client(emma).get(SETTINGS).content.decode()
    log_in(client, bea)
    assert "Confirm the domain" in client.get(SETTINGS).content.decode()
    expire_step_up()
    assert client.post(DOMAINS, confirm).url.startswith("/profile/security/confirm/")
    assert roles_of_newcomer("noah@join.test") == [Role.MEMBER]
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    client.post(DOMAINS, confirm)
    assert roles_of_newcomer("nina@join.test") == [Role.ADMINISTRATOR]
    actions = Event.objects.filter(action__startswith="domain.").order_by("pk").values_list("action", flat=True)
    assert list(actions)[-2:] == ["domain.unconfirmed", "domain.confirmed"]


@pytest.mark.parametrize("who", ["ada", "bea"])
def test_the_roles_of_a_domain_are_not_woken_when_an_account_was_closed_for_a_moment(
    proven, ada, bea, roles_of_newcomer, who
):
    let_people_join_as(Role.ORGANISATION_MANAGER, bea)
    for is_active in (False, True):
        User.objects.filter(email=f"{who}@acme.test").update(is_active=is_active)
    assert roles_of_newcomer() == [Role.MEMBER]
    logged_in_client(User.objects.get(pk=ada.pk)).post(DOMAINS, {"do": "confirm", "domain": proven.pk})
    assert roles_of_newcomer("nina@join.test") == [Role.ORGANISATION_MANAGER]


def test_administrators_are_asked_once_by_mail_to_confirm_the_domain(proven, ada, bea, mails):
    lose("expired", ada, by=bea)
    assert mails(tasks.review_what_was_stored) == [("Acme: confirm join.test", "bea@acme.test")]
    assert "get the role Member" in sent_mails()[0].body
    assert mails(tasks.review_what_was_stored) == []


def test_a_domain_from_before_this_was_kept_gives_member_until_it_is_confirmed(proven, bea, roles_of_newcomer):
    OrganisationDomain.objects.update(confirmed_by=None)
    Organisation.objects.update(auto_invite_by=None)
    assert roles_of_newcomer() == [Role.MEMBER]
    logged_in_client(bea).post(DOMAINS, {"do": "confirm", "domain": proven.pk})
    assert roles_of_newcomer("nina@join.test") == [Role.ADMINISTRATOR]


def test_nobody_confirms_a_domain_for_roles_that_the_page_did_not_show(client, proven, bea, roles_of_newcomer):
    OrganisationDomain.objects.update(confirmed_by=None)
    Organisation.objects.update(auto_invite_by=None, auto_invite_roles=[Role.ORGANISATION_MANAGER])
    assert roles_of_newcomer() == [Role.MEMBER]
    log_in(client, bea)
    button = re.compile(r'name="seen" value="(\w+)">\s*<button class="button" name="do" value="confirm"')
    confirm = {"do": "confirm", "domain": proven.pk, "seen": button.search(client.get(SETTINGS).text)[1]}
    Organisation.objects.update(auto_invite_roles=[Role.ADMINISTRATOR])

    client.post(DOMAINS, confirm)

    assert roles_of_newcomer("noah@join.test") == [Role.MEMBER]
    shown = client.get(SETTINGS).text
    assert "while you had the page open" in shown
    client.post(DOMAINS, confirm | {"seen": button.search(shown)[1]})
    assert roles_of_newcomer("nina@join.test") == [Role.ADMINISTRATOR]


def test_a_super_users_word_confirms_the_domain(acme, ada, emma, roles_of_newcomer):
    add_domain(emma)
    let_people_join_as(Role.ADMINISTRATOR, ada)
    root = factories.UserFactory(is_superuser=True)
    logged_in_client(root).post(DOMAINS, {"do": "vouch", "domain": OrganisationDomain.objects.get().pk})
    assert roles_of_newcomer() == [Role.ADMINISTRATOR]


def test_somebody_with_an_account_becomes_member_too(client, zone, acme, ada, emma, link):
    add_domain(emma)
    let_people_join_as(Role.ADMINISTRATOR, ada)
    prove(zone, emma)
    nora = factories.UserFactory(email="nora@join.test")
    path = link("nora@join.test")
    give_password(client, nora)
    client.post(path)
    assert Membership.objects.get(user=nora).roles == [Role.MEMBER]
