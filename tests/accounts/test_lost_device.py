"""A lost device is reset by whoever administers everything that its owner reaches, and by nobody else."""

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.requirement import has_factor
from audit.models import Event
from environments.caller import NOBODY, SYSTEM, Caller
from environments.choices import Role
from environments.keys.services import create_personal_key
from environments.lost_device.services import obstacle_to_reset, reset_factors
from environments.models import ApiKey, Membership
from tests.factories import NOW, UserFactory, environment, member, organisation
from tests.logging_in import expire_step_up, give_app, give_password, log_in


@pytest.fixture
def vic(acme):
    vic = member(acme, Role.MEMBER, email="vic@acme.test")
    give_app(vic)
    return vic


@pytest.mark.way("Tokens and recovery: sessions that survive a reset of the factors")
def test_an_administrator_of_everything_resets_and_every_session_and_key_ends(ada, vic, acme):
    visitor = Client()
    log_in(visitor, vic)
    ApiKey.objects.create(name="key", owner=vic, created_by=vic, prefix="abc", hash="x")

    assert reset_factors(vic, by=Caller.of(ada), now=NOW) == 1

    assert not has_factor(vic)
    assert visitor.get("/profile/security/").status_code == 302
    assert ApiKey.objects.get().revoked_at == NOW
    assert Event.objects.filter(action="factors.reset", organisation_id=acme.pk, subject_id=vic.pk).count() == 1


@pytest.mark.way("Tokens and recovery: an administrator of one tenant resets a user of others")
def test_one_tenants_administrator_cannot_reset_somebody_of_other_tenants(ada, vic):
    other = environment()
    Membership.objects.create(user=vic, organisation=other, roles=[Role.MEMBER], accepted_at=timezone.now())
    with pytest.raises(PermissionDenied):
        reset_factors(vic, by=Caller.of(ada), now=NOW)
    assert has_factor(vic)


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMINISTRATOR])
def test_no_lower_role_resets(vic, acme, role):
    with pytest.raises(PermissionDenied):
        reset_factors(vic, by=Caller.of(member(acme, role)), now=NOW)


def test_nobody_resets_their_own_factors_or_those_of_a_super_user_or_stranger(ada, vic, acme):
    vic.is_superuser = True
    vic.save()
    root = UserFactory(is_superuser=True)
    for by, user in ((ada, ada), (ada, vic), (ada, UserFactory()), (root, root), (root, vic)):
        with pytest.raises(PermissionDenied):
            reset_factors(user, by=Caller.of(by), now=NOW)
    assert reset_factors(vic, by=SYSTEM, now=NOW) == 1  # the command line


def test_the_command_lists_the_factors_in_a_dry_run_and_then_removes_them(vic, capsys):
    call_command("reset_mfa", "VIC@acme.test", "--dry-run")
    assert has_factor(vic)
    call_command("reset_mfa", "vic@acme.test")
    assert not has_factor(vic)
    assert "would lose these factors: Phone" in capsys.readouterr().out


def page_of(vic) -> str:
    return f"/acme/members/{vic.memberships.get(organisation__slug='acme').pk}/reset-factors/"


@pytest.fixture
def logged_in_client():
    def logged_in(user) -> Client:
        visitor = Client()
        log_in(visitor, user)
        return visitor

    return logged_in


def test_the_page_shows_what_is_removed_and_asks_for_the_typed_address(ada, vic, acme, logged_in_client):
    logged_in_client(vic)
    ApiKey.objects.create(name="nightly import", owner=vic, created_by=vic, prefix="abc", hash="x")
    browser = logged_in_client(ada)
    page = browser.get(page_of(vic)).content.decode()
    for told in ("Phone", "nightly import", "Unknown browser", "vic@acme.test"):
        assert told in page
    for typed in ("", "ada@acme.test"):
        assert browser.post(page_of(vic), {"email": typed}).status_code == 200
    assert has_factor(vic)
    assert browser.post(page_of(vic), {"email": "VIC@acme.test"}).status_code == 302
    assert not has_factor(vic)
    assert ApiKey.objects.get().revoked_at is not None
    assert set(Event.objects.filter(subject_id=vic.pk).values_list("action", flat=True)) >= {"factors.reset"}


def test_the_page_is_step_up_gated(ada, vic, logged_in_client):
    browser = logged_in_client(ada)
    expire_step_up()
    for answer in (browser.get(page_of(vic)), browser.post(page_of(vic), {"email": vic.email})):
        assert answer.url.startswith("/profile/security/confirm/")
    assert has_factor(vic)


