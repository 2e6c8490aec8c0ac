"""An Administrator looks as a member: with both names on record, what both may, and without changing anything."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts.gate import OPEN_VIEWS
from accounts.models import SessionRecord, User
from accounts.sessions import services as sessions
from audit.context import current
from audit.models import Event
from audit.services import record
from environments.caller import SYSTEM, Caller
from environments.choices import PERMISSIONS, Permission, Role
from environments.impersonation.services import (
    OWN_VIEWS,
    is_closed,
    obstacle_to_impersonation,
    put_member_in_place,
)
from environments.members.services import change_roles, remove_member
from environments.memberships import grant_membership
from environments.models import Membership, Organisation
from environments.policies.resolve import resolve as resolve_policies
from tests import factories
from tests.accounts.test_sweep import METHODS, addresses
from tests.browser import log_in_page
from tests.environments.test_permissions import ABOVE_ENVIRONMENTS, PAGES, address_of
from tests.logging_in import code, expire_step_up, give_app, log_in
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db
STOP, STEP_UP = "/impersonate/stop/", "/profile/security/confirm/"


@pytest.fixture
def vic(acme) -> User:
    return factories.member(acme, Role.MEMBER, email="vic@acme.test", name="Vic")


def membership(user: User, organisation: Organisation) -> Membership:
    return Membership.objects.select_related("user", "organisation").get(user=user, organisation=organisation)


def begin(client: Client, user: User, organisation: Organisation):
    address = f"/{organisation.slug}/members/{membership(user, organisation).pk}/impersonate/"
    return client.post(address)


@pytest.fixture
def eyes(client, ada, vic, acme) -> Client:
    """Ada's browser, while she looks as Vic."""
    log_in(client, ada)
    assert begin(client, vic, acme).url == "/acme/"
    return client


def whose(client: Client) -> str:
    return client.get("/organisations/").wsgi_request.user.email


def test_the_notice_says_whose_eyes_and_stop_ends_it(eyes, acme):
    page = eyes.get("/acme/")
    assert "Viewing as <b>Vic</b>" in page.content.decode()
    assert "<title>Vic: " in page.content.decode()
    assert whose(eyes) == "vic@acme.test"

    assert eyes.post(STOP).url == "/acme/members/"

    assert "Viewing as" not in eyes.get("/acme/members/").content.decode()
    assert whose(eyes) == "ada@acme.test"


@pytest.mark.parametrize("role", Role)
def test_only_what_both_can_do_is_open(client, ada, acme, role):
    member = factories.member(acme, role)
    log_in(client, ada)
    begin(client, member, acme)
    answered = {name: client.get(address_of(name)).status_code for name in PAGES.keys() - ABOVE_ENVIRONMENTS}
    pages = {name: status for name, status in answered.items() if status != 405}  # the others take POST alone
    assert set(pages.values()) <= {200, 302, 403, 404}
    assert {name for name, status in pages.items() if status == 403} == {
        name for name in pages if PAGES[name] not in PERMISSIONS[role]
    }


def test_what_the_member_reaches_elsewhere_stays_closed(client, ada, vic, acme, agency):
    other = factories.environment(parent=agency, slug="other", name="Other place")
    for place in (other, agency):
        Membership.objects.create(user=vic, organisation=place, roles=[Role.ADMINISTRATOR], accepted_at=timezone.now())
    log_in(client, ada)
    begin(client, vic, acme)
    assert [client.get(f"/{slug}/").status_code for slug in ("acme", "other", "noorderlicht")] == [200, 404, 404]
    for page in ("/organisations/", "/switch/"):
        listed = client.get(page).content.decode()
        assert "Other place" not in listed
        assert "Noorderlicht" not in listed


def test_permissions_that_the_member_has_from_above_count_here_too(client, ada, vic, acme, agency):
    Membership.objects.create(
        user=vic, organisation=agency, roles=[Role.ORGANISATION_MANAGER], accepted_at=timezone.now()
    )
    log_in(client, ada)
    begin(client, vic, acme)
    assert client.get("/acme/settings/advanced/").status_code == 200


def state() -> dict[str, int]:
    """Return each table's count and hash of rows."""
    with connection.cursor() as cursor:
        tables = [table for table in connection.introspection.table_names(cursor) if table != "django_session"]
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*), COALESCE(sum(hashtext(t::text)), 0) FROM "{table}" t')
            counts[table] = cursor.fetchone()
    return counts


