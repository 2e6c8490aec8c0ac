"""One question before what is small and hard to undo: it names what ends, and changes nothing before the answer."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect
from social_django.models import UserSocialAuth

from accounts.models import User
from agencies.bulk.services import run_bulk_change, start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.models import BulkChange
from agencies.organisation_templates.services import create_template
from agencies.organisation_templates.values import TemplateValues
from archival.exports.services import request_exports
from archival.holds.services import place_hold
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys import services as keys
from environments.memberships import grant_membership
from environments.models import Invitation, Membership, Organisation, OrganisationDomain
from environments.policies.retention import Retention
from tests import factories
from tests.browser import log_in_page
from tests.logging_in import log_in
from tests.own_providers import own_provider

KINDS = [
    *("member", "invitation", "organisation key", "key of a member", "own key", "domain", "identity", "factor"),
    *("hold", "other sessions", "own membership", "invitation link", "bulk change", "user", "move", "suspension"),
    "template",
    "identity provider",
    "export",
]


@dataclass
class Asked:
    """A row of a page, and the question that its button leads to."""

    row: Model
    page: str
    button: str
    question: str
    names: list[str]
    verb: str
    typed: tuple[str, str, str] | None = None  # a field, what is typed into it, and the button that leads to the names
    until: dict[str, Any] = field(default_factory=dict)  # of the row, until the answer

    @property
    def is_there(self) -> bool:
        return type(self.row)._default_manager.filter(pk=self.row.pk, **self.live, **self.until).exists()

    @property
    def live(self) -> dict[str, Any]:
        return {ended: None for ended in ("revoked_at", "released_at", "ended_at") if hasattr(self.row, ended)}


class AskedOfJob(Asked):
    @property
    def is_there(self) -> bool:
        return not BulkChange.objects.filter(reverts=self.row).exists()


def bulk_change(acme, by) -> Asked:
    agency, wanted = Organisation.objects.get(slug="noorderlicht"), Wanted(retention=Retention.limit(90))
    job = start_bulk_change(agency, [acme], wanted=wanted, by=by, now=timezone.now())
    run_bulk_change(job, seconds=60)
    names = ["where nobody has changed them since", "stays deleted", "waits again"]
    page, question = f"/noorderlicht/environments/changes/{job.uuid}/", "Revert the bulk change in 1 environment?"
    return AskedOfJob(job, page, "Revert…", question, names, "Revert the bulk change")


def asked(kind: str, acme, ada) -> Asked:
    now, by = timezone.now(), Caller.of(ada)
    if kind in {"move", "suspension", "member", "user", "identity provider"}:
        return about_person(acme, kind) if kind in {"member", "user"} else about_place(acme, kind)
    if kind == "invitation":
        new = invite(acme, email="new@acme.test", roles=[Role.DEVELOPER], by=by, now=now)
        question, names = "Withdraw the invitation of new@acme.test?", ["Developer", "Link in the mail"]
        button = "Withdraw the invitation of new@acme.test"
        return Asked(new, "/acme/members/", button, question, names, "Withdraw the invitation")
    if kind == "invitation link":
        link, _token = create_link(acme, note="Nina", roles=[Role.DEVELOPER], by=by, now=now)
        names, page = ["Nina", "Developer", "are no longer offered"], "/acme/members/links/"
        return Asked(link, page, "Nina", "Revoke the invitation link?", names, "Revoke the link")
    if kind == "organisation key":
        key, _raw = keys.create_organisation_key(acme, name="Import", roles=[Role.DEVELOPER], by=by, now=now)
        return about_key(key, "/acme/api-keys/")
    if kind == "key of a member":
        vic = factories.member(acme, Role.DEVELOPER, name="Vic Smit")
        key, _raw = keys.create_personal_key(vic, name="Import", by=Caller.of(vic), now=now)
        return about_key(key, "/acme/api-keys/", "Vic Smit", "gets a mail")
    if kind == "own key":
        key, _raw = keys.create_personal_key(ada, name="Import", by=by, now=now)
        return about_key(key, "/profile/api-keys/")
    if kind == "domain":
        domain = OrganisationDomain.objects.create(organisation=acme, domain="acme.test", token="token")
        names = ["Joining by this domain", "Mailed links to join stop working too.", "DNS record"]
        question = "Remove acme.test from Acme?"
        return Asked(domain, "/acme/settings/", "Remove acme.test", question, names, "Remove the domain")
    if kind == "template":
        by, agency = Caller.of(factories.UserFactory(is_superuser=True)), acme.get_parent()
        made = create_template(agency, TemplateValues("Standard", Retention.limit(90)), by=by, now=now)
        names = ["90 days", "What was created by it keeps its settings and roles."]
        question, verb = "Delete the template Standard?", "Delete the template Standard"
        return Asked(made, "/noorderlicht/templates/", "Delete… Standard", question, names, verb)
    if kind in {"hold", "export"}:
        return about_retention(acme, by, kind)
    return about_oneself(kind, acme, ada)


def about_retention(acme: Organisation, by: Caller, kind: str) -> Asked:
    now = timezone.now()
    if kind == "export":
        (export,) = request_exports([acme], by=by, now=now)
        page, names = f"/acme/exports/{export.uuid}/", ["The export of Acme", "stay as they are"]
        return Asked(export, page, "Stop the export…", "Stop the export?", names, "Stop the export")
    hold = place_hold(acme, reason="Claims dispute", by=by, now=now)
    names = ["Claims dispute", "The whole environment", "is permanently deleted"]
    button = "Release… Claims dispute"
    return Asked(hold, "/acme/retention/holds/", button, "Release the legal hold?", names, "Release the legal hold")


def about_oneself(kind: str, acme, ada) -> Asked:
    if kind == "identity":
        identity = UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada", id_key="sub")
        names = ["no longer opens your account", "Sessions"]
        return Asked(identity, "/profile/security/", "Unlink Acme", "Unlink Acme?", names, "Unlink the identity")
    if kind == "other sessions":
        log_in(Client(), ada)
        other, names = ada.sessions.latest("pk"), ["1 session ends immediately.", "This session stays"]
        button, question = "Log out everywhere else…", "Log out everywhere else?"
        return Asked(other, "/profile/security/", button, question, names, "Log out everywhere else")
    if kind == "own membership":
        mine = grant_membership(ada, acme, roles=[Role.DEVELOPER], by=SYSTEM)
        names = ["Developer", "Acme and everything below it", "Personal keys", "What you are responsible for"]
        return Asked(mine, "/profile/", "Leave Acme", "Leave Acme?", names, "Leave the organisation")
    phone = ada.totpdevice_set.get()
    names = ["Your recovery codes are deleted with it"]
    return Asked(phone, "/profile/security/", "Remove Phone", "Remove Phone?", names, "Remove the factor")


def about_place(acme: Organisation, kind: str) -> Asked:
    if kind == "identity provider":
        provider = own_provider(acme)
        names, verb = ["Sessions", "Linked identities", "end at their next request"], "Turn the provider off"
        page, until = f"/acme/providers/{provider.key}/", {"state": "on"}
        return Asked(provider, page, "Turn off…", "Turn off Acme ID?", names, verb, until=until)
    page = "/acme/organisation/"
    if kind == "suspension":
        names = ["Environments", "from the next request on", "Data keeps ageing"]
        until = {"suspended_at": None}
        return Asked(acme, page, "Suspend…", "Suspend Acme?", names, "Suspend Acme", until=until)
    factories.organisation(Kind.CUSTOMER, parent=acme.get_parent(), name="Maasborg", slug="maasborg")
    names, until = ["What changes below Maasborg", "People who lose access from above"], {"path": acme.path}
    verb = "Move Acme below Maasborg"
    return Asked(
        acme, page, "Move…", "Move Acme", names, verb, until=until, typed=("to", "maasborg", "Show what changes")
    )


def about_person(acme: Organisation, kind: str) -> Asked:
    vic = factories.member(acme, Role.DEVELOPER, name="Vic Smit")
    membership = vic.memberships.get()
    if kind == "user":
        page, question = f"/noorderlicht/users/{vic.pk}/", "Remove Vic Smit from everything in Noorderlicht Digital?"
        names = ["1 membership ends at the next request", "Acme: Developer", "Vic Smit gets one mail about it."]
        return Asked(membership, page, "Remove from everything…", question, names, "End 1 membership")
    names = ["Developer", "Acme and everything below it", "Personal keys", "open invitations are withdrawn"]
    page, question = f"/acme/members/{membership.pk}/", "Remove Vic Smit from Acme?"
    return Asked(membership, page, "Remove from the organisation…", question, names, "Remove from the organisation")


def about_key(key, page: str, *names: str) -> Asked:
    said = [f"studio_{key.prefix}_…", "Last used", "are refused from the next one on", *names]
    return Asked(key, page, "Revoke Import", "Revoke Import?", said, "Revoke the key")


@pytest.fixture
def ada(db) -> User:
    agency = factories.organisation(name="Noorderlicht Digital", slug="noorderlicht")
    factories.environment(parent=agency, name="Acme", slug="acme")
    return factories.member(agency, email="ada@acme.test", name="Ada")


@pytest.fixture
def acme(ada):
    return Organisation.objects.get(slug="acme")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_small_and_hard_to_undo_is_asked_once_without_scripts_too(open_page, ada, acme, kind):
    page = open_page(java_script_enabled=False)
    log_in_page(page, ada)
    one = bulk_change(acme, Caller.of(ada)) if kind == "bulk change" else asked(kind, acme, ada)
    page.goto(one.page)
    page.get_by_label(one.button).or_(page.get_by_role("link", name=one.button, exact=True)).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(one.question)
    if one.typed:
        name, value, button = one.typed
        page.locator(f"[name={name}]").fill(value)
        page.get_by_role("button", name=button).click()
    for words in one.names:
        expect(page.get_by_role("main")).to_contain_text(words)
    assert one.is_there
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(re.compile(re.escape(one.page) + "$"))
    page.go_back()
    page.get_by_role("button", name=one.verb, exact=True).click()
    expect(page.locator(".messages")).to_be_visible()
    assert not one.is_there


def test_the_question_says_that_roles_above_still_give_access(client, ada, acme):
    vic = factories.member(acme, Role.DEVELOPER)
    path = f"/acme/members/{vic.memberships.get().pk}/remove/"
    log_in(client, ada)
    words = "So does the access that roles in an organisation above give."
    assert words not in client.get(path).text
    Membership.objects.create(
        user=vic, organisation=ada.memberships.get().organisation, roles=[Role.MEMBER], accepted_at=timezone.now()
    )
    assert words in client.get(path).text


def test_what_cannot_be_done_is_not_asked(client, ada):
    agency = ada.memberships.get().organisation
    emma = factories.member(agency, Role.ENVIRONMENT_MANAGER)
    log_in(client, ada)
    last = client.get(f"/noorderlicht/members/{ada.memberships.get().pk}/remove/", follow=True).text
    assert "The last Administrator of Noorderlicht Digital cannot be removed or demoted." in last
    bea = factories.member(agency)
    open_one = invite(agency, email="new@acme.test", roles=[Role.ADMINISTRATOR], by=Caller.of(bea), now=timezone.now())
    log_in(client, emma)
    higher = client.get(f"/noorderlicht/members/{bea.memberships.get().pk}/remove/", follow=True).text
    assert "This member has a role with more permissions than your own." in higher
    answer = client.get(f"/noorderlicht/invitations/{open_one.pk}/")
    assert (answer.status_code, "more permissions than your own" in answer.text) == (403, True)


def test_an_expired_invitation_can_be_withdrawn_by_anybody_who_invites(client, ada, acme):
    now = timezone.now()
    open_one = invite(acme, email="new@acme.test", roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=now)
    Invitation.objects.update(expires_at=now - timedelta(days=1))
    log_in(client, factories.member(acme, Role.ENVIRONMENT_MANAGER))
    assert client.get(f"/acme/invitations/{open_one.pk}/").status_code == 200
