"""Access requests are mailed to those who can answer, and the answer to the person who asked."""

import re

import pytest
from django.utils import timezone

from accounts.models import User
from environments.access_requests import services as access_requests
from environments.caller import Caller
from environments.choices import Role
from environments.models import AccessRequest
from tests import factories
from tests.accounts.test_mails import seen, sent_by, words_of

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
    assert "/acme/access-requests/" in mails[0].body
    assert "evil.example" not in mails[0].body + seen(mails[0].alternatives[0].content)


def test_where_nobody_of_the_organisation_can_answer_the_nearest_above_are_mailed(acme, agency, mallory):
    factories.member(acme, Role.MEMBER)
    factories.member(agency, email="above@agency.test")
    assert recipients(sent_by(lambda: ask(mallory))) == ["above@agency.test"]


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
    assert "Mallory is now a member." in answer
    assert mallory.memberships.get().roles == [Role.MEMBER]


def test_a_role_above_ones_own_is_refused_with_that_reason(client, acme, mallory):
    asked = ask(mallory)
    client.force_login(factories.member(acme, Role.ENVIRONMENT_MANAGER))
    answer = client.post(
        f"/acme/access-requests/{asked.uuid}/", {"do": "accept", "roles": [Role.ADMINISTRATOR]}, follow=True
    )
    assert "You cannot give a role with more permissions than your own." in answer.content.decode()
    assert not mallory.memberships.exists()