def test_no_address_changes_anything_and_nothing_personal_answers(eyes, vic, monkeypatch):
    monkeypatch.setattr(sessions, "SEEN_EVERY", timedelta(hours=1))  # a slow machine needs more than a minute
    give_app(vic)
    before, wrong = state(), []
    for address in addresses():
        name = resolve(address).view_name
        if name in OWN_VIEWS:
            continue
        for method in METHODS:
            answer = eyes.generic(method, address)
            is_safe = method in {"GET", "HEAD", "OPTIONS"}
            is_open = is_safe and name in OPEN_VIEWS
            is_personal = address.startswith(("/profile/", "/api/")) and not is_open
            if (not is_safe or is_personal) and answer.status_code not in {403, 405}:
                wrong.append(f"{method} {address} ({name}) answered {answer.status_code}")
    assert wrong == []
    assert state() == before
    assert whose(eyes) == "vic@acme.test"


def test_a_key_cannot_ride_along(eyes):
    answer = eyes.get("/api/v1/organisations/", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 403


def test_an_export_of_personal_data_is_refused(client, ada, acme):
    another = factories.member(acme, Role.ADMINISTRATOR)
    of_acme = factories.contact(of=acme, now=timezone.now())
    log_in(client, ada)
    begin(client, another, acme)
    answer = client.get(f"/acme/contacts/{of_acme.uuid}/export/", follow=True)
    assert answer.status_code == 403


def test_it_begins_only_stepped_up(client, ada, vic, acme):
    log_in(client, ada)
    expire_step_up()
    assert begin(client, vic, acme).url.startswith("/profile/security/confirm/")
    assert SessionRecord.objects.filter(looks_until=None).count() == 1


@pytest.mark.parametrize("role", [role for role in Role if Permission.IMPERSONATE not in role.permissions])
def test_no_lower_role_looks_as_anybody(client, vic, acme, role):
    log_in(client, factories.member(acme, role))
    assert begin(client, vic, acme).status_code == 403


def test_a_stranger_learns_nothing(client, vic, acme):
    log_in(client, factories.member(factories.environment()))
    assert begin(client, vic, acme).status_code == 404


def test_nobody_looks_as_themselves_a_super_user_or_somebody_without_access(client, ada, vic, acme):
    User.objects.filter(pk=vic.pk).update(is_superuser=True)
    waiting, gone = factories.member(acme), factories.member(acme)
    Membership.objects.filter(user=waiting).update(accepted_at=None)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    log_in(client, ada)
    for user in (ada, vic, waiting, gone):
        assert begin(client, user, acme).status_code == 403
        assert obstacle_to_impersonation(Caller.of(ada), membership(user, acme))
    assert not Event.objects.filter(action="impersonation.begun").exists()


def test_nobody_looks_through_two_pairs_of_eyes(client, ada, acme):
    another, third = factories.member(acme), factories.member(acme)
    log_in(client, ada)
    begin(client, another, acme)
    assert begin(client, third, acme).status_code == 403
    assert whose(client) == another.email


ENDS = {
    "an hour later": lambda ada, vic, acme: SessionRecord.objects.update(looks_until=timezone.now()),
    "the member left": lambda ada, vic, acme: Membership.objects.filter(user=vic).delete(),
    "the member is a super user now": lambda ada, vic, acme: User.objects.filter(pk=vic.pk).update(is_superuser=True),
    "the member is not active": lambda ada, vic, acme: User.objects.filter(pk=vic.pk).update(is_active=False),
    "the right has ended": lambda ada, vic, acme: Membership.objects.filter(user=ada).update(roles=[Role.MEMBER]),
    "the place is suspended": lambda ada, vic, acme: Organisation.objects.filter(pk=acme.pk).update(is_suspended=True),
}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("how", ENDS)
def test_it_ends_at_the_next_request(eyes, ada, vic, acme, how, method):
    ENDS[how](ada, vic, acme)
    assert getattr(eyes, method)("/acme/settings/").url == "/"
    ended = Event.objects.get(action="impersonation.ended", organisation_id=acme.pk)
    assert (ended.actor_label, ended.impersonator_label) == ("ada@acme.test", "")
    assert whose(eyes) == "ada@acme.test"


def removed_and_added_again(user: User, acme: Organisation) -> None:
    remove_member(membership(user, acme), by=SYSTEM, now=timezone.now())
    grant_membership(user, acme, roles=[Role.ADMINISTRATOR], by=SYSTEM)


def demoted_and_promoted_again(user: User, acme: Organisation) -> None:
    for role in (Role.DEVELOPER, Role.ADMINISTRATOR):
        change_roles(membership(user, acme), roles=[role], by=SYSTEM, now=timezone.now())


def switched_off_and_on_again(user: User, acme: Organisation) -> None:
    for is_active in (False, True):
        User.objects.filter(pk=user.pk).update(is_active=is_active)


COMES_BACK = {
    "the member was removed and added again": ("vic", removed_and_added_again),
    "the member was switched off and on again": ("vic", switched_off_and_on_again),
    "the impersonator was removed and added again": ("ada", removed_and_added_again),
    "the impersonator lost the right and got it back": ("ada", demoted_and_promoted_again),
}


@pytest.mark.parametrize("how", COMES_BACK)
def test_it_does_not_go_on_when_its_cause_comes_back_within_the_hour(eyes, ada, vic, bea, acme, how):
    whom, come_back = COMES_BACK[how]
    come_back({"ada": ada, "vic": vic}[whom], acme)
    assert eyes.post("/acme/settings/", {"do": "name", "name": "Changed"}).url == "/"
    assert whose(eyes) == "ada@acme.test"
    assert Organisation.objects.get(pk=acme.pk).name == "Acme"
    assert Event.objects.filter(action="impersonation.ended", organisation_id=acme.pk).count() == 1


def test_it_goes_on_when_others_leave_or_its_member_gets_other_roles(eyes, vic, bea, acme):
    remove_member(membership(bea, acme), by=SYSTEM, now=timezone.now())
    change_roles(membership(vic, acme), roles=[Role.DEVELOPER], by=SYSTEM, now=timezone.now())
    assert whose(eyes) == "vic@acme.test"


def test_the_end_of_the_session_ends_it(eyes, ada):
    ada.sessions.end_sessions(now=timezone.now(), why="by the test")
    assert eyes.get("/acme/").url == "/login/?next=/acme/"
    log_in(eyes, ada)
    assert whose(eyes) == "ada@acme.test"


def test_logging_out_logs_the_impersonator_out(eyes, ada, vic):
    assert eyes.post("/logout/").status_code == 302
    assert eyes.get("/acme/").url.startswith("/login/")
    assert set(Event.objects.filter(action="session.ended").values_list("actor_label", flat=True)) == {ada.email}
    assert Event.objects.filter(action="impersonation.ended", actor_id=ada.pk, subject_id=vic.pk).exists()


@pytest.mark.way("Tokens and recovery: an impersonator without MFA")
def test_the_impersonator_is_judged_not_the_member(client, ada, vic, acme):
    give_app(vic)
    Organisation.objects.filter(pk=acme.pk).update(require_mfa="off")
    client.force_login(ada)
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    assert begin(client, vic, acme).url == "/acme/"
    assert client.get("/acme/").status_code == 200

    Organisation.objects.filter(pk=acme.pk).update(require_mfa="on")
    resolve_policies(acme, now=timezone.now())

    assert client.get("/acme/").url == "/enrol/?next=/acme/"
    give_app(ada)
    assert client.get("/acme/").url == "/verify/?next=/acme/"
    client.post("/verify/", {"code": code()})
    assert whose(client) == "vic@acme.test"


def test_a_member_who_lacks_a_factor_can_be_looked_as(client, ada, vic, acme):
    Organisation.objects.filter(pk=acme.pk).update(require_mfa="on")
    resolve_policies(acme, now=timezone.now())
    log_in(client, ada)
    begin(client, vic, acme)
    assert whose(client) == "vic@acme.test"


def test_it_is_on_record_under_both_names_and_the_member_gets_a_mail(
    client, ada, vic, acme, django_capture_on_commit_callbacks
):
    log_in(client, ada)
    with django_capture_on_commit_callbacks(execute=True):
        begin(client, vic, acme)
    event = Event.objects.get(action="impersonation.begun", organisation_id=acme.pk)
    assert (event.actor_label, event.subject_label) == (ada.email, vic.email)
    (sent,) = [each for each in sent_mails() if each.to == [vic.email]]
    assert "Ada, an Administrator of Acme" in sent.body
    assert "Ada, an Administrator of Acme" in sent.alternatives[0].content
    client.post(STOP)
    log_in(client, vic)
    events = client.get("/profile/security/").content.decode()
    assert "An administrator started viewing Studio as you: Ada" in events
    assert "An administrator stopped viewing Studio as you: Ada" in events


def test_an_event_of_such_a_request_carries_both_names(eyes, ada, vic):
    request = eyes.get("/acme/").wsgi_request
    before = current.get()
    put_member_in_place(request, request.impersonation)  # as behind the gate, where the context ends with the request
    event = record("test.happened", by=request.caller)
    current.set(before)
    assert (event.actor_label, event.impersonator_label) == (vic.email, ada.email)


def test_what_would_be_refused_is_switched_off_on_every_page_that_says_read_only(client, ada, acme):
    another = factories.member(acme, Role.ADMINISTRATOR, name="Ann <b>")
    log_in(client, ada)
    begin(client, another, acme)
    own = {reverse(name) for name in OWN_VIEWS}
    alive, off = [], 0
    for name in PAGES:
        answer = client.get(address_of(name))
        if answer.status_code != 200 or "html" not in answer.headers["Content-Type"]:
            continue
        page = answer.content.decode()
        assert ("Viewing as <b>Ann &lt;b&gt;</b>, read-only, until" in page) == ("<html" in page), name
        for tag, inside in re.findall(r'(<form\b[^>]*method="post"[^>]*>)(.*?)</form>', page, re.DOTALL):
            begins = '<fieldset class="read-only" disabled title="Read-only while you view Studio as Ann &lt;b&gt;.">'
            if inside.startswith(begins) and inside.endswith("</fieldset>"):
                off += 1
            elif not any(f'action="{address}"' in tag for address in own):
                alive.append(f"{name}: {tag}")
    assert alive == []
    assert off > 5


def test_no_link_of_any_page_ends_in_a_refusal(client, ada, acme, agency):
    another = factories.member(acme, Role.ADMINISTRATOR)
    factories.conversation(of=acme, days_ago=[1], now=timezone.now())
    log_in(client, ada)
    begin(client, another, acme)
    contact = factories.contact(of=acme, now=timezone.now())
    pages = [*map(address_of, PAGES), "/organisations/", f"/acme/contacts/{contact.uuid}/"]
    shown = "".join(
        answer.content.decode()
        for answer in map(client.get, pages)
        if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    )
    links = {unescape(link) for link in re.findall(r'<a\b[^>]*\shref="(/[^"]*)"', shown)}
    assert {"/acme/members/", "/acme/audit/"} <= links
    assert {link for link in links if client.get(link, follow=True).status_code == 403} == set()
    assert re.search(r'<a class="button"\s+role="link" aria-disabled="true" title="Read-only [^"]*">', shown)


def test_every_page_that_asks_to_step_up_is_closed(client, ada, acme):
    log_in(client, ada)
    expire_step_up()
    asking = [address for address in addresses() if client.get(address).headers.get("Location", "").startswith(STEP_UP)]
    assert {"archival:delete-organisation", "archival:confirm-guard"} <= {resolve(each).view_name for each in asking}
    assert [address for address in asking if not is_closed(address)] == []


@pytest.mark.browser
def test_buttons_that_save_are_disabled_and_those_that_filter_or_stop_are_not(page, transactional_db, ada, acme):
    another = factories.member(acme, Role.ADMINISTRATOR, name="Ann")
    log_in_page(page, ada)
    page.goto(f"/acme/members/{membership(another, acme).pk}/")
    page.get_by_role("button", name="View as this member").click()
    page.get_by_text("Viewing as Ann").wait_for()
    page.goto("/acme/members/")
    expect(page.get_by_role("button", name="Send the invitation")).to_be_disabled()
    expect(page.get_by_role("button", name="Filter")).to_be_enabled()
    expect(page.get_by_role("button", name="Stop viewing")).to_be_enabled()


@pytest.mark.browser
def test_the_notice_is_in_view_and_ends_it(page, transactional_db, ada, vic, acme):
    log_in_page(page, ada)
    page.goto(f"/acme/members/{membership(vic, acme).pk}/")
    page.get_by_role("button", name="View as this member").click()
    page.get_by_text("Viewing as Vic").wait_for()
    page.get_by_role("button", name="Stop viewing").click()
    page.get_by_text("You are no longer viewing Studio as another person.").wait_for()


def test_the_button_is_there_for_whoever_has_the_permission(client, ada, vic, acme):
    address = f"/acme/members/{membership(vic, acme).pk}/"
    log_in(client, ada)
    assert "/impersonate/" in client.get(address).content.decode()
    manager = Client()
    log_in(manager, factories.member(acme, Role.ENVIRONMENT_MANAGER))
    assert "/impersonate/" not in manager.get(address).content.decode()


def test_a_super_user_can_impersonate_a_member(client, vic, acme):
    root = factories.UserFactory(is_superuser=True)
    log_in(client, root)
    begin(client, vic, acme)
    assert [client.get(page).status_code for page in ("/acme/", "/acme/members/")] == [200, 403]
