"""The keys of an organisation: who creates, sees and ends them, and what each is good for now."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord
from audit.models import Event
from environments import tasks
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.keys.services import create_organisation_key, create_personal_key
from environments.models import ApiKey
from tests import factories
from tests.accounts.conftest import require_mfa
from tests.environments.test_keys import SETTINGS, calling
from tests.logging_in import expire_step_up, give_app, log_in, logged_in_client
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db
PAGE = "/acme/api-keys/"


def own_key(organisation, by, *, roles=(Role.MEMBER,), name="bot", **fields):
    return create_organisation_key(
        organisation, name=name, roles=list(roles), by=Caller.of(by), now=timezone.now(), **fields
    )


def test_nobody_mints_a_key_that_would_rest_at_its_first_call(acme):
    """Somebody who came through a provider passes the gate, but the requirement holds their keys: they have a password,
    and no factor."""
    require_mfa(acme)
    sam = factories.member(acme, email="sam@acme.test")
    UserSocialAuth.objects.create(user=sam, provider="oidc-acme", uid="sam", id_key="sub")
    client = Client()
    client.force_login(sam, backend="accounts.oidc.Oidc_acme")
    SessionRecord.objects.update(opened_by="sso", stepped_up_at=timezone.now())
    page = client.post(PAGE, {"name": "bot", "roles": [Role.MEMBER], "lasts": "30"}).content.decode()
    assert "Set up a second factor of your own first." in page
    assert "raw-key" not in page
    give_app(sam)
    assert "raw-key" in client.post(PAGE, {"name": "bot", "roles": [Role.MEMBER], "lasts": "30"}).content.decode()


def test_a_key_is_minted_shown_once_and_works(ada, acme):
    browser = logged_in_client(ada)
    typed = {"name": "Nightly import", "roles": [Role.MEMBER], "lasts": "30"}
    page = browser.post(PAGE, typed).content.decode()
    raw = re.search(r'<code id="raw-key">(studio_[^<]+)</code>', page)[1]
    assert calling(raw).get(SETTINGS).status_code == 200
    assert raw not in browser.get(PAGE).content.decode()
    key = ApiKey.objects.get()
    assert (key.roles, key.created_by, key.owner) == ([Role.MEMBER], ada, None)
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


@pytest.mark.parametrize("path", [PAGE, "/profile/api-keys/"])
def test_keys_are_created_in_stepped_up_sessions_alone(ada, path):
    browser = logged_in_client(ada)
    expire_step_up()
    answer = browser.post(path, {"name": "x", "roles": [Role.MEMBER], "lasts": "30"})
    assert answer.url.startswith("/profile/security/confirm/")
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ADMINISTRATOR, 200), (Role.ORGANISATION_MANAGER, 403), (Role.DEVELOPER, 403)]
)
def test_only_administrators_see_mint_and_end_keys(acme, ada, role, status):
    key, _raw = own_key(acme, ada)
    browser = logged_in_client(factories.member(acme, role))
    assert browser.get(PAGE).status_code == status
    ended = browser.post(f"{PAGE}{key.uuid}/revoke/").status_code
    key.refresh_from_db()
    assert (ended == 302, key.revoked_at is not None) == (status == 200, status == 200)


def test_strangers_get_nothing(acme, ada):
    key, _raw = own_key(acme, ada)
    browser = logged_in_client(factories.UserFactory())
    assert browser.get(PAGE).status_code == browser.post(f"{PAGE}{key.uuid}/revoke/").status_code == 404


def test_the_form_refuses_what_no_key_can_be(ada, acme):
    browser = logged_in_client(ada)
    for typed in ({"name": "", "roles": [Role.MEMBER]}, {"name": "x", "roles": []}, {"name": "x", "roles": ["king"]}):
        assert browser.post(PAGE, {"lasts": "30", **typed}).status_code == 200
    assert browser.post(PAGE, {"name": "x", "roles": [Role.MEMBER], "lasts": "31"}).status_code == 200
    assert ApiKey.objects.count() == 0


def test_each_state_is_shown(ada, acme):
    root, held = factories.UserFactory(is_superuser=True), factories.UserFactory(is_superuser=True)
    give_app(root)
    demoted, left, gone = (factories.member(acme, Role.ADMINISTRATOR) for _number in range(3))
    own_key(acme, root, name="one", roles=[Role.ADMINISTRATOR])
    own_key(acme, demoted, name="two", roles=[Role.ADMINISTRATOR])
    own_key(acme, left, name="three")
    own_key(acme, gone, name="four")
    key, _raw = own_key(acme, ada, name="five", expires_at=timezone.now() + timedelta(days=1))
    demoted.memberships.update(roles=[Role.MEMBER])
    left.memberships.all().delete()
    gone.is_active = False
    gone.save()
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    own_key(acme, ada, name="six")
    own_key(acme, held, name="seven")
    tasks.review_what_was_stored()
    browser = logged_in_client(ada)
    browser.post(f"{PAGE}{ApiKey.objects.get(name='six').uuid}/revoke/")
    page = browser.get(PAGE).content.decode()
    row = r'<span class="clip">(\w+)</span>.*?class="badge" data-state="\w+">([^<]+)</span>(?:\s*<small>([^<]+))?'
    rows = {name: reason or state for name, state, reason in re.findall(row, page, re.DOTALL)}
    assert rows == {
        "one": "Active",
        "two": "The responsible person lost the permissions",
        "three": "The responsible person lost the permissions",
        "four": "The responsible person has left",
        "five": "Expired",
        "six": "Revoked",
        "seven": "The responsible person must add a second factor",
    }


def test_personal_keys_that_act_here_are_listed_and_can_be_ended(acme, ada, agency):
    dev = factories.member(acme, Role.DEVELOPER, name="Dev")
    other = factories.environment(parent=agency, slug="other")
    dev.memberships.create(organisation=other, roles=[Role.DEVELOPER], accepted_at=timezone.now())
    everywhere, _raw = create_personal_key(dev, name="everywhere", by=Caller.of(dev), now=timezone.now())
    here, _raw = create_personal_key(dev, name="here alone", organisation=acme, by=Caller.of(dev), now=timezone.now())
    create_personal_key(dev, name="secret elsewhere", organisation=other, by=Caller.of(dev), now=timezone.now())
    browser = logged_in_client(ada)
    page = browser.get(PAGE).content.decode()
    assert ("everywhere" in page, "here alone" in page, "secret elsewhere" in page) == (True, True, False)
    assert browser.post(f"{PAGE}{here.uuid}/revoke/").status_code == 302
    assert browser.post(f"{PAGE}{everywhere.uuid}/revoke/").status_code == 403  # it acts in another tenant too
    elsewhere = ApiKey.objects.get(name="secret elsewhere")
    assert browser.post(f"{PAGE}{elsewhere.uuid}/revoke/").status_code == 404
    dev.memberships.filter(organisation=other).delete()
    assert browser.post(f"{PAGE}{everywhere.uuid}/revoke/").status_code == 302
    assert list(ApiKey.objects.filter(revoked_at=None).values_list("name", flat=True)) == ["secret elsewhere"]


def test_an_administrator_below_does_not_end_a_super_users_key(acme, ada):
    root = factories.member(acme, Role.MEMBER, is_superuser=True)
    key, _raw = create_personal_key(root, name="root", by=Caller.of(root), now=timezone.now())
    assert logged_in_client(ada).post(f"{PAGE}{key.uuid}/revoke/").status_code == 403


@pytest.mark.parametrize("count", [1, 20])
def test_the_page_costs_the_same_for_1_and_20_keys(acme, ada, count, django_assert_num_queries):
    for _number in range(count):
        own_key(acme, factories.member(acme, Role.ADMINISTRATOR))
        dev = factories.member(acme, Role.DEVELOPER)
        create_personal_key(dev, name="script", by=Caller.of(dev), now=timezone.now())
    browser = logged_in_client(ada)
    browser.get(PAGE)
    with django_assert_num_queries(8):
        browser.get(PAGE)


def test_creating_a_key_is_audited_and_mailed(acme, ada, django_capture_on_commit_callbacks):
    dev = factories.member(acme, Role.DEVELOPER, email="dev@acme.test")
    with django_capture_on_commit_callbacks(execute=True):
        own_key(acme, ada, name="bot")
        create_personal_key(dev, name="script", by=SYSTEM, now=timezone.now())
    assert [(sent.to, sent.subject) for sent in sent_mails()] == [
        (["ada@acme.test"], "An API key of Acme was created"),
        (["dev@acme.test"], "An API key was created"),
    ]
    assert ("Acme" in sent_mails()[0].body, "bot" in sent_mails()[0].body) == (True, True)
    assert Event.objects.filter(action="api_key.created", organisation_id=acme.pk).count() == 1


def test_a_key_cannot_mint_keys(acme, ada):
    raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=timezone.now())[1]
    answer = calling(raw).post(PAGE, {"name": "x", "roles": [Role.MEMBER], "lasts": "30"})
    assert answer.url.startswith("/login/")
    assert ApiKey.objects.count() == 1


def test_an_owner_is_mailed_when_somebody_else_ends_their_key_and_the_log_has_it(
    client, ada, acme, django_capture_on_commit_callbacks
):
    dev = factories.member(acme, Role.DEVELOPER)
    key = create_personal_key(dev, name="Nightly import", by=Caller.of(dev), now=timezone.now())[0]
    log_in(client, ada)
    clear_mails()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{PAGE}{key.uuid}/revoke/").status_code == 302
    assert [(sent.to, sent.subject) for sent in sent_mails()] == [([dev.email], "An API key of yours was revoked")]
    assert "Nightly import" in sent_mails()[0].body
    assert Event.objects.get(action="api_key.revoked").organisation_id == acme.pk
