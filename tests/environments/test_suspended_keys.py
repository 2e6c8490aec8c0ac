"""Keys are suspended or revoked with the permissions or the account of their person, and stay so."""

import re

import pytest
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from environments import tasks
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.keys.services import create_organisation_key, create_personal_key
from environments.lost_device.services import reset_factors
from environments.members.services import remove_member
from environments.memberships import grant_membership
from environments.models import ApiKey, Invitation, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.services import set_require_mfa
from environments.tree.services import move_organisation
from tests import factories
from tests.environments.losses import lose
from tests.environments.test_keys import SETTINGS, calling
from tests.logging_in import expire_step_up, give_app, log_in, logged_in_client
from tests.mailbox import sent_mails
from web.models import Delivery

pytestmark = pytest.mark.django_db
PAGE = "/acme/api-keys/"
LOSSES = ["removed", "demoted", "expired", "closed", "gone", "held"]


@pytest.fixture
def bea(acme):
    bea = factories.member(acme, email="bea@acme.test", name="Bea")
    give_app(bea)
    return bea


@pytest.fixture
def raw(acme, ada, bea) -> str:
    """Return a key of Acme's own, for which Ada answers."""
    return create_organisation_key(
        acme, name="Nightly import", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now()
    )[1]


def status(raw: str) -> int:
    return calling(raw).get(SETTINGS).status_code


def get_back(how: str, person, organisation) -> None:
    """Give it back to them."""
    now = timezone.now()
    if how in {"removed", "demoted", "expired"}:
        grant_membership(person, organisation, roles=[Role.ADMINISTRATOR], by=SYSTEM, now=now)
    if how == "closed":
        User.objects.filter(pk=person.pk).update(is_active=True)
    if how == "held":
        give_app(person)


@pytest.mark.parametrize("how", LOSSES)
def test_an_organisations_key_is_suspended_once_its_person_loses_the_permissions(acme, ada, bea, raw, how):
    assert status(raw) == 200
    lose(how, ada, by=bea)
    refused = calling(raw).get(SETTINGS)
    assert (refused.status_code, refused.json()["code"]) == (403, "key_rests")


@pytest.mark.parametrize("how", ["removed", "demoted", "expired", "closed", "held"])
def test_a_suspended_key_does_not_work_again_by_what_comes_back(acme, ada, bea, raw, how):
    lose(how, ada, by=bea)
    assert status(raw) == 403
    get_back(how, ada, acme)
    assert status(raw) == 403


@pytest.mark.parametrize("how", ["removed", "demoted", "expired", "closed", "held"])
def test_a_key_is_suspended_also_where_nothing_called_with_it_meanwhile(acme, ada, bea, raw, mails, how):
    lose(how, ada, by=bea)
    get_back(how, ada, acme)
    assert status(raw) == 403
    tasks.review_what_was_stored()
    assert Event.objects.filter(action="api_key.rested").count() == 1
    told = [mail.recipient for mail in Delivery.objects.filter(name="api_keys_rest").order_by("recipient")]
    assert told == ([ada.email, bea.email] if how in {"closed", "held"} else [bea.email])


def test_a_key_is_suspended_where_the_requirement_was_on_for_a_moment_alone(acme, ada, bea, raw):
    for value in ("on", "off"):
        set_require_mfa(acme, to=MfaRule(value), by=Caller.of(bea), now=timezone.now())
    assert status(raw) == 403


def test_a_key_is_suspended_where_its_person_needed_a_second_factor_for_a_moment(acme, ada, bea, raw):
    strict = factories.environment(name="Globex", slug="globex")
    set_require_mfa(strict, to=MfaRule.on(), by=SYSTEM, now=timezone.now())
    remove_member(
        grant_membership(ada, strict, roles=[Role.MEMBER], by=SYSTEM, now=timezone.now()), by=SYSTEM, now=timezone.now()
    )
    assert status(raw) == 403


def test_a_key_is_suspended_where_its_organisation_stood_elsewhere_for_a_moment(acme):
    here, there = Organisation.objects.get_parent(acme), factories.organisation(name="Elsewhere", slug="elsewhere")
    cleo = factories.member(here, email="cleo@acme.test")
    raw = create_organisation_key(
        acme, name="Nightly import", roles=[Role.MEMBER], by=Caller.of(cleo), now=timezone.now()
    )[1]
    for place in (there, here):
        move_organisation(acme, to=place, by=SYSTEM, now=timezone.now())
    assert status(raw) == 403


def test_a_key_is_suspended_where_its_person_lost_their_factors_while_one_is_required(acme, ada, bea, raw):
    give_app(ada)
    set_require_mfa(acme, to=MfaRule.on(), by=Caller.of(bea), now=timezone.now())
    assert status(raw) == 200
    reset_factors(ada, by=SYSTEM, now=timezone.now())
    give_app(ada)
    assert status(raw) == 403


@pytest.mark.parametrize("how", LOSSES)
def test_an_administrator_takes_a_suspended_key_over(acme, ada, bea, raw, how):
    lose(how, ada, by=bea)
    assert status(raw) == 403
    key = ApiKey.objects.get()
    browser = logged_in_client(bea)
    page = browser.get(PAGE).content.decode()
    assert "Take over Nightly import" in page
    browser.post(f"{PAGE}{key.uuid}/take-over/")
    assert status(raw) == 200
    assert "Take over" not in browser.get(PAGE).content.decode()
    actions = Event.objects.filter(action__startswith="api_key.").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["api_key.created", "api_key.rested", "api_key.taken_over"]
    assert Event.objects.get(action="api_key.taken_over").actor_id == bea.pk