@pytest.mark.parametrize(
    ("who", "shown", "done"),
    [
        ("administrator", 200, True),
        ("super user", 200, True),
        ("manager", 200, False),
        ("member", 403, False),
        ("stranger", 404, False),
    ],
)
def test_the_page_follows_the_rule_of_who_can_reset(vic, acme, logged_in_client, who, shown, done):
    by = {
        "administrator": lambda: member(acme, Role.ADMINISTRATOR),
        "super user": lambda: UserFactory(is_superuser=True),
        "manager": lambda: member(acme, Role.ORGANISATION_MANAGER),
        "member": lambda: member(acme, Role.MEMBER),
        "stranger": UserFactory,
    }[who]()
    browser = logged_in_client(by)
    page = browser.get(page_of(vic))
    assert page.status_code == shown
    assert ("You cannot do this" in page.content.decode()) is (shown == 200 and not done)
    answer = browser.post(page_of(vic), {"email": vic.email})
    assert answer.status_code == (302 if done else max(shown, 403))
    assert has_factor(vic) is not done


def test_the_page_says_who_can_help_where_the_viewer_cannot(ada, vic, acme, logged_in_client):
    other = environment(name="Secret Labs")
    Membership.objects.create(user=vic, organisation=other, roles=[Role.MEMBER], accepted_at=timezone.now())
    browser = logged_in_client(ada)
    page = browser.get(page_of(vic)).content.decode()
    assert "Ask a super user of this installation." in page
    assert "Secret Labs" not in page
    assert "Ask another Administrator" in browser.get(page_of(ada)).content.decode()
    vic.is_superuser = True
    vic.save()
    assert "Only an operator of this server" in browser.get(page_of(vic)).content.decode()
    assert [browser.post(page_of(one), {"email": one.email}).status_code for one in (ada, vic)] == [403, 403]


def test_the_page_that_asks_for_a_code_says_who_can_help(client, ada):
    give_app(ada)
    give_password(client, ada)
    assert "Ask an administrator of every environment" in client.get("/verify/").content.decode()
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    assert "Only an operator of this server" in client.get("/verify/").content.decode()


def test_a_reset_is_in_the_audit_log_of_every_organisation_with_the_keys_that_it_revoked(vic, acme):
    other = environment()
    Membership.objects.create(user=vic, organisation=other, roles=[Role.MEMBER], accepted_at=timezone.now())
    ApiKey.objects.create(name="key", owner=vic, created_by=vic, prefix="abc", hash="x")
    reset_factors(vic, by=Caller.of(UserFactory(is_superuser=True)), now=NOW)
    told = Event.objects.filter(action="factors.reset").exclude(organisation_id=None)
    assert set(told.values_list("organisation_id", flat=True)) == {acme.pk, other.pk}
    assert told.first().before == {"factors": 1, "sessions": 0, "api_keys": 1}
    assert Event.objects.filter(action="api_key.revoked").count() == 1


def test_nothing_but_a_person_in_their_own_name_resets(ada, vic, acme):
    other = member(acme, Role.ADMINISTRATOR)
    key, _raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=NOW)
    for by in (Caller.viewing_as(other, by=ada, below=acme), Caller.by_key(key), NOBODY):
        with pytest.raises(PermissionDenied):
            reset_factors(vic, by=by, now=NOW)
    assert has_factor(vic)
    assert "Only an Administrator of every organisation" in obstacle_to_reset(Caller.by_key(key), vic)


def test_an_impersonator_is_shown_a_reset_only_where_both_people_administer_everything(ada, vic, acme):
    other = environment()
    both = member(acme, Role.ADMINISTRATOR)
    for user, role in ((vic, Role.MEMBER), (both, Role.ADMINISTRATOR)):
        Membership.objects.create(user=user, organisation=other, roles=[role], accepted_at=timezone.now())
    assert obstacle_to_reset(Caller.of(both), vic) == ""
    for by in (Caller.viewing_as(both, by=ada, below=acme), Caller.viewing_as(ada, by=both, below=acme)):
        assert obstacle_to_reset(by, vic)
    assert obstacle_to_reset(Caller.viewing_as(both, by=UserFactory(is_superuser=True), below=acme), vic) == ""


@pytest.mark.parametrize("count", [1, 20])
def test_the_question_who_can_reset_costs_the_same_for_any_number_of_organisations(
    vic, count, django_assert_num_queries
):
    agency = organisation()
    by = member(agency, Role.ADMINISTRATOR)
    vic.memberships.all().delete()
    for _number in range(count):
        place = environment(parent=agency)
        Membership.objects.create(user=vic, organisation=place, roles=[Role.MEMBER], accepted_at=timezone.now())
    with django_assert_num_queries(2):
        assert obstacle_to_reset(Caller.of(by), vic) == ""
