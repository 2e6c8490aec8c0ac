"""API keys: create, use and revoke them, and the permissions of their callers."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Permission, Role
from environments.keys.services import create_organisation_key, create_personal_key, revoke_key
from environments.models import ApiKey
from environments.policies.mfa import MfaRule
from environments.policies.services import set_require_mfa
from tests import factories
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
SETTINGS = "/api/v1/organisations/acme/settings/"


@pytest.fixture
def ada(acme):
    return factories.member(acme, Role.ADMINISTRATOR, email="ada@example.test")


def own_key(owner, **fields):
    return create_personal_key(owner, name="script", by=Caller.of(owner), now=timezone.now(), **fields)


def calling(raw):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {raw}")
    return client


def test_a_key_is_kept_as_a_hash_alone(ada):
    key, raw = own_key(ada)
    kept = ApiKey.objects.filter(pk=key.pk).values().get()
    secret = raw.rsplit("_", 1)[1] if raw.count("_") == 2 else raw.split("_", 2)[2]
    assert len(secret) == 43
    assert not [value for value in kept.values() if secret in str(value)]
    assert not [event for event in Event.objects.values() if secret in str(event)]


def test_a_key_has_the_permissions_of_its_owner(acme, ada):
    raw = own_key(ada)[1]
    assert calling(raw).get(SETTINGS).status_code == 200
    ada.memberships.update(roles=[Role.MEMBER])
    refused = calling(raw).patch(SETTINGS, {"require_mfa": "on"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    ada.memberships.all().delete()
    assert calling(raw).get(SETTINGS).status_code == 404


def test_a_key_is_taken_from_the_header_alone(ada, acme):
    raw = own_key(ada)[1]
    for client, address in [
        (APIClient(), f"{SETTINGS}?api_key={raw}"),
        (APIClient(HTTP_AUTHORIZATION=f"Token {raw}"), SETTINGS),
        (APIClient(HTTP_X_API_KEY=raw), SETTINGS),
    ]:
        refused = client.get(address)
        assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


def test_what_is_no_valid_key_is_refused(ada, acme):
    raw = own_key(ada)[1]
    last = "A" if raw[-1] != "A" else "B"
    for wrong in ["", "x", raw[:-1], raw[:-1] + last, raw + "A", "studio_0000000000_" + "A" * 43, raw + " x", "é"]:
        assert calling(wrong).get(SETTINGS).status_code == 401, wrong


def test_a_key_ends_by_revoking_by_expiry_and_with_its_owner(ada, acme):
    revoked, first = own_key(ada)
    second = own_key(ada, expires_at=timezone.now() + timedelta(hours=1))[1]
    assert calling(first).get(SETTINGS).status_code == calling(second).get(SETTINGS).status_code == 200
    revoke_key(revoked, by=Caller.of(ada), now=timezone.now())
    revoke_key(revoked, by=Caller.of(ada), now=timezone.now())
    ApiKey.objects.exclude(pk=revoked.pk).update(expires_at=timezone.now())
    assert calling(first).get(SETTINGS).status_code == calling(second).get(SETTINGS).status_code == 401
    assert Event.objects.filter(action="api_key.revoked").count() == 1
    third = own_key(ada)[1]
    ada.is_active = False
    ada.save(update_fields=["is_active"])
    assert calling(third).get(SETTINGS).status_code == 401


@pytest.mark.way(
    "Tokens and recovery: a key created before the requirement",
    "Policy: personal tokens left open while writes are gated",
)
def test_a_key_does_not_work_while_its_owner_lacks_the_factor_they_need(ada, acme):
    raw = own_key(ada)[1]
    set_require_mfa(acme, to=MfaRule.on(), by=SYSTEM, now=timezone.now())
    refused = calling(raw).get(SETTINGS)
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required")
    set_require_mfa(acme, to=MfaRule.off(), by=SYSTEM, now=timezone.now())
    assert calling(raw).get(SETTINGS).status_code == 200


def test_a_key_narrowed_to_an_organisation_reaches_no_other(agency, acme):
    lotte = factories.member(agency, Role.ADMINISTRATOR)
    other = factories.environment(parent=agency, slug="other")
    client = calling(own_key(lotte, organisation=other)[1])
    listed = [row["slug"] for row in client.get("/api/v1/organisations/").json()["results"]]
    assert (listed, client.get(SETTINGS).status_code) == (["other"], 404)


def test_nobody_narrows_a_key_to_what_they_do_not_reach(ada, agency):
    with pytest.raises(ValidationError):
        own_key(ada, organisation=agency)


def test_an_organisations_key_has_no_more_permissions_than_its_roles_and_its_minter_now(acme, ada):
    raw = create_organisation_key(acme, name="bot", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())[1]
    assert calling(raw).get(SETTINGS).status_code == 200
    assert calling(raw).patch(SETTINGS, {"require_mfa": "on"}, format="json").status_code == 403
    raw = create_organisation_key(acme, name="bot", roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=timezone.now())[
        1
    ]
    assert calling(raw).patch(SETTINGS, {"archival": "keep"}, format="json").status_code == 200
    ada.memberships.update(roles=[Role.ENVIRONMENT_MANAGER])
    assert calling(raw).patch(SETTINGS, {"archival": "inherit"}, format="json").status_code == 403
    assert calling(raw).get("/api/v1/organisations/").status_code == 403


def test_an_organisations_key_cannot_switch_mfa_off(acme, ada):
    raw = create_organisation_key(acme, name="bot", roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=timezone.now())[
        1
    ]
    assert calling(raw).patch(SETTINGS, {"require_mfa": "on"}, format="json").status_code == 200
    for value in ["off", "inherit"]:
        assert calling(raw).patch(SETTINGS, {"require_mfa": value}, format="json").status_code == 403
    acme.refresh_from_db()
    assert acme.effective_require_mfa


@pytest.mark.parametrize("role", [Role.ORGANISATION_MANAGER, Role.DEVELOPER, Role.MEMBER])
def test_only_administrators_create_keys_of_the_organisation(acme, role):
    with pytest.raises(PermissionDenied):
        create_organisation_key(
            acme, name="x", roles=[Role.MEMBER], by=Caller.of(factories.member(acme, role)), now=timezone.now()
        )


def test_the_audit_log_names_the_key_as_the_actor(acme, ada):
    key, raw = own_key(ada)
    calling(raw).patch(SETTINGS, {"archive_after_days": 30}, format="json")
    event = Event.objects.get(action="retention.changed")
    assert (event.actor_kind, event.actor_id, event.actor_label) == ("key", key.pk, str(key))


def test_use_is_remembered_at_most_once_a_minute(ada, acme, django_assert_max_num_queries):
    key, raw = own_key(ada)
    calling(raw).get(SETTINGS)
    key.refresh_from_db()
    first = key.last_used_at
    calling(raw).get(SETTINGS)
    key.refresh_from_db()
    assert (first is not None, key.last_used_at) == (True, first)
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    calling(raw).get(SETTINGS)
    key.refresh_from_db()
    assert key.last_used_at > first


def test_the_command_prints_the_key_and_nothing_else(ada, acme, capsys):
    call_command("create_api_key", "ADA@example.test", "--name", "nightly import")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert calling(out.strip()).get(SETTINGS).status_code == 200


@pytest.mark.parametrize("role", Role)
def test_the_page_mints_keys_for_roles_that_come_with_them(client, acme, role):
    user = factories.member(acme, role)
    log_in(client, user)
    may = Permission.USE_API_KEYS in role.permissions
    assert ("Create the key" in client.get("/profile/api-keys/").content.decode()) == may
    answer = client.post("/profile/api-keys/", {"name": "Import", "lasts": "365"})
    assert answer.status_code == (200 if may else 403)
    assert user.api_keys.count() == (1 if may else 0)