def test_a_key_is_taken_over_by_administrators_in_stepped_up_sessions_alone(client, acme, ada, bea, raw):
    lose("removed", ada, by=bea)
    take_over = f"{PAGE}{ApiKey.objects.get().uuid}/take-over/"
    for role, answer in ((Role.ORGANISATION_MANAGER, 403), (Role.DEVELOPER, 403)):
        assert logged_in_client(factories.member(acme, role)).post(take_over).status_code == answer
    assert logged_in_client(factories.UserFactory()).post(take_over).status_code == 404
    log_in(client, bea)
    expire_step_up()
    assert client.post(take_over).url.startswith("/profile/security/confirm/")
    assert status(raw) == 403


def test_a_key_that_is_over_is_not_taken_over(acme, ada, bea, raw):
    lose("removed", ada, by=bea)
    ApiKey.objects.update(revoked_at=timezone.now())
    logged_in_client(bea).post(f"{PAGE}{ApiKey.objects.get().uuid}/take-over/")
    assert status(raw) == 401
    assert not Event.objects.filter(action="api_key.taken_over").exists()


def test_administrators_get_one_mail_that_a_key_is_suspended(acme, ada, bea, raw, mails):
    lose("expired", ada, by=bea)
    assert mails(lambda: status(raw)) == [("An API key of Acme is suspended", "bea@acme.test")]
    assert all(words in sent_mails()[0].body for words in ("Nightly import", "lost the permissions", "take it over"))
    assert mails(lambda: status(raw)) == mails(tasks.review_what_was_stored) == []


def test_keys_that_nothing_calls_are_mailed_too_in_one_mail(acme, ada, bea, raw, mails):
    create_organisation_key(acme, name="Report", roles=[Role.DEVELOPER], by=Caller.of(ada), now=timezone.now())
    lose("expired", ada, by=bea)
    assert mails(tasks.review_what_was_stored) == [("2 API keys of Acme are suspended", "bea@acme.test")]
    assert mails(tasks.review_what_was_stored) == []


def test_the_page_of_the_requirement_counts_the_organisations_keys_that_would_rest(acme, ada, bea, raw):
    page = logged_in_client(bea).get("/acme/settings/advanced/").content.decode()
    assert "1 API key stops working" in page


# -- Keys of persons ------------------------------------------------------------------------------


@pytest.fixture
def dev(acme):
    return factories.member(acme, Role.DEVELOPER, email="dev@example.test")


def key_of(person, **fields) -> str:
    return create_personal_key(person, name="script", by=Caller.of(person), now=timezone.now(), **fields)[1]


@pytest.mark.parametrize("how", ["removed", "expired"])
@pytest.mark.parametrize("narrowed", [False, True])
def test_a_key_is_not_woken_when_its_owner_becomes_a_member_again(acme, ada, dev, how, narrowed):
    raw = key_of(dev, organisation=acme if narrowed else None)
    assert status(raw) == 200
    lose(how, dev, by=ada)
    get_back(how, dev, acme)
    assert status(raw) == 401
    assert status(key_of(dev)) == 200


def test_a_key_that_also_acts_elsewhere_goes_on_there_alone(acme, ada, dev):
    globex = factories.environment(name="Globex", slug="globex")
    grant_membership(dev, globex, roles=[Role.DEVELOPER], by=SYSTEM, now=timezone.now())
    raw = key_of(dev)
    logged_in_client(ada).post(f"/acme/members/{acme.memberships.get(user=dev).pk}/remove/")
    get_back("removed", dev, acme)
    listed = [row["slug"] for row in calling(raw).get("/api/v1/organisations/").json()["results"]]
    assert (status(raw), listed) == (404, ["globex"])
    assert calling(raw).get("/api/v1/organisations/globex/").status_code == 200


def test_a_key_goes_on_where_its_owner_still_reaches_the_organisation_from_above(acme, ada):
    above = Organisation.objects.get_parent(acme)
    dev = factories.member(above, Role.DEVELOPER)
    grant_membership(dev, acme, roles=[Role.MEMBER], by=SYSTEM, now=timezone.now())
    raw = key_of(dev, organisation=acme)
    logged_in_client(ada).post(f"/acme/members/{acme.memberships.get(user=dev).pk}/remove/")
    assert status(raw) == 200


NOTICES = {"a call": status, "the task": lambda raw: tasks.review_what_was_stored(), "nothing": lambda raw: None}


@pytest.mark.parametrize("notice", NOTICES)
def test_a_key_of_a_closed_account_is_not_woken_when_the_account_is_opened_again(acme, dev, notice):
    raw = key_of(dev)
    lose("closed", dev, by=None)
    NOTICES[notice](raw)
    get_back("closed", dev, acme)
    assert status(raw) == 401
    assert status(key_of(dev)) == 200
    tasks.review_what_was_stored()
    assert Event.objects.filter(action="api_key.revoked").count() == 1


@pytest.mark.parametrize("how", ["removed", "demoted", "expired", "closed"])
@pytest.mark.parametrize("is_swept", [False, True])
def test_an_invitation_is_not_woken_when_its_inviter_gets_the_right_back(client, acme, ada, bea, mails, how, is_swept):
    browser = logged_in_client(ada)
    mails(lambda: browser.post("/acme/members/", {"email": "ivy@acme.test", "roles": [Role.DEVELOPER]}))
    path = re.findall(r"(/invitation/\S+/)", sent_mails()[0].body)[0]
    assert client.get(path).status_code == 200
    lose(how, ada, by=bea)
    if is_swept:
        tasks.review_what_was_stored()
    get_back(how, ada, acme)
    assert client.get(path).status_code == 404
    tasks.review_what_was_stored()
    assert Invitation.objects.count() == 0
