"""Access requests are mailed to those who can answer, and the answer to the person who asked."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from environments.access_requests import services as access_requests
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.memberships import grant_membership
from environments.models import AccessRequest, Organisation
from tests import factories
from tests.accounts.test_mails import seen, sent_by, words_of
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def mallory() -> User:
    return factories.UserFactory(name="Mallory", email="mallory@elsewhere.test")


def ask(user: User, message: str = "") -> AccessRequest:
    asked = access_requests.ask_for_access(user, "acme", message=message, now=NOW)
    assert asked is not None
    return asked


def recipients(mails) -> list[str]:
    return sorted(message.to[0] for message in mails)


def test_a_request_is_mailed_once_to_everybody_of_the_organisation_who_can_answer(acme, agency, elsewhere, mallory):
    for role in Role:
        factories.member(acme, role, email=f"{role}@acme.test")
    factories.member(acme, email="gone@acme.test", is_active=False)
    factories.member(agency, email="above@agency.test")
    factories.member(elsewhere, email="elsewhere@else.test")
    mails = sent_by(lambda: [ask(mallory, "See evil.example"), ask(mallory, "again")])
    can_answer = [Role.ADMINISTRATOR, Role.ENVIRONMENT_MANAGER, Role.ORGANISATION_MANAGER]
    assert recipients(mails) == [f"{role}@acme.test" for role in can_answer]
    assert mails[0].subject == "mallory@elsewhere.test requests access to Acme"
    assert "Mallory (mallory@elsewhere.test)" in mails[0].body
    assert f"/acme/access-requests/#request-{AccessRequest.objects.get().uuid}" in mails[0].body
    assert "evil.example" not in mails[0].body + seen(mails[0].alternatives[0].content)


def test_where_nobody_of_the_organisation_can_answer_the_nearest_above_are_mailed(acme, agency, mallory):
    factories.member(acme, Role.MEMBER)
    factories.member(agency, email="above@agency.test")
    mails = sent_by(lambda: ask(mallory))
    assert recipients(mails) == ["above@agency.test"]
    assert "/noorderlicht/access-requests/#request-" in mails[0].body


def test_a_request_that_is_not_stored_is_not_mailed(acme, mallory):
    ada = factories.member(acme)
    nowhere = sent_by(lambda: access_requests.ask_for_access(mallory, "nowhere", message="", now=NOW))
    inside = sent_by(lambda: access_requests.ask_for_access(ada, "acme", message="", now=NOW))
    assert (nowhere, inside) == ([], [])


def test_who_asked_is_mailed_that_they_are_a_member_and_with_which_roles(acme, mallory):
    ada, asked = factories.member(acme, name="Ada Ouwehand", email="ada@acme.test"), ask(mallory)
    roles = [Role.DEVELOPER, Role.MEMBER]
    mails = sent_by(lambda: access_requests.accept_request(asked, roles=roles, by=Caller.of(ada), now=NOW))[-1:]
    assert [(one.subject, one.to) for one in mails] == [("You now have access to Acme", [mallory.email])]
    assert "Roles: Developer, Member" in mails[0].body
    assert "Ada" not in mails[0].body


def test_a_rejected_stranger_learns_neither_the_name_nor_who_rejected_them(acme, mallory):
    acme.name = "Secret Project"
    acme.save()
    ada, asked = factories.member(acme, name="Ada Ouwehand", email="ada@acme.test"), ask(mallory)
    mail = sent_by(lambda: access_requests.reject_request(asked, by=Caller.of(ada), now=NOW))[-1]
    everything = mail.subject + mail.body + mail.alternatives[0].content
    assert (mail.to, mail.subject) == ([mallory.email], "Your request for access to acme was rejected")
    assert "/acme/" in mail.body
    assert not re.search(r"Secret|Ada|ada@", everything)


def test_somebody_whose_account_was_closed_meanwhile_is_mailed_nothing(acme, mallory):
    ada, asked = factories.member(acme), ask(mallory)
    User.objects.filter(pk=mallory.pk).update(is_active=False)
    asked = AccessRequest.objects.get(pk=asked.pk)
    mails = sent_by(lambda: access_requests.reject_request(asked, by=Caller.of(ada), now=NOW))
    assert mallory.email not in recipients(mails)


@pytest.mark.parametrize(
    ("language", "subjects"),
    [
        (
            "en",
            [
                "mallory@elsewhere.test requests access to Acme",
                "Your request for access to acme was rejected",
                "You now have access to Acme",
            ],
        ),
        (
            "nl",
            [
                "mallory@elsewhere.test vraagt toegang tot Acme aan",
                "Uw toegangsaanvraag voor acme is geweigerd",
                "U hebt nu toegang tot Acme",
            ],
        ),
    ],
)
def test_the_mails_are_in_the_readers_language_and_text_and_html_say_the_same(acme, mallory, language, subjects):
    mallory.language = language
    mallory.save()
    ada = factories.member(acme, language=language)

    mails, by = [*sent_by(lambda: ask(mallory))], Caller.of(ada)
    mails += sent_by(lambda: access_requests.reject_request(AccessRequest.objects.get(), by=by, now=NOW))
    mails += sent_by(lambda: access_requests.accept_request(ask(mallory), roles=[Role.MEMBER], by=by, now=NOW))
    assert sorted({message.subject for message in mails}) == sorted(subjects)
    for message in mails:
        html = message.alternatives[0].content
        assert f'<html lang="{language}">' in html
        assert words_of(message.body) - words_of(seen(html)) == set()


@pytest.mark.parametrize(("do", "verb"), [("accept", "accepted"), ("reject", "rejected")])
def test_who_follows_the_mail_later_reads_that_it_was_answered_by_whom_and_how(client, acme, mallory, do, verb):
    ada, bea = factories.member(acme, name="Ada Ouwehand"), factories.member(acme, email="bea@acme.test")
    mail = next(one for one in sent_by(lambda: ask(mallory)) if one.to == [bea.email])
    path, anchor = re.search(r"(/acme/access-requests/)#(request-\S+)", mail.body).groups()
    assert f'href="http://localhost:8000{path}#{anchor}"' in mail.alternatives[0].content
    client.force_login(ada)
    asked = AccessRequest.objects.get()
    client.post(f"{path}{asked.uuid}/", {"do": do, "roles": [Role.MEMBER]})
    client.force_login(bea)
    page = client.get(path).text
    row = re.search(rf'<li id="{anchor}">.*?</li>', page, re.DOTALL)[0]
    assert f"Ada Ouwehand {verb} the request" in row
    assert "Mallory" in row
    assert f'action="{path}{asked.uuid}/"' not in page


def test_a_request_whose_answerer_is_gone_says_how_it_was_answered(client, acme, mallory):
    asked, ada = ask(mallory), factories.member(acme)
    access_requests.reject_request(asked, by=Caller.of(ada), now=NOW)
    AccessRequest.objects.update(answered_by=None)
    client.force_login(ada)
    assert "The request was rejected" in client.get("/acme/access-requests/").text


def test_roles_are_optional_as_their_label_says_and_without_any_they_become_member(client, acme, mallory):
    asked = ask(mallory)
    client.force_login(factories.member(acme, Role.ENVIRONMENT_MANAGER))
    page = client.get("/acme/access-requests/").content.decode()
    assert re.search(r"Roles\s*<span>\(optional\)", page)
    assert "If you choose none, they get the role Member." in page
    answer = client.post(f"/acme/access-requests/{asked.uuid}/", {"do": "accept"}, follow=True).content.decode()
    assert "Mallory is now a member of Acme." in answer
    assert mallory.memberships.get().roles == [Role.MEMBER]


def test_a_role_above_ones_own_is_refused_with_that_reason(client, acme, mallory):
    asked = ask(mallory)
    client.force_login(factories.member(acme, Role.ENVIRONMENT_MANAGER))
    answer = client.post(
        f"/acme/access-requests/{asked.uuid}/", {"do": "accept", "roles": [Role.ADMINISTRATOR]}, follow=True
    )
    assert "You cannot give a role with more permissions than your own." in answer.content.decode()
    assert not mallory.memberships.exists()


# -- The requests of everything below, on one page ----------------------------------------------------


@pytest.fixture
def boss(agency):
    return factories.member(agency, Role.ENVIRONMENT_MANAGER, email="boss@agency.test")


def test_an_empty_inbox_names_the_environment_or_what_is_above_environments(client, acme, agency, boss):
    log_in(client, boss)
    assert "Send a colleague the address of this environment." in client.get("/acme/access-requests/").text
    assert f"the address of an environment below {agency.name}." in client.get("/noorderlicht/access-requests/").text


def test_an_agency_answers_the_requests_of_everything_below_it_on_one_page(client, acme, agency, elsewhere, boss):
    mallory, nele = factories.UserFactory(name="Mallory"), factories.UserFactory(name="Nele")
    of_acme = AccessRequest.objects.create(organisation=acme, user=mallory, created_at=NOW)
    of_agency = AccessRequest.objects.create(organisation=agency, user=nele, created_at=NOW - timedelta(days=1))
    AccessRequest.objects.create(organisation=elsewhere, user=nele)
    client.force_login(boss)

    page = client.get("/noorderlicht/access-requests/")

    assert [asked for asked, _form in page.context["rows"]] == [of_agency, of_acme]
    assert page.text.count('<a href="/acme/">Acme</a>') == 1
    accept = {"do": "accept", "roles": [Role.MEMBER]}
    answer = client.post(f"/noorderlicht/access-requests/{of_acme.uuid}/", accept)
    assert answer.url == "/noorderlicht/access-requests/"
    assert "Mallory is now a member of Acme." in client.get(answer.url).text
    assert [one.organisation for one in mallory.memberships.all()] == [acme]
    client.post(f"/noorderlicht/access-requests/{of_agency.uuid}/", {"do": "reject"})
    assert client.get("/noorderlicht/access-requests/").context["rows"] == []


def test_a_page_shows_nothing_of_above_beside_or_another_tenant_and_answers_none_of_it(
    client, acme, agency, elsewhere, mallory
):
    beside = factories.environment(parent=agency, slug="beside")
    asked = [AccessRequest.objects.create(organisation=one, user=mallory) for one in (agency, beside, elsewhere)]
    client.force_login(factories.member(acme))
    assert client.get("/acme/access-requests/").context["rows"] == []
    for request in asked:
        for do in ("accept", "reject"):
            answer = client.post(f"/acme/access-requests/{request.uuid}/", {"do": do, "roles": [Role.MEMBER]})
            assert answer.status_code == 404
    assert AccessRequest.objects.waiting().count() == 3
    assert not mallory.memberships.exists()


def test_each_request_offers_the_roles_that_the_viewer_can_give_there(client, acme, agency, boss, mallory):
    grant_membership(boss, acme, roles=[Role.ADMINISTRATOR], by=SYSTEM)
    nele = factories.UserFactory()
    of_acme = AccessRequest.objects.create(organisation=acme, user=mallory, created_at=NOW)
    of_agency = AccessRequest.objects.create(organisation=agency, user=nele, created_at=NOW)
    log_in(client, boss)
    offered = {
        asked.organisation: [value for value, _label in form.fields["roles"].choices]
        for asked, form in client.get("/noorderlicht/access-requests/").context["rows"]
    }
    assert offered == {acme: list(Role), agency: [Role.ENVIRONMENT_MANAGER, Role.MEMBER]}
    for asked in (of_acme, of_agency):
        path = f"/noorderlicht/access-requests/{asked.uuid}/"
        client.post(path, {"do": "accept", "roles": [Role.ADMINISTRATOR]})
    assert mallory.memberships.get().roles == [Role.ADMINISTRATOR]
    assert not nele.memberships.exists()


def test_requests_of_a_suspended_organisation_wait_for_a_super_user(client, acme, agency, boss, mallory):
    asked = AccessRequest.objects.create(organisation=acme, user=mallory)
    Organisation.objects.filter(pk=acme.pk).update(is_suspended=True)
    path = f"/noorderlicht/access-requests/{asked.uuid}/"
    client.force_login(boss)
    assert client.get("/noorderlicht/access-requests/").context["rows"] == []
    assert client.post(path, {"do": "accept", "roles": [Role.MEMBER]}).status_code == 404
    log_in(client, factories.UserFactory(is_superuser=True))
    assert len(client.get("/noorderlicht/access-requests/").context["rows"]) == 1
    client.post(path, {"do": "reject"})
    assert not AccessRequest.objects.waiting().exists()


def test_a_request_that_two_people_answer_on_two_pages_is_answered_once(client, acme, agency, boss, mallory):
    asked = AccessRequest.objects.create(organisation=acme, user=mallory)
    client.force_login(boss)
    client.post(f"/noorderlicht/access-requests/{asked.uuid}/", {"do": "reject"})
    client.force_login(factories.member(acme, Role.ENVIRONMENT_MANAGER))
    answer = client.post(f"/acme/access-requests/{asked.uuid}/", {"do": "accept", "roles": [Role.MEMBER]}, follow=True)
    assert "Somebody has already answered this request." in answer.text
    assert not mallory.memberships.exists()


def test_a_role_that_reads_no_requests_at_the_agency_reads_none_of_below(client, acme, agency):
    client.force_login(factories.member(agency, Role.MEMBER))
    assert client.get("/noorderlicht/access-requests/").status_code == 403
